/**
 * Nanoseconds of one exchange without the kernel: a request is fed to a connection, and the response to the connection to
 * the endpoint, over wires that take everything. What is left is all that our own code does. Run:
 * `node benchmarks/proxy/exchange.ts`.
 */
import { defaultLimits } from "../../src/config/sidecar.ts";
import { parseIp } from "../../src/core/std/ip.ts";
import { BufferPool } from "../../src/edge/net/buffer-pool.ts";
import type { Wire, WireOwner } from "../../src/edge/net/wire.ts";
import { Counts } from "../../src/proxy/count.ts";
import { Decisions, type Edition } from "../../src/proxy/decisions.ts";
import { Downstream } from "../../src/proxy/downstream.ts";
import { Notices } from "../../src/proxy/notices.ts";
import { outboundAnswers } from "../../src/proxy/outbound.ts";
import { RateLimiter } from "../../src/proxy/rate-limiter.ts";
import { Shard } from "../../src/proxy/shard.ts";
import { Tables } from "../../src/proxy/tables.ts";
import { TimerWheel } from "../../src/proxy/timer-wheel.ts";
import { Tokens } from "../../src/proxy/tokens.ts";
import { Upstream } from "../../src/proxy/upstream.ts";
import { slotCapacity } from "../../src/thread/counters.ts";
import type { WorkerSettings } from "../../src/thread/messages.ts";
import { rateLimitBytes } from "../../src/thread/rate-limits.ts";
import { nanosecondsPerCall } from "../codec/machine.ts";
import { snapshots } from "./snapshots.ts";

/** As many as the load of `http1.ts` has, so that no shape is seen on one connection only. */
const connections = 32;

class TakesAll implements Wire {
  owner: WireOwner = nobody;
  readonly remoteIp = "127.0.0.1";
  readonly encrypted = false;
  readonly givesBuffers = false;
  sentBytes = 0;

  send(_bytes: Buffer, start: number, end: number): boolean {
    this.sentBytes += end - start;
    return true;
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
  reset(): void {}
}

const nobody: WireOwner = {
  readBuffer: () => Buffer.alloc(0),
  onBytes: () => true,
  onWritten: () => {},
  onEnd: () => {},
  onClose: () => {},
};

const settings: WorkerSettings = {
  workers: 1,
  listeners: [],
  forwards: [],
  clusterDomain: "cluster.local",
  namespace: "demo",
  limits: defaultLimits,
  decisionHeader: "errors",
  accessLog: "off",
};

function makeShard(): Shard {
  const nowMs = (): number => performance.now();
  const counts = new Counts(new SharedArrayBuffer(slotCapacity * 8), () => {});
  const tables = new Tables({ settings, counts, nowMs, post: () => {} });
  for (const snapshot of snapshots(1)) tables.take(snapshot);
  const start = (): { stop(): void } => ({ stop: () => {} });
  return new Shard({
    settings,
    nowMs,
    wallMs: () => Date.now(),
    random: () => Math.random(),
    wheel: new TimerWheel({ nowMs, start }),
    pool: new BufferPool(),
    counts,
    tables,
    notices: new Notices(() => {}, nowMs),
    rateLimiter: new RateLimiter(new SharedArrayBuffer(rateLimitBytes), nowMs),
    tokens: new Tokens(
      () => Date.now(),
      () => {},
    ),
    decisions: new Decisions("benchmark"),
    accessLog: undefined,
  });
}

const shard = makeShard();
const ip = parseIp("127.0.0.1");
const answer = shard.tables.destination("web.demo")?.answer;
const group = answer?.kind === "policy" ? answer.policy.rules[0]?.choices[0]?.group : undefined;
const target = group?.members[0];
if (ip === undefined || target === undefined) throw new Error("The tables lead nowhere");

const upstreamWire = new TakesAll();
const upstream = new Upstream({
  shard,
  wire: upstreamWire,
  target,
  idle: target.idle,
  counts: shard.upstreamCounts("outbound", false),
  preface: undefined,
});
upstream.waitIdle(1_000);

const downstreamWires = Array.from({ length: connections }, () => {
  const wire = new TakesAll();
  new Downstream({
    shard,
    wire,
    origin: {
      direction: "outbound",
      port: 0,
      peer: { ip, tls: false, identity: undefined },
      destination: undefined,
    },
    answers: outboundAnswers,
    counts: shard.downstreamCounts("outbound", "disabled"),
  });
  return wire;
});

const request = Buffer.from(
  "GET /bench/100 HTTP/1.1\r\nHost: web.demo\r\nX-Route: bench\r\nUser-Agent: benchmark/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n",
);
const response = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: origin\r\n\r\n${"x".repeat(100)}`,
);

let next = 0;

function exchange(): void {
  const wire = downstreamWires[next++ % connections] as TakesAll;
  const before = wire.sentBytes;
  read(wire, request);
  read(upstreamWire, response);
  if (wire.sentBytes === before) throw new Error("The client got no answer");
}

function read(wire: TakesAll, bytes: Buffer): void {
  bytes.copy(shard.headBuffer);
  wire.owner.onBytes(shard.headBuffer, bytes.length);
  wire.owner.readBuffer();
}

const results = nanosecondsPerCall({ exchange }, 15, 100_000);
console.log(`one exchange: ${results["exchange"]} ns`);

/** What an exchange costs more because it can be explained: one that is under way is noted and recorded again and again. */
const wire = new TakesAll();
const downstream = new Downstream({
  shard,
  wire,
  origin: {
    direction: "outbound",
    port: 0,
    peer: { ip, tls: false, identity: undefined },
    destination: undefined,
  },
  answers: outboundAnswers,
  counts: shard.downstreamCounts("outbound", "disabled"),
});
read(wire, request);
const underWay = downstream.exchange;
const { edition, found } = underWay.decision;
if (edition === undefined || underWay.target === undefined) throw new Error("Nothing is under way");

function decision(): void {
  underWay.decision.routed(edition as Edition, found, underWay.view);
  underWay.decision.answered(200, 1);
  shard.decisions.record(underWay);
  underWay.decision.reset();
}

console.log(`its decision: ${nanosecondsPerCall({ decision }, 15, 100_000)["decision"]} ns`);
