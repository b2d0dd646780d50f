import { create } from "@bufbuild/protobuf";
import test from "ava";
import { grpcCode } from "../../src/core/model/grpc-status.ts";
import { noProfile, type Profile } from "../../src/core/model/profile.ts";
import { DestinationProfileSchema } from "../../src/core/wire/gen/linkerd/destination_pb.ts";
import { openChannel } from "../../src/edge/grpc/client.ts";
import { grpcFailure } from "../../src/edge/grpc/status.ts";
import { makeLookUp } from "../../src/edge/net/dns.ts";
import { ControlService } from "../../src/sidecar/control-service.ts";
import { Discovery, endpointWaitMs } from "../../src/sidecar/discovery.ts";
import { EndpointWatches } from "../../src/sidecar/watch-endpoints.ts";
import type { OutboundSnapshot } from "../../src/thread/messages.ts";
import { ControlPlane } from "./control-plane.ts";
import { manualClock } from "./manual-clock.ts";
import { endpointsAt, policyTo } from "./policies.ts";
import { recordingLog } from "./recording-log.ts";
import { RecordingPublisher } from "./recording-publisher.ts";

const a = "backend-a.demo.svc.cluster.local:8080";
const b = "backend-b.demo.svc.cluster.local:8080";
const name = "backend-a.demo.svc.cluster.local";

const splitToB: Profile = {
  ...noProfile,
  name,
  overrides: [{ authority: b, weight: 1, backend: undefined }],
};

class Rig implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly clock = manualClock();
  readonly publisher = new RecordingPublisher();
  readonly log = recordingLog();
  readonly discovery: Discovery;
  readonly #services: readonly ControlService[];

  private constructor(plane: ControlPlane) {
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
    const context = '{"ns":"demo"}';
    const endpoints = new EndpointWatches({
      ...told,
      service: destination,
      context,
      onKnown: (authority) => this.discovery.endpointsKnown(authority),
      names: { lookUp: makeLookUp(), allowsLoopback: true },
    });
    this.discovery = new Discovery({
      ...told,
      service: policy,
      endpoints,
      profiles: { service: destination, context },
      workload: '{"ns":"demo","pod":"frontend-1"}',
      idleMs: 90_000,
    });
  }

  /** Service a has a policy that leads to a, and both have endpoints. */
  static async start(): Promise<Rig> {
    const rig = new Rig(await ControlPlane.start());
    rig.plane.setOutbound(a, policyTo(a));
    rig.plane.setEndpoints(a, endpointsAt(1));
    rig.plane.setEndpoints(b, endpointsAt(2));
    return rig;
  }

  discover(target: string): void {
    this.discovery.discover(target);
    this.clock.advance(0);
  }

  /** Streams are opened by the clock, answers come over real sockets. */
  async until(condition: () => boolean, stepMs = 0): Promise<void> {
    while (!condition()) {
      this.clock.advance(stepMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The next answer for a target. */
  next(target: string): Promise<OutboundSnapshot> {
    this.clock.advance(0);
    return this.publisher.next("outbound", (one) => one.target === target);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.discovery.close();
    for (const service of this.#services) service.close();
    await this.plane[Symbol.asyncDispose]();
  }
}

function backendsOf({ answer }: OutboundSnapshot): readonly string[] {
  if (answer.kind !== "policy") return [];
  return answer.table.backends.map(({ dispatch }) =>
    dispatch.kind === "balancer" ? dispatch.authority : dispatch.kind,
  );
}

test("Discovery publishes nothing before the profile is known, and then what the profile says", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(b, noProfile);
  rig.discover(a);
  await rig.until(() => rig.plane.watching("profile", a) === 1);
  await rig.until(() => rig.plane.watching("endpoints", a) === 1);
  await rig.publisher.next("endpoints");
  t.deepEqual(rig.publisher.published, []);
  rig.plane.setProfile(a, splitToB);
  t.deepEqual(backendsOf(await rig.next(a)), [b]);
});

test("Discovery publishes the policy alone when the profile stays unknown for a second, and follows it when it comes", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(b, noProfile);
  rig.discover(a);
  await rig.until(() => rig.plane.watching("endpoints", a) === 1);
  await rig.publisher.next("endpoints");
  rig.clock.advance(endpointWaitMs);
  t.deepEqual(backendsOf(await rig.next(a)), [a]);
  rig.plane.setProfile(a, splitToB);
  t.deepEqual(backendsOf(await rig.next(a)), [b]);
});

test("Discovery publishes nothing anew for a profile that says nothing", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(a, { ...noProfile, name });
  rig.discover(a);
  t.deepEqual(backendsOf(await rig.next(a)), [a]);
  rig.plane.setProfile(a, { ...noProfile, name, parent: { type: "default", name: "new" } });
  rig.plane.setProfile(a, splitToB);
  t.deepEqual(backendsOf(await rig.next(a)), [b]);
});

test("Discovery follows each change of a profile, and goes back to the policy when it is gone", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(a, splitToB);
  rig.discover(a);
  t.deepEqual(backendsOf(await rig.next(a)), [b]);
  rig.plane.setProfile(a, { ...splitToB, overrides: [], routes: [] });
  t.deepEqual(backendsOf(await rig.next(a)), [a]);
  rig.plane.setProfile(a, splitToB);
  t.deepEqual(backendsOf(await rig.next(a)), [b]);
  rig.plane.setProfile(a, grpcFailure(grpcCode.notFound, "gone"));
  t.deepEqual(backendsOf(await rig.next(a)), [a]);
});

test("Discovery keeps the last profile while the destination service is away", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(a, splitToB);
  rig.discover(a);
  t.deepEqual(backendsOf(await rig.next(a)), [b]);
  const again = await rig.plane.stop("destination");
  await rig.until(() => rig.discovery.facts().get(a)?.profile.stream.state === "disconnected");
  const accrual = undefined;
  rig.plane.setOutbound(a, { ...policyTo(a), accrual, protocol: "detect" });
  const { answer } = await rig.next(a);
  t.like(answer, { kind: "policy", table: { protocol: "detect", http: { order: "list" } } });
  rig.plane.setProfile(a, { ...splitToB, overrides: [] });
  await again();
  await rig.until(() => rig.publisher.published.some(({ kind }) => kind === "outbound"), 100);
  t.deepEqual(backendsOf(await rig.next(a)), [a]);
});

for (const code of [
  "invalidArgument",
  "notFound",
  "failedPrecondition",
  "unimplemented",
] as const) {
  test(`Discovery takes ${code} for a destination without a profile`, async (t) => {
    await using rig = await Rig.start();
    rig.plane.setProfile(a, grpcFailure(grpcCode[code], "none"));
    rig.discover(a);
    t.deepEqual(backendsOf(await rig.next(a)), [a]);
  });
}

test("Discovery asks for the profile of a target that is an address by its address", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setOutbound("10.96.0.1:8080", policyTo(a));
  rig.plane.setProfile("10.96.0.1:8080", splitToB);
  rig.discover("10.96.0.1:8080");
  const found = await rig.next("10.96.0.1:8080");
  t.deepEqual(backendsOf(found), [b]);
  t.is(found.answer.kind === "policy" && found.answer.table.rules[0]?.canonical, a);
});

test("Discovery takes a profile that tells an endpoint only as one that says nothing", async (t) => {
  await using rig = await Rig.start();
  const addr = { ip: { ip: { case: "ipv4", value: 0x0a000001 } }, port: 80 } as const;
  rig.plane.setRawProfile(a, create(DestinationProfileSchema, { endpoint: { addr, weight: 1 } }));
  rig.discover(a);
  t.deepEqual(backendsOf(await rig.next(a)), [a]);
  t.like(rig.discovery.facts().get(a)?.profile.profile, { endpoint: { ip: "10.0.0.1" } });
});

test("Discovery reports what it cannot understand of a profile, and its route refuses", async (t) => {
  await using rig = await Rig.start();
  const message = create(DestinationProfileSchema, { fullyQualifiedName: name, routes: [{}] });
  rig.plane.setRawProfile(a, message);
  rig.discover(a);
  const { answer } = await rig.next(a);
  t.regex(
    (answer.kind === "policy" && answer.table.http.entries[0]?.unreadable) || "",
    /routes\[0\]\.condition: is missing/,
  );
  t.is(rig.discovery.facts().get(a)?.profile.faults.length, 1);
});

test("sweep() lets go of the profile together with its target", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(a, splitToB);
  rig.discover(a);
  await rig.next(a);
  rig.clock.advance(100_000);
  await rig.until(() => rig.plane.watching("profile", a) === 0);
  t.is(rig.discovery.facts().size, 0);
});

const pod = "10.244.0.9:8080";
const podEndpoint = {
  ip: "10.244.0.9",
  port: 8080,
  weight: 1,
  tls: { identity: "pod.demo.id", serverName: "pod.demo.id" },
  inboundPort: 4143,
  hint: "none",
  labels: {},
} as const;

test("Discovery forwards to an address without a policy as its profile says, and not before", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(a, noProfile);
  rig.plane.setOutbound(pod, undefined);
  rig.discover(pod);
  await rig.until(() => rig.discovery.facts().get(pod)?.stream.state === "refused");
  t.deepEqual(rig.publisher.published, []);
  rig.plane.setProfile(pod, { ...noProfile, endpoint: podEndpoint });
  const { answer } = await rig.next(pod);
  const table = answer.kind === "policy" ? answer.table : undefined;
  t.is(table?.protocol, "detect");
  t.deepEqual(table?.backends, [
    {
      meta: { type: "default", name: "endpoint" },
      dispatch: { kind: "forward", endpoint: podEndpoint },
    },
  ]);
  rig.plane.setProfile(pod, { ...noProfile, endpoint: podEndpoint, opaque: true });
  const { answer: opaque } = await rig.next(pod);
  t.is(opaque.kind === "policy" ? opaque.table.protocol : "", "opaque");
});

test("Discovery forwards to an address that neither service knows, as it is", async (t) => {
  await using rig = await Rig.start();
  rig.plane.setProfile(pod, grpcFailure(grpcCode.notFound, "no such address"));
  rig.plane.setOutbound(pod, undefined);
  rig.discover(pod);
  const { answer } = await rig.next(pod);
  const [backend] = answer.kind === "policy" ? answer.table.backends : [];
  t.deepEqual(backend?.meta, { type: "default", name: "fallback" });
  t.deepEqual(backend?.dispatch, {
    kind: "forward",
    endpoint: { ...podEndpoint, tls: undefined, inboundPort: 0 },
  });
});

test("Discovery forwards neither to an address of loopback nor to a name", async (t) => {
  await using rig = await Rig.start();
  for (const target of ["127.0.0.1:80", a]) {
    rig.plane.setOutbound(target, undefined);
    rig.plane.setProfile(target, noProfile);
    rig.discover(target);
    t.is((await rig.next(target)).answer.kind, "unknown", target);
  }
});
