import test from "ava";
import { admitRequest } from "../../src/core/decide/admit.ts";
import { parseIp } from "../../src/core/std/ip.ts";
import { openChannel } from "../../src/edge/grpc/client.ts";
import { ControlService } from "../../src/sidecar/control-service.ts";
import { refusedBackoff } from "../../src/sidecar/follow-stream.ts";
import { type InboundWatches, watchInbound } from "../../src/sidecar/watch-inbound.ts";
import type { InboundSnapshot } from "../../src/thread/messages.ts";
import { ControlPlane } from "./control-plane.ts";
import { manualClock } from "./manual-clock.ts";
import { everybody, inboundFor } from "./policies.ts";
import { recordingLog } from "./recording-log.ts";
import { RecordingPublisher } from "./recording-publisher.ts";

class Rig implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly clock = manualClock();
  readonly publisher = new RecordingPublisher();
  readonly log = recordingLog();
  readonly watches: InboundWatches;
  readonly #service: ControlService;

  constructor(plane: ControlPlane, ports: readonly number[], maxUndeclared?: number) {
    this.plane = plane;
    const { clock: surroundings, publisher, log } = this;
    this.#service = new ControlService("policy", openChannel(plane.address("policy")), log);
    const workload = '{"ns":"demo","pod":"backend-a-1"}';
    const options = { service: this.#service, surroundings, publisher, log, workload };
    const limit = maxUndeclared === undefined ? {} : { maxUndeclared };
    this.watches = watchInbound({ ...options, ...limit }, ports);
    this.clock.advance(0);
  }

  async until(condition: () => boolean, stepMs = 0): Promise<void> {
    while (!condition()) {
      this.clock.advance(stepMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.watches.close();
    this.#service.close();
    await this.plane[Symbol.asyncDispose]();
  }
}

async function start(...ports: readonly number[]): Promise<Rig> {
  return new Rig(await ControlPlane.start(), ports);
}

/** Whether a client without identity may send a request to the first route. */
function admitsAnyone({ table }: InboundSnapshot): boolean {
  const ip = parseIp("192.0.2.1");
  if (ip === undefined) throw new Error("Not an address");
  return admitRequest(table, 0, { ip, tls: false, identity: undefined }) >= 0;
}

test("watchInbound() publishes the policy of each port, and each change", async (t) => {
  await using rig = await start(8080, 9090);
  rig.plane.setInbound(8080, inboundFor());
  rig.plane.setInbound(9090, inboundFor(everybody()));
  t.false(admitsAnyone(await rig.publisher.next("inbound", ({ port }) => port === 8080)));
  rig.plane.setInbound(8080, inboundFor(everybody("later")));
  const changed = await rig.publisher.next("inbound", ({ port }) => port === 8080);
  t.true(admitsAnyone(changed));
  t.is(rig.watches.facts().get(8080)?.snapshot, changed);
  t.deepEqual([...rig.plane.versions], ["1"]);
});

test("watchInbound() publishes nothing before the first answer", async (t) => {
  await using rig = await start(8080);
  await rig.until(() => rig.plane.versions.size > 0);
  t.deepEqual(rig.publisher.published, []);
  t.is(rig.watches.facts().get(8080)?.snapshot, undefined);
});

test("watchInbound() admits nobody to a port that the service does not know, until it does", async (t) => {
  await using rig = await start(8080);
  rig.plane.setInbound(8080, undefined);
  t.false(admitsAnyone(await rig.publisher.next("inbound")));
  t.is(rig.watches.facts().get(8080)?.stream.state, "refused");
  rig.plane.setInbound(8080, inboundFor(everybody()));
  await rig.until(() => rig.publisher.published.length > 0, 100);
  t.true(admitsAnyone(await rig.publisher.next("inbound")));
});

test("watchInbound() closes a port whose policy is taken away", async (t) => {
  await using rig = await start(8080);
  rig.plane.setInbound(8080, inboundFor(everybody()));
  t.true(admitsAnyone(await rig.publisher.next("inbound")));
  rig.plane.setInbound(8080, undefined);
  t.false(admitsAnyone(await rig.publisher.next("inbound")));
  t.true(rig.log.text().includes("inbound_policy_refused"));
});

test("watchInbound() asks again after a refusal, a second or more later, and tells a repeated one once", async (t) => {
  await using rig = await start(8080);
  rig.plane.setInbound(8080, undefined);
  await rig.publisher.next("inbound");
  const pauseMs = refusedBackoff.minMs * (1 + refusedBackoff.jitter * rig.clock.random());
  t.deepEqual(rig.clock.pauses(), [pauseMs]);
  rig.clock.advance(pauseMs);
  // The second refusal waits twice as long as the first.
  await rig.until(() => rig.clock.pauses()[0] === 2 * pauseMs);
  t.deepEqual(rig.publisher.published, []);
  t.is(rig.log.text().split("inbound_policy_refused").length, 2);
});

test("watchInbound() keeps the last policy while the service is away", async (t) => {
  await using rig = await start(8080);
  rig.plane.setInbound(8080, inboundFor(everybody()));
  const known = await rig.publisher.next("inbound");
  const startAgain = await rig.plane.stop("policy");
  await rig.until(() => rig.watches.facts().get(8080)?.stream.state === "disconnected");
  rig.clock.advance(3_600_000);
  const fact = rig.watches.facts().get(8080);
  t.is(fact?.snapshot, known);
  t.true(rig.clock.nowMs() - (fact?.receivedMs ?? 0) >= 3_600_000);
  t.deepEqual(rig.publisher.published, []);
  await startAgain();
  await rig.until(() => rig.watches.facts().get(8080)?.stream.state === "connected", 100);
  t.true(admitsAnyone(await rig.publisher.next("inbound")));
});

test("watchInbound() watches a port that nobody declared once a client came for it, and once only", async (t) => {
  await using rig = await start(8080);
  rig.plane.setInbound(9090, inboundFor(everybody()));
  for (let at = 0; at < 3; at++) rig.watches.want(9090);
  rig.watches.want(8080);
  rig.clock.advance(0);
  t.true(admitsAnyone(await rig.publisher.next("inbound", ({ port }) => port === 9090)));
  const facts = rig.watches.facts();
  t.deepEqual([...facts.keys()], [8080, 9090]);
  t.deepEqual([facts.get(8080)?.isDeclared, facts.get(9090)?.isDeclared], [true, false]);
});

test("watchInbound() lets go of what was wanted first when clients come for too many ports", async (t) => {
  await using rig = new Rig(await ControlPlane.start(), [8080], 2);
  for (const port of [1, 2, 3]) rig.watches.want(port);
  t.is((await rig.publisher.next("drop-inbound")).port, 1);
  t.deepEqual(
    [...rig.watches.facts().keys()].toSorted((x, y) => x - y),
    [2, 3, 8080],
  );
});
