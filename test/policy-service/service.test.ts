import { create } from "@bufbuild/protobuf";
import test from "ava";
import { grpcCode } from "../../src/core/model/grpc-status.ts";
import {
  Destination,
  type DestinationProfile,
  GetDestinationSchema,
  type Update,
} from "../../src/core/wire/gen/linkerd/destination_pb.ts";
import {
  InboundServerPolicies,
  PortSpecSchema,
  type Server,
} from "../../src/core/wire/gen/linkerd/inbound_pb.ts";
import {
  OutboundPolicies,
  type OutboundPolicy,
  TrafficSpecSchema,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { fromWireOutbound } from "../../src/core/wire/outbound.ts";
import { callUnary } from "../../src/edge/grpc/client.ts";
import { outboundLines } from "../core/resolve/summary.ts";
import { mesh, openServer, redirectRoute, slice } from "./files.ts";
import {
  read,
  startBench,
  watchEndpoints,
  watchOutbound,
  watchPort,
  watchProfile,
} from "./harness.ts";

const deadline = { deadlineMs: 5_000 };

function lines(message: OutboundPolicy): string {
  return outboundLines(fromWireOutbound(message).value).join("\n");
}

test("Watch tells the policy, and each change of it", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const watch = watchOutbound(bench, "a:8080");
  t.is(lines(await watch.next()), "default http: prefix / → first of Service demo/a:8080 1");
  await bench.put("route.yaml", redirectRoute("one.example"));
  t.is(lines(await watch.next()), redirected("one.example"));
  await bench.put("route.yaml", redirectRoute("two.example"));
  t.is(lines(await watch.next()), redirected("two.example"));
  await bench.remove("route.yaml");
  t.is(lines(await watch.next()), "default http: prefix / → first of Service demo/a:8080 1");
});

/** What a client without extensions is told: the filters answer, in front of a backend that is always ready. */
function redirected(to: string): string {
  return `HTTPRoute demo/r: prefix / → redirect 302 ${to}, first of HTTPRoute demo/r 1 redirect 302 ${to}`;
}

test("Watch is silent about changes that do not concern it", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const [ofA, ofB] = [watchOutbound(bench, "a:8080"), watchOutbound(bench, "b:8080")];
  await ofA.next();
  await ofB.next();
  await bench.put("route.yaml", redirectRoute("one.example"));
  await ofA.next();
  await bench.put(
    "mesh.yaml",
    mesh.replace("10.96.0.2", "10.96.0.3").replace(/name: b/, "name: c"),
  );
  t.is((await ofB.ended).code, grpcCode.notFound, "the first word since is that b is gone");
});

test("Watch asks by address as by name", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const addr = { ip: { ip: { case: "ipv4", value: 0x0a600001 } }, port: 8080 } as const;
  const request = create(TrafficSpecSchema, {
    sourceWorkload: "demo:web-1",
    target: { case: "addr", value: addr },
  });
  const byAddress = read(bench.policy, OutboundPolicies.method.watch, request);
  t.is(lines(await byAddress.next()), "default http: prefix / → first of Service demo/a:8080 1");
});

test("Watch ends with NOT_FOUND when its target vanishes", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const watch = watchOutbound(bench, "b:8080");
  await watch.next();
  await bench.put("mesh.yaml", mesh.slice(0, mesh.lastIndexOf("---")));
  t.deepEqual(await watch.ended, {
    code: grpcCode.notFound,
    message: "unknown target: Service demo/b does not exist",
  });
});

type Refused = { readonly workload: string; readonly authority: string };

const outboundRefusals = test.macro({
  exec: async (t, { workload, authority }: Refused, code: number, message: string) => {
    await using bench = await startBench({ "mesh.yaml": mesh });
    t.deepEqual(await watchOutbound(bench, authority, workload).ended, { code, message });
    const target = { case: "authority", value: authority } as const;
    const request = create(TrafficSpecSchema, { sourceWorkload: workload, target });
    const answer = await callUnary(bench.policy, OutboundPolicies.method.get, request, deadline);
    t.deepEqual(answer, { ok: false, failure: { code, message } });
  },
  title: (given) => `Get and Watch of outbound policies ${given}`,
});
test(
  "refuse a workload that cannot be read",
  outboundRefusals,
  { workload: "who", authority: "a:8080" },
  grpcCode.invalidArgument,
  'source_workload: write {"ns":"<namespace>","pod":"<pod>"}',
);
test(
  "refuse an authority that cannot be read",
  outboundRefusals,
  { workload: "demo:web-1", authority: "a:0" },
  grpcCode.invalidArgument,
  "authority: write host:port",
);
test(
  "do not know a Service that does not exist",
  outboundRefusals,
  { workload: "demo:web-1", authority: "gone.demo:80" },
  grpcCode.notFound,
  "unknown target: Service demo/gone does not exist",
);
test(
  "do not know names outside of the cluster",
  outboundRefusals,
  { workload: "demo:web-1", authority: "www.example.com" },
  grpcCode.notFound,
  "unknown target: www.example.com:80 is not a Service of cluster.local",
);

function summary({ labels, authorizations }: Server): string {
  return `${labels["kind"]} ${labels["name"]}: ${authorizations.length}`;
}

test("WatchPort tells the policy of a port, and each change of it", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const watch = watchPort(bench, 8080);
  t.is(summary(await watch.next()), "default all-unauthenticated: 1");
  await bench.put("server.yaml", openServer);
  t.is(summary(await watch.next()), "server web: 1");
  await bench.put("server.yaml", openServer.replace("all-unauthenticated", "deny"));
  t.is(summary(await watch.next()), "server web: 0");
});

test("WatchPort denies what a Server governs that cannot be read any more, until it is mended", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "server.yaml": openServer });
  const watch = watchPort(bench, 8080);
  t.is(summary(await watch.next()), "server web: 1");
  await bench.put("server.yaml", openServer.replace("all-unauthenticated", "all-unauthenticatd"));
  t.is(summary(await watch.next()), "server web: 0");
  const { fields } = await bench.logged("document_refused");
  t.like(fields, {
    file: "server.yaml",
    document: 1,
    object: "Server demo/web",
    path: "spec.accessPolicy",
  });
  await bench.put("server.yaml", openServer);
  t.is(summary(await watch.next()), "server web: 1");
  await bench.put("server.yaml", "kind: [");
  t.is(summary(await watch.next()), "server web: 0");
});

test("WatchPort closes ports without a Server while a document was never readable", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "bad.yaml": "kind: [" });
  const watch = watchPort(bench, 8080);
  t.is(summary(await watch.next()), "default unreadable: 0");
  await bench.put("bad.yaml", openServer);
  t.is(summary(await watch.next()), "server web: 1");
});

test("WatchPort does not know a pod that does not exist", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const watch = watchPort(bench, 8080, "demo:gone");
  t.deepEqual(await watch.ended, {
    code: grpcCode.notFound,
    message: "unknown server: Pod demo/gone does not exist",
  });
});

test("GetPort answers once, and refuses port 0", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const { getPort } = InboundServerPolicies.method;
  const request = create(PortSpecSchema, { workload: "demo:web-1", port: 8080 });
  const answer = await callUnary(bench.policy, getPort, request, deadline);
  t.is(answer.ok && summary(answer.value), "default all-unauthenticated: 1");
  const zero = create(PortSpecSchema, { workload: "demo:web-1", port: 0 });
  const refused = await callUnary(bench.policy, getPort, zero, deadline);
  t.like(refused, { ok: false, failure: { code: grpcCode.invalidArgument } });
});

function describeUpdate({ update }: Update): string {
  switch (update.case) {
    case "add":
      return `add ${update.value.addrs.map(({ addr }) => addr?.port).join(" ")}`;
    case "remove":
      return `remove ${update.value.addrs.map(({ port }) => port).join(" ")}`;
    case "noEndpoints":
      return `none, ${update.value.exists ? "exists" : "does not exist"}`;
    case undefined:
      return "nothing";
  }
}

test("Destination.Get tells at once that there is nothing, then what comes and goes", async (t) => {
  await using bench = await startBench({ "other.yaml": "" });
  const watch = watchEndpoints(bench, "a.demo.svc.cluster.local:8080");
  t.is(describeUpdate(await watch.next()), "none, does not exist");
  await bench.put("mesh.yaml", mesh);
  t.is(describeUpdate(await watch.next()), "none, exists");
  await bench.put("slice.yaml", slice);
  const added = await watch.next();
  t.is(describeUpdate(added), "add 8080");
  const [addr] = added.update.case === "add" ? added.update.value.addrs : [];
  const identity = "web.demo.serviceaccount.identity.weft.cluster.local";
  t.is(addr?.tlsIdentity?.serverName?.name, identity);
  await bench.put("slice.yaml", slice.replace("port: 8080", "port: 8081"));
  t.is(describeUpdate(await watch.next()), "add 8081");
  t.is(describeUpdate(await watch.next()), "remove 8080");
  await bench.remove("slice.yaml");
  t.is(describeUpdate(await watch.next()), "none, exists");
});

test("Destination.Get tells many endpoints in messages that a reader takes", async (t) => {
  const count = 5_000;
  const addresses = Array.from(
    { length: count },
    (_, at) => `  - { addresses: [10.2.${at >> 8}.${at & 255}] }`,
  );
  const many = `${slice.slice(0, slice.indexOf("endpoints:"))}endpoints:\n${addresses.join("\n")}\n`;
  await using bench = await startBench({ "mesh.yaml": mesh, "slice.yaml": many });
  const watch = watchEndpoints(bench, "a.demo.svc.cluster.local:8080");
  let told = 0;
  let messages = 0;
  while (told < count) {
    const { update } = await watch.next();
    told += update.case === "add" ? update.value.addrs.length : 0;
    messages++;
  }
  t.is(told, count);
  t.is(messages, 3);
});

test("Destination.Get answers for Services only", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  for (const path of ["10.96.0.1:8080", "www.example.com:80", "a:8080", ""]) {
    t.is((await watchEndpoints(bench, path).ended).code, grpcCode.invalidArgument, path);
  }
});

function describeProfile({ fullyQualifiedName, endpoint }: DestinationProfile): string {
  if (endpoint !== undefined) return `endpoint ${endpoint.addr?.port}`;
  return fullyQualifiedName === "" ? "nothing" : fullyQualifiedName;
}

const profiles = test.macro({
  exec: async (t, path: string, expected: string | number) => {
    await using bench = await startBench({ "mesh.yaml": mesh });
    const watch = watchProfile(bench, path);
    if (typeof expected === "number") t.is((await watch.ended).code, expected);
    else t.is(describeProfile(await watch.next()), expected);
  },
  title: (_given, path: string, expected: string | number) =>
    `Destination.GetProfile answers ${expected} for "${path}"`,
});
test(profiles, "a:8080", "a.demo.svc.cluster.local");
test(profiles, "10.96.0.2:8080", "b.demo.svc.cluster.local");
test(profiles, "10.1.0.1:8080", "endpoint 8080");
test(profiles, "192.0.2.1:443", "endpoint 443");
test(profiles, "a:9999", "nothing");
test(profiles, "gone:80", grpcCode.notFound);
test(profiles, "", grpcCode.invalidArgument);

test("100 subscriptions follow one change, and are counted", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const watches = Array.from({ length: 100 }, (_, at) =>
    watchOutbound(bench, "a.demo:8080", `demo:web-${at}`),
  );
  await Promise.all(watches.map((watch) => watch.next()));
  const metrics = await (await bench.page("/metrics")).text();
  t.regex(metrics, /^weft_policy_subscriptions\{api="outbound"\} 100$/m);
  await bench.put("route.yaml", redirectRoute("one.example"));
  const changed = await Promise.all(watches.map((watch) => watch.next()));
  t.true(changed.every((message) => lines(message).includes("one.example")));
});

test("A reader that goes away is not counted any more", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const watch = watchOutbound(bench, "a:8080");
  await watch.next();
  watch.close();
  const count = async (): Promise<string | undefined> =>
    /^weft_policy_subscriptions\{api="outbound"\} (\d+)$/m.exec(
      await (await bench.page("/metrics")).text(),
    )?.[1];
  while ((await count()) !== "0");
  t.pass();
});

// By itself, because what is measured is not how busy the machine is.
test.serial("A change of a file reaches a stream within a second", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh });
  const watch = watchOutbound(bench, "a:8080");
  await watch.next();
  const times: number[] = [];
  for (let round = 0; round < 10; round++) {
    const startMs = performance.now();
    await bench.put("route.yaml", redirectRoute(`host-${round}.example`));
    await watch.until((message) => lines(message).includes(`host-${round}.`));
    times.push(performance.now() - startMs);
  }
  const [median = Number.NaN] = times.toSorted((left, right) => left - right).slice(5);
  t.log(
    `file written → message: median ${median.toFixed(1)} ms, worst ${Math.max(...times).toFixed(1)} ms`,
  );
  t.true(Math.max(...times) < 1_000);
});

test("/status shows the conditions of routes and the faults of documents", async (t) => {
  await using bench = await startBench({
    "mesh.yaml": mesh,
    "route.yaml": redirectRoute("one.example"),
    "bad.yaml": openServer.replace("podSelector", "podSelectr"),
  });
  const page = await bench.page("/status");
  t.is(page.headers.get("content-type"), "application/json");
  const status = (await page.json()) as { documents: unknown[]; objects: unknown[] };
  t.like(status.documents[0], { file: "bad.yaml", document: 1, severity: "refused" });
  t.like(status.objects[0], {
    kind: "HTTPRoute",
    name: "r",
    parents: { 0: { conditions: { 0: { type: "Accepted", status: "True" } } } },
  });
});

test("Conditions that are not in order are logged once", async (t) => {
  const lost = redirectRoute("one.example").replace("name: a", "name: gone");
  await using bench = await startBench({ "mesh.yaml": mesh, "route.yaml": lost });
  const { fields } = await bench.logged("object_not_in_order");
  t.deepEqual(fields, {
    object: "HTTPRoute demo/r",
    parent: "Service demo/gone",
    type: "Accepted",
    reason: "NoMatchingParent",
    message: "Service demo/gone does not exist",
  });
  await bench.put("server.yaml", openServer.replace("port: http", "port: 0"));
  await bench.logged("document_refused");
  t.is(bench.lines.filter(({ event }) => event === "object_not_in_order").length, 1);
});

test("/live and /ready answer, and /metrics counts refused documents", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "bad.yaml": "kind: [" });
  t.is((await bench.page("/live")).status, 200);
  t.is((await bench.page("/ready")).status, 200);
  const metrics = await (await bench.page("/metrics")).text();
  t.regex(metrics, /^weft_policy_documents_refused 1$/m);
  t.regex(metrics, /^weft_policy_unreadable_at_start 1$/m);
  t.regex(metrics, /^weft_policy_resources\{kind="Service"\} 2$/m);
});

/** A ServiceProfile of Service a with one route of this name. */
function serviceProfile(namespace: string, route: string): string {
  return `apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: { name: a.demo.svc.cluster.local, namespace: ${namespace} }
spec: { routes: [{ name: ${route}, condition: { method: GET } }] }
`;
}

function routesOf({ routes }: DestinationProfile): readonly (string | undefined)[] {
  return routes.map(({ metricsLabels }) => metricsLabels["route"]);
}

for (const path of ["a:8080", "10.96.0.1:8080"]) {
  test(`Destination.GetProfile tells the ServiceProfile of "${path}", and each change of it`, async (t) => {
    await using bench = await startBench({ "mesh.yaml": mesh });
    const watch = watchProfile(bench, path);
    t.deepEqual(routesOf(await watch.next()), []);
    await bench.put("profile.yaml", serviceProfile("demo", "one"));
    t.deepEqual(routesOf(await watch.next()), ["one"]);
    await bench.put("profile.yaml", serviceProfile("demo", "two"));
    t.deepEqual(routesOf(await watch.next()), ["two"]);
    await bench.remove("profile.yaml");
    t.deepEqual(routesOf(await watch.next()), []);
  });
}

test("Destination.GetProfile tells clients the ServiceProfile of their own namespace first", async (t) => {
  await using bench = await startBench({
    "mesh.yaml": mesh,
    "theirs.yaml": serviceProfile("clients", "theirs"),
    "ours.yaml": serviceProfile("demo", "ours"),
  });
  const ask = async (contextToken: string): Promise<readonly (string | undefined)[]> => {
    const request = create(GetDestinationSchema, { path: "a.demo:8080", contextToken });
    const watch = read(bench.destination, Destination.method.getProfile, request);
    return routesOf(await watch.next());
  };
  t.deepEqual(await ask('{"ns":"clients"}'), ["theirs"]);
  t.deepEqual(await ask('{"ns":"others"}'), ["ours"]);
  t.deepEqual(await ask(""), ["ours"]);
});
