import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "ava";
import { assembleSidecar, type Sidecar } from "../../src/app/sidecar.ts";
import { readSidecarConfig } from "../../src/config/sidecar.ts";
import { everyRequest } from "../../src/core/model/match.ts";
import { describeFaults } from "../../src/core/std/result.ts";
import { type Admin, startAdmin } from "../../src/edge/process/admin.ts";
import { adminPages } from "../../src/sidecar/admin.ts";
import { settleListenPorts } from "../../src/sidecar/listen-ports.ts";
import { missingIn } from "../../src/sidecar/sidecar-view.ts";
import { ControlPlane } from "./control-plane.ts";
import { Gate } from "./gate.ts";
import { endpointsAt, everybody, inboundFor, policyWith } from "./policies.ts";
import { recordingLog } from "./recording-log.ts";
import { discovered } from "./shard.ts";

const b = "backend-b.demo.svc.cluster.local:8080";

/** The main thread of a sidecar with everything real but its data plane, which is the shard of the supervision tests. */
class Rig implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly sidecar: Sidecar;
  readonly admin: Admin;
  readonly inboundPort: number;
  readonly #cleanUp: () => void;

  private constructor(
    plane: ControlPlane,
    running: { sidecar: Sidecar; admin: Admin; inboundPort: number; cleanUp: () => void },
  ) {
    this.plane = plane;
    this.sidecar = running.sidecar;
    this.admin = running.admin;
    this.inboundPort = running.inboundPort;
    this.#cleanUp = running.cleanUp;
  }

  static async start(given?: ControlPlane, policyAddress?: string): Promise<Rig> {
    const plane = given ?? (await ControlPlane.start());
    const folder = mkdtempSync(path.join(tmpdir(), "weft-admin-"));
    const tokenFile = path.join(folder, "token");
    writeFileSync(tokenFile, "token");
    const config = readSidecarConfig(
      {
        WEFT_POLICY_SVC_ADDR: policyAddress ?? plane.address("policy"),
        WEFT_DESTINATION_SVC_ADDR: plane.address("destination"),
        WEFT_IDENTITY_SVC_ADDR: plane.address("identity"),
        WEFT_POLICY_WORKLOAD: '{"ns":"demo","pod":"frontend-1"}',
        WEFT_IDENTITY_LOCAL_NAME: "frontend.demo.serviceaccount.identity.weft.cluster.local",
        WEFT_IDENTITY_TRUST_ANCHORS: plane.trustAnchors,
        WEFT_IDENTITY_TOKEN_FILE: tokenFile,
      },
      { cores: 2, hasIpv6: false },
    );
    if (!config.ok) throw new Error(describeFaults(config.faults));
    const free = { host: "127.0.0.1", port: 0 };
    const ports = await settleListenPorts([free, free, free]);
    if (!ports.ok) throw new Error(describeFaults(ports.faults));
    const { addresses } = ports.value;
    const log = recordingLog();
    const application = { host: "127.0.0.1", port: 9 };
    const inboundForwards = [{ listen: free, application }];
    const sidecar = assembleSidecar(
      { ...config.value, inboundForwards },
      {
        anchors: [plane.trustAnchors],
        addresses,
        log,
        entry: { module: new URL("./shard.ts", import.meta.url).href, name: "runShard" },
      },
    );
    const admin = await startAdmin({ address: free, routes: adminPages(sidecar.view), log });
    if (!admin.ok) throw new Error(describeFaults(admin.faults));
    sidecar.view.workers.start();
    await sidecar.view.workers.allStarted;
    await ports.value.release();
    return new Rig(plane, {
      sidecar,
      admin: admin.value,
      inboundPort: addresses[2]?.port ?? 0,
      cleanUp: () => rmSync(folder, { recursive: true }),
    });
  }

  async ask(page: string, method = "GET"): Promise<{ status: number; body: string; type: string }> {
    const { port } = this.admin.address;
    const response = await fetch(`http://127.0.0.1:${port}${page}`, { method });
    const type = response.headers.get("content-type") ?? "";
    return { status: response.status, body: await response.text(), type };
  }

  /** Policies, endpoints and a certificate are there, in force on every worker. */
  async ready(): Promise<void> {
    this.plane.setInbound(this.inboundPort, inboundFor(everybody()));
    const alternative = {
      ...everyRequest,
      path: { kind: "prefix", value: "/echo" },
      method: "POST",
      headers: [{ name: "x-request-id", kind: "exact", value: "alternative" }],
      queryParams: [{ name: "q", kind: "regex", value: "a+" }],
    } as const;
    this.plane.setOutbound(
      discovered,
      policyWith([
        { match: alternative, authorities: [b] },
        { match: everyRequest, authorities: [discovered] },
      ]),
    );
    this.plane.setEndpoints(discovered, endpointsAt(7001));
    this.plane.setEndpoints(b, endpointsAt(7002, 7003));
    const { workers, discovery } = this.sidecar.view;
    workers.dropOutbound("discover 0");
    const scope = `outbound ${discovered}`;
    const revision = (): number => discovery.facts().get(discovered)?.snapshot?.revision ?? 0;
    await until(() => revision() > 0 && workers.appliedOn(scope, revision()) === 2);
    await until(() => missingIn(this.sidecar.view).length === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.admin.close();
    await this.sidecar.close();
    await this.plane[Symbol.asyncDispose]();
    this.#cleanUp();
  }
}

/** Leaves the machine to the processes under test. */
const pollMs = 2;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}

test("/ready names what is missing, and answers 200 when nothing is", async (t) => {
  await using rig = await Rig.start();
  const before = await rig.ask("/ready");
  t.is(before.status, 503);
  t.regex(
    before.body,
    new RegExp(`^not ready\n.*no policy for inbound port ${rig.inboundPort} `, "s"),
  );
  t.is((await rig.ask("/live")).status, 200);
  await rig.ready();
  t.deepEqual(await rig.ask("/ready"), { status: 200, body: "ready\n", type: before.type });
  const draining = rig.sidecar.view.workers.drain({ graceMs: 0 });
  t.regex((await rig.ask("/ready")).body, /shutting down/);
  await draining;
});

test("/ready waits until the policy service was reached, and stays when it is lost", async (t) => {
  const plane = await ControlPlane.start();
  await using gate = await Gate.before(plane.address("policy"));
  await using rig = await Rig.start(plane, gate.address);
  const { view } = rig.sidecar;
  await until(() => view.identity.facts().certifiedUntilMs !== undefined);
  const unreached = `the policy service at "${gate.address}" has not been reached yet`;
  const before = await rig.ask("/ready");
  t.is(before.status, 503);
  t.true(before.body.includes(unreached), before.body);
  gate.isOpen = true;
  await rig.ready();
  gate.shut();
  await until(() => view.services.some(({ connected }) => !connected));
  t.is((await rig.ask("/ready")).status, 200);
});

test("/policy shows what is enforced, in the order in which it is tried, and where it comes from", async (t) => {
  await using rig = await Rig.start();
  await rig.ready();
  const { status, body, type } = await rig.ask("/policy");
  t.is(status, 200);
  t.is(type, "application/json");
  const page = JSON.parse(body);
  t.regex(page.identity.name, /^frontend\.demo/);
  t.true(Date.parse(page.identity.certifiedUntil) > Date.now());
  t.is(page.workers.listening, 2);
  const [inbound] = page.inbound;
  t.is(inbound.port, rig.inboundPort);
  t.is(inbound.stream.state, "connected");
  t.is(inbound.appliedOnWorkers, 2);
  t.true(inbound.ageSeconds >= 0);
  t.is(inbound.policy.server, "server.policy.linkerd.io test");
  t.deepEqual(inbound.policy.rules[0].admits, [
    "AuthorizationPolicy demo/everybody: everybody from 0.0.0.0/0 or ::/0",
  ]);
  const [outbound] = page.outbound;
  t.is(outbound.target, discovered);
  t.is(outbound.appliedOnWorkers, 2);
  const [first, second] = outbound.policy.rules;
  t.is(
    first.when,
    "path below /echo, method is POST, header x-request-id is alternative, query q matches a+",
  );
  t.is(first.route, "HTTPRoute demo/test");
  t.is(first.backends[0].to, b);
  t.is(second.when, "every request");
  t.deepEqual(
    page.endpoints.map(({ authority, endpoints }: { authority: string; endpoints: object[] }) => [
      authority,
      endpoints.length,
    ]),
    [
      [b, 2],
      [discovered, 1],
    ],
  );
  t.false(body.includes("PRIVATE KEY"));
});

test("/policy and /metrics tell that the policy service is away, and how old its word is", async (t) => {
  await using rig = await Rig.start();
  await rig.ready();
  t.regex(
    (await rig.ask("/metrics")).body,
    /^weft_control_stream_connected\{service="policy"\} 1$/m,
  );
  await rig.plane.stop("policy");
  const { inbound, services } = rig.sidecar.view;
  await until(() => services.some(({ connected }) => !connected));
  await until(() => inbound.facts().get(rig.inboundPort)?.stream.state === "disconnected");
  const page = JSON.parse((await rig.ask("/policy")).body);
  t.is(page.inbound[0].stream.state, "disconnected");
  t.regex(page.inbound[0].stream.reason, /UNAVAILABLE/);
  t.is(page.inbound[0].appliedOnWorkers, 2);
  const { body } = await rig.ask("/metrics");
  t.regex(body, /^weft_control_stream_connected\{service="policy"\} 0$/m);
  t.regex(body, /^weft_control_stream_connected\{service="destination"\} 1$/m);
  t.regex(
    body,
    new RegExp(`^weft_policy_age_seconds\\{scope="inbound ${rig.inboundPort}"\\} [0-9]\\.`, "m"),
  );
  t.is((await rig.ask("/ready")).status, 200);
});

test("/metrics has HELP and TYPE for each metric, counts for each worker, and what promtool wants", async (t) => {
  await using rig = await Rig.start();
  await rig.ready();
  const { status, body, type } = await rig.ask("/metrics");
  t.is(status, 200);
  t.regex(type, /^text\/plain; version=0\.0\.4/);
  const names = new Set(
    Array.from(body.matchAll(/^([a-z_]+)[{ ]/gm), ([, name = ""]) =>
      name.replace(/_(bucket|sum|count)$/, ""),
    ),
  );
  for (const name of names) {
    t.true(body.includes(`# HELP ${name} `), name);
    t.true(body.includes(`# TYPE ${name} `), name);
  }
  for (const name of [
    "request_total",
    "control_identity_cert_expiration_timestamp_seconds",
    "control_identity_cert_refreshes_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "proxy_build_info",
    "weft_worker_restarts_total",
    "weft_policy_age_seconds",
    "weft_control_stream_connected",
  ]) {
    t.true(names.has(name), name);
  }
  const started = Number(/^process_start_time_seconds ([0-9.]+)$/m.exec(body)?.[1]);
  t.true(Math.abs(started - Date.now() / 1_000) < 600);
  const { stdout, error } = spawnSync("promtool", ["check", "metrics"], {
    input: body,
    encoding: "utf8",
  });
  if (error !== undefined) {
    t.log(`promtool did not run (${error.message}): install Debian's package "prometheus"`);
    return;
  }
  const complaints = stdout.split("\n").filter((one) => one !== "");
  t.deepEqual(complaints, []);
});

test("the admin port changes nothing: other methods are refused, other paths are not found", async (t) => {
  await using rig = await Rig.start();
  for (const page of ["/live", "/ready", "/metrics", "/policy"]) {
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      t.is((await rig.ask(page, method)).status, 405, `${method} ${page}`);
    }
    const head = await rig.ask(page, "HEAD");
    t.is(head.body, "");
  }
  const { status, body } = await rig.ask("/shutdown");
  t.is(status, 404);
  for (const page of ["/live", "/ready", "/metrics", "/policy"]) t.true(body.includes(page));
});

test("nothing that is sent to the admin port changes anything", async (t) => {
  await using rig = await Rig.start();
  await rig.ready();
  const before = JSON.parse((await rig.ask("/policy")).body);
  const pages = [...adminPages(rig.sidecar.view).keys()].map((page) => page.replace("*", "0"));
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    for (const page of pages) t.is((await rig.ask(page, method)).status, 405, page);
    // What other proxies have there (CVE-2024-40632).
    for (const page of ["/shutdown", "/quitquitquit", "/proxy-log-level", "/drain"]) {
      t.is((await rig.ask(page, method)).status, 404, page);
    }
  }
  const after = JSON.parse((await rig.ask("/policy")).body);
  t.deepEqual(after.identity, before.identity);
  t.deepEqual(after.workers, before.workers);
  t.is((await rig.ask("/ready")).status, 200);
});
