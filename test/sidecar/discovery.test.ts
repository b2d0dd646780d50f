import { create } from "@bufbuild/protobuf";
import test from "ava";
import { endpointKey } from "../../src/core/model/endpoint.ts";
import { staticAuthority } from "../../src/core/table/static-hosts.ts";
import { OutboundPolicySchema } from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { openChannel } from "../../src/edge/grpc/client.ts";
import { type LookUp, makeLookUp } from "../../src/edge/net/dns.ts";
import { ControlService } from "../../src/sidecar/control-service.ts";
import { Discovery, type DiscoveryOptions, endpointWaitMs } from "../../src/sidecar/discovery.ts";
import { EndpointWatches } from "../../src/sidecar/watch-endpoints.ts";
import type { OutboundSnapshot } from "../../src/thread/messages.ts";
import { DnsServer } from "../harness/dns-server.ts";
import { ControlPlane } from "./control-plane.ts";
import { manualClock } from "./manual-clock.ts";
import { endpointsAt, policyTo, policyToHosts } from "./policies.ts";
import { recordingLog } from "./recording-log.ts";
import { RecordingPublisher } from "./recording-publisher.ts";

const a = "backend-a.demo.svc.cluster.local:8080";
const b = "backend-b.demo.svc.cluster.local:8080";
const frontend = "frontend.demo.svc.cluster.local:80";
const idleMs = 90_000;

class Rig implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly clock = manualClock();
  readonly publisher = new RecordingPublisher();
  readonly log = recordingLog();
  readonly endpoints: EndpointWatches;
  readonly discovery: Discovery;
  readonly #services: readonly ControlService[];

  constructor(plane: ControlPlane, options: Partial<DiscoveryOptions>, lookUp: LookUp) {
    this.plane = plane;
    const { clock: surroundings, publisher, log } = this;
    const policy = new ControlService("policy", openChannel(plane.address("policy")), log);
    const destination = new ControlService(
      "destination",
      openChannel(plane.address("destination")),
      log,
    );
    this.#services = [policy, destination];
    const told = { surroundings, publisher, log };
    this.endpoints = new EndpointWatches({
      ...told,
      service: destination,
      context: '{"ns":"demo"}',
      onKnown: (authority) => this.discovery.endpointsKnown(authority),
      names: { lookUp, allowsLoopback: true },
    });
    const workload = '{"ns":"demo","pod":"frontend-1"}';
    this.discovery = new Discovery({
      ...told,
      service: policy,
      endpoints: this.endpoints,
      profiles: { service: destination, context: '{"ns":"demo"}' },
      workload,
      idleMs,
      ...options,
    });
  }

  /** Lets go what waits for the next turn: new streams. */
  discover(target: string): void {
    this.discovery.discover(target);
    this.clock.advance(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.discovery.close();
    for (const service of this.#services) service.close();
    await this.plane[Symbol.asyncDispose]();
  }
}

async function start(
  options: Partial<DiscoveryOptions> = {},
  lookUp: LookUp = makeLookUp(),
): Promise<Rig> {
  return new Rig(await ControlPlane.start(), options, lookUp);
}

/** Turns the clock, or by nothing, until it holds: streams are opened by the clock, answers come over real sockets. */
async function until(rig: Rig, condition: () => boolean, stepMs = 0): Promise<void> {
  while (!condition()) {
    rig.clock.advance(stepMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The next answer for a target. */
function nextTable(rig: Rig, target: string): Promise<OutboundSnapshot> {
  rig.clock.advance(0);
  return rig.publisher.next("outbound", (one) => one.target === target);
}

function backendsOf({ answer }: OutboundSnapshot): readonly string[] {
  if (answer.kind !== "policy") return [];
  return answer.table.backends.map(({ dispatch }) =>
    dispatch.kind === "balancer" ? dispatch.authority : dispatch.kind,
  );
}

test("Discovery publishes the endpoints of every backend before the table that names them", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo(a, b));
  rig.plane.setEndpoints(a, endpointsAt(1));
  rig.plane.setEndpoints(b, endpointsAt(2));
  rig.discover(a);
  await until(rig, () => rig.publisher.published.length === 3);
  const kinds = rig.publisher.published.map(({ kind }) => kind);
  t.deepEqual(kinds, ["endpoints", "endpoints", "outbound"]);
  t.deepEqual(backendsOf(await nextTable(rig, a)), [a, b]);
  t.deepEqual([...rig.plane.versions], ["1"]);
});

test("Discovery holds a table back until the endpoints of its new backend are known", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo(a));
  rig.plane.setEndpoints(a, endpointsAt(1));
  rig.discover(a);
  await nextTable(rig, a);
  rig.plane.setOutbound(a, policyTo(b));
  await until(rig, () => rig.plane.watching("endpoints", b) === 1);
  t.deepEqual(rig.publisher.published, []);
  t.is(rig.plane.watching("endpoints", a), 1);
  rig.plane.setEndpoints(b, endpointsAt(2));
  await rig.publisher.next("endpoints", ({ authority }) => authority === b);
  t.deepEqual(backendsOf(await nextTable(rig, a)), [b]);
  await rig.publisher.next("drop-endpoints", ({ authority }) => authority === a);
  await until(rig, () => rig.plane.watching("endpoints", a) === 0);
  t.pass();
});

test("Discovery publishes a table whose endpoints stay unknown after a second, however often it changes", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo(b));
  rig.discover(a);
  await until(rig, () => rig.plane.watching("endpoints", b) === 1);
  rig.clock.advance(endpointWaitMs / 2);
  rig.plane.setOutbound(a, policyTo(b, a));
  await until(rig, () => rig.plane.watching("endpoints", a) === 1);
  t.deepEqual(rig.publisher.published, []);
  rig.clock.advance(endpointWaitMs / 2);
  t.deepEqual(backendsOf(await nextTable(rig, a)), [b, a]);
});

test("Discovery watches the endpoints that two targets share once, until the last lets go", async (t) => {
  await using rig = await start();
  rig.plane.setEndpoints(a, endpointsAt(1));
  rig.plane.setOutbound(a, policyTo(a));
  rig.plane.setOutbound(frontend, policyTo(a));
  rig.discover(a);
  await nextTable(rig, a);
  rig.discover(frontend);
  await nextTable(rig, frontend);
  t.is(rig.plane.watching("endpoints", a), 1);
  t.is(rig.endpoints.facts().get(a)?.users, 2);

  rig.plane.setOutbound(a, undefined);
  await nextTable(rig, a);
  t.is(rig.endpoints.facts().get(a)?.users, 1);
  rig.plane.setOutbound(frontend, undefined);
  await rig.publisher.next("drop-endpoints");
  await until(rig, () => rig.plane.watching("endpoints", a) === 0);
  t.is(rig.endpoints.facts().size, 0);
});

test("Discovery asks once however often it is asked, and repeats what it knows", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo());
  rig.discover(a);
  rig.discover(a);
  const first = await nextTable(rig, a);
  rig.discover(a);
  t.deepEqual(await nextTable(rig, a), first);
  t.deepEqual(rig.plane.asked, [a]);
});

test("Discovery asks by address for a target that is an address", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound("10.0.0.1:80", policyTo());
  rig.plane.setOutbound("2001:db8::1:80", policyTo());
  rig.discover("10.0.0.1:80");
  await nextTable(rig, "10.0.0.1:80");
  rig.discover("[2001:db8::1]:80");
  await nextTable(rig, "[2001:db8::1]:80");
  t.deepEqual(rig.plane.asked, ["10.0.0.1:80", "2001:db8::1:80"]);
});

test("Discovery answers that a destination is unknown, once, and finds it when it is created", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, undefined);
  rig.discover(a);
  const { answer } = await nextTable(rig, a);
  t.deepEqual(answer, { kind: "unknown", reason: "NOT_FOUND: unknown target" });
  t.is(rig.discovery.facts().get(a)?.stream.state, "refused");
  rig.clock.advance(999);
  t.is(rig.plane.asked.length, 1);
  rig.clock.advance(2_000);
  await until(rig, () => rig.plane.asked.length === 2);
  await until(rig, () => rig.plane.watching("outbound", a) === 0);
  t.deepEqual(rig.publisher.published, []);
  rig.plane.setOutbound(a, policyTo());
  await until(rig, () => rig.publisher.published.length > 0, 100);
  t.is((await nextTable(rig, a)).answer.kind, "policy");
});

test("sweep() lets go of a target that was not used for the idle time, and of its endpoints", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo(a));
  rig.plane.setEndpoints(a, endpointsAt(1));
  rig.discover(a);
  await nextTable(rig, a);
  rig.clock.advance(idleMs - 1_000);
  rig.discovery.used([a]);
  rig.clock.advance(idleMs - 1_000);
  t.deepEqual(rig.publisher.published, []);
  rig.clock.advance(2_000);
  const dropped = await rig.publisher.next("drop-outbound");
  t.is(dropped.target, a);
  await rig.publisher.next("drop-endpoints");
  await until(rig, () => rig.plane.watching("outbound", a) === 0);
  await until(rig, () => rig.plane.watching("endpoints", a) === 0);
  rig.discover(a);
  await nextTable(rig, a);
  t.is(rig.plane.asked.length, 2);
});

test("sweep() keeps the last policy while the policy service is away, then follows what it says on its return", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo());
  rig.discover(a);
  await nextTable(rig, a);
  const startAgain = await rig.plane.stop("policy");
  await until(rig, () => rig.discovery.facts().get(a)?.stream.state === "disconnected");
  rig.clock.advance(2 * idleMs);
  t.deepEqual(rig.publisher.published, []);
  t.is(rig.discovery.facts().get(a)?.snapshot?.answer.kind, "policy");
  t.true(rig.log.text().includes("control_plane_lost"));

  await startAgain();
  rig.plane.setOutbound(a, policyTo(b));
  rig.plane.setEndpoints(b, endpointsAt(1));
  const connected = (): boolean => rig.discovery.facts().get(a)?.stream.state === "connected";
  rig.discovery.used([a]);
  await until(rig, connected, 100);
  t.deepEqual(backendsOf(await nextTable(rig, a)), [b]);
  t.true(rig.log.text().includes("control_plane_back"));
});

test("sweep() lets go of a target that was never answered", async (t) => {
  await using rig = await start();
  rig.discover(a);
  await until(rig, () => rig.plane.watching("outbound", a) === 1);
  rig.clock.advance(2 * idleMs);
  t.is(rig.discovery.facts().size, 0);
  t.deepEqual(rig.publisher.published, []);
});

test("Discovery keeps so many targets, and lets the one go that was not used for longest", async (t) => {
  await using rig = await start({ maxTargets: 2 });
  for (const target of [a, b, frontend]) rig.plane.setOutbound(target, policyTo());
  rig.discover(a);
  await nextTable(rig, a);
  rig.discover(b);
  await nextTable(rig, b);
  rig.discovery.used([a]);
  rig.discover(frontend);
  t.is((await rig.publisher.next("drop-outbound")).target, b);
  t.deepEqual([...rig.discovery.facts().keys()].toSorted(), [a, frontend]);
});

test("Discovery reports what it cannot understand, and goes on with the rest", async (t) => {
  await using rig = await start();
  rig.plane.setRawOutbound(a, create(OutboundPolicySchema, {}));
  rig.discover(a);
  const { answer } = await nextTable(rig, a);
  t.is(answer.kind, "policy");
  t.true((rig.discovery.facts().get(a)?.faults.length ?? 0) > 0);
  t.true(rig.log.text().includes("outbound_policy_faulty"));
});

test("EndpointWatches looks up the names of a backend outside the mesh, and asks the control plane nothing", async (t) => {
  await using dns = await DnsServer.start();
  await using rig = await start({}, makeLookUp({ servers: [dns.address], families: [4] }));
  dns.zone.set("api.example.com", [{ ip: "127.0.0.7", ttl: 30 }]);
  const hosts = [
    { host: "api.example.com", port: 80 },
    { host: "127.0.0.8", port: 81 },
  ];
  rig.plane.setOutbound(a, policyToHosts(hosts));
  rig.discover(a);
  const outside = staticAuthority(hosts);
  await until(rig, () => rig.publisher.published.length === 2);
  const { table, authority } = await rig.publisher.next("endpoints");
  t.is(authority, outside);
  t.deepEqual(table.endpoints.map(endpointKey), ["127.0.0.7:80", "127.0.0.8:81"]);
  t.deepEqual(backendsOf(await nextTable(rig, a)), ["static"]);
  t.is(rig.plane.watching("endpoints", outside), 0);
  t.like(rig.endpoints.facts().get(outside), { stream: { state: "connected" } });
  // They move when the name does, and are let go with the policy.
  dns.zone.set("api.example.com", [{ ip: "127.0.0.9", ttl: 30 }]);
  rig.clock.advance(40_000);
  const moved = await rig.publisher.next("endpoints");
  t.deepEqual(moved.table.endpoints.map(endpointKey), ["127.0.0.8:81", "127.0.0.9:80"]);
  rig.plane.setOutbound(a, policyTo(a));
  rig.plane.setEndpoints(a, endpointsAt(1));
  await until(rig, () => rig.publisher.published.some(({ kind }) => kind === "drop-endpoints"));
  t.is((await rig.publisher.next("drop-endpoints")).authority, outside);
});

test("EndpointWatches replaces what it knew with the first message of a new stream", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo(a));
  rig.plane.setEndpoints(a, endpointsAt(1, 2));
  rig.discover(a);
  await nextTable(rig, a);
  const startAgain = await rig.plane.stop("destination");
  rig.plane.setEndpoints(a, endpointsAt(2, 3));
  await until(rig, () => rig.endpoints.facts().get(a)?.stream.state === "disconnected");
  await startAgain();
  await until(rig, () => rig.plane.watching("endpoints", a) === 1, 100);
  const { table } = await rig.publisher.next("endpoints");
  t.deepEqual(
    table.endpoints.map(({ port }) => port),
    [2, 3],
  );
});

test("EndpointWatches takes a refusal for a backend that does not exist", async (t) => {
  await using rig = await start();
  rig.plane.setOutbound(a, policyTo(a));
  rig.plane.refuseEndpoints(a);
  rig.discover(a);
  const { table } = await rig.publisher.next("endpoints");
  t.deepEqual(table, { exists: false, endpoints: [] });
  await nextTable(rig, a);
});

test("release() of what was not acquired is a bug", async (t) => {
  await using rig = await start();
  t.throws(() => rig.endpoints.release(a));
});
