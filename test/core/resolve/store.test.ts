import test from "ava";
import { resolveOutbound } from "../../../src/core/resolve/outbound.ts";
import { buildStore } from "../../../src/core/resolve/store.ts";
import { readContent, readStore, route, service, settings } from "./world.ts";

test("buildStore() gives the same policies in whichever order the objects come", (t) => {
  const content = readContent(
    service("a"),
    service("b"),
    route("two", "a", "[{ backendRefs: [{ name: b, port: 8080 }] }]"),
    route("one", "a", "[{ backendRefs: [{ name: a, port: 8080 }] }]"),
  );
  const turned = { ...content, resources: content.resources.toReversed() };
  const target = { kind: "authority", authority: "a.demo.svc.cluster.local:8080" } as const;
  const [there, back] = [content, turned].map((each) =>
    resolveOutbound(buildStore(each), settings, target, { namespace: "demo", pod: "x" }),
  );
  t.deepEqual(there, back);
});

test("buildStore() names a route once for each parent, however often the route names it", (t) => {
  const twice = route("r", "a", "[{}]").replace(
    /parentRefs: .*/,
    'parentRefs: [{ group: "", kind: Service, name: a, port: 80 }, { group: "", kind: Service, name: a, port: 81 }]',
  );
  t.deepEqual(
    [...readStore(twice).routes.values()].map((routes) => routes.length),
    [1],
  );
});

test("buildStore() gives an address that two objects claim to the older one", (t) => {
  const at = (name: string, day: number): string =>
    service(name)
      .replace(/clusterIP: [0-9.]+/, "clusterIP: 10.96.1.1")
      .replace(
        "namespace: demo",
        `namespace: demo, creationTimestamp: "2024-01-0${day}T00:00:00Z"`,
      );
  const store = readStore(at("a", 2), at("b", 1));
  t.is(store.servicesByIp.get("10.96.1.1")?.meta.name, "b");
});

const owners = test.macro({
  exec: (t, spec: string, phase: string, isOwner: boolean) => {
    const store = readStore(`---
apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: demo }
spec: { containers: [{ name: app }]${spec} }
status: { phase: ${phase}, podIPs: [{ ip: 10.1.0.1 }] }
`);
    t.is(store.podsByIp.has("10.1.0.1"), isOwner);
  },
  title: (given) => `buildStore() ${given}`,
});
test("finds a running pod by its address", owners, "", "Running", true);
test(
  "does not find a pod on its node's network by address",
  owners,
  ", hostNetwork: true",
  "Running",
  false,
);
test("does not find a pod by address that has ended", owners, "", "Succeeded", false);
