/** Sends a request to an endpoint: over a connection that waits in the pool, or over a new one. */
import { writeHead } from "../codec/http1-write.ts";
import { writeTransportHeader } from "../codec/transport-header.ts";
import { type Endpoint, endpointKey } from "../core/model/endpoint.ts";
import { type DialTarget, dial } from "../edge/net/dial.ts";
import type { Exchange, Target, TargetGroup } from "./exchange.ts";
import type { Guard } from "./guard.ts";
import { type ErrorCode, rescue } from "./rescue.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";
import { Upstream } from "./upstream.ts";

/** `pooled`: over a connection that waits in the pool, if there is one. `fresh`: over a new one. */
export type Forwarding = "pooled" | "fresh";

/** The response goes to the client by itself. When there is none, `exchange.answers.failed` is called, later. */
export function forward(
  exchange: Exchange,
  group: TargetGroup,
  target: Target,
  how: Forwarding,
): void {
  exchange.group = group;
  exchange.target = target;
  group.begin(target);
  // A tunnel takes its connection along, and a CONNECT that met one which was just closed could not be sent again.
  const isFresh = how === "fresh" || exchange.head.method === "CONNECT";
  const waiting = isFresh ? undefined : target.idle.pop();
  if (waiting === undefined) {
    connect(exchange, group, target);
    return;
  }
  waiting.leaveIdle();
  send(exchange, waiting);
}

function connect(exchange: Exchange, group: TargetGroup, target: Target): void {
  const { shard } = exchange;
  const dialed = dialTargetOf(shard, target.endpoint);
  if (dialed === undefined) {
    group.end(target);
    rescue(exchange, "no-identity");
    return;
  }
  const timer = new Timer(() => {
    dialing.cancel();
    fail("connect-timeout", "it did not answer in time");
  });
  const fail = (code: ErrorCode, why: string): void => {
    shard.wheel.forget(timer);
    exchange.cancelWait = undefined;
    group.end(target);
    target.failed(shard.nowMs(), shard.random());
    const reason = `${endpointKey(target.endpoint)}: ${why}`;
    exchange.answers.failed(exchange, { code, reason, stale: false, nothingSent: true });
  };
  const dialing = (target.open ?? dial)({
    target: dialed,
    pool: shard.pool,
    firstBuffer: shard.headBuffer,
    onOpen: (wire) => {
      shard.wheel.forget(timer);
      exchange.cancelWait = undefined;
      target.reached();
      const counts = shard.upstreamCounts(exchange.origin.direction, wire.encrypted);
      const preface = prefaceOf(target.endpoint);
      exchange.readyMs = shard.nowMs();
      send(exchange, new Upstream({ shard, wire, target, counts, preface }));
    },
    onFailure: ({ kind, reason }) =>
      fail(kind === "identity" ? "wrong-identity" : "connect-failed", reason),
  });
  exchange.cancelWait = () => {
    shard.wheel.forget(timer);
    dialing.cancel();
    group.end(target);
  };
  shard.wheel.arm(timer, shard.limits.connectTimeoutMs);
}

function send(exchange: Exchange, upstream: Upstream): void {
  const { shard } = exchange;
  exchange.state = "forwarding";
  exchange.upstream = upstream;
  upstream.begin(exchange);
  const start = upstream.writePreface(shard.scratch);
  if (exchange.replayLength > 0) {
    upstream.sendScratch(exchange.copyReplay(shard.scratch, start));
  } else if (!sendRequest(exchange, upstream, start)) {
    rescue(exchange, "bad-request", { status: 431, reason: "the request head is too long" });
    return;
  }
  if (exchange.guard !== undefined) sendKept(exchange, exchange.guard, upstream);
  exchange.downstream.goOn();
}

/** What has come of the body since the head. From now on the exchange keeps what another try would need. */
function sendKept(exchange: Exchange, guard: Guard, upstream: Upstream): void {
  const { bytes, length } = guard.body;
  upstream.sendCopy(bytes, 0, length);
  if (exchange.rule?.retry !== undefined) exchange.detach();
  guard.sent();
}

/** Head, and what has come of the body, in one write if they fit. */
function sendRequest(exchange: Exchange, upstream: Upstream, start: number): boolean {
  const { shard, head, bytes, bodyStart, bodyEnd } = exchange;
  const { scratch } = shard;
  const headEnd = writeHead(scratch, start, head, exchange.startLine, exchange.requestEdit);
  if (headEnd < 0) return false;
  const copied = Math.min(bodyEnd - bodyStart, scratch.length - headEnd);
  if (copied > 0) bytes.copy(scratch, headEnd, bodyStart, bodyStart + copied);
  const end = headEnd + copied;
  if (upstream.wasUsed && bodyStart + copied === bodyEnd) {
    exchange.keepForReplay(scratch, start, end);
  }
  upstream.sendScratch(end);
  upstream.sendCopy(bytes, bodyStart + copied, bodyEnd);
  return true;
}

/** Undefined: this proxy cannot prove who it is yet. An endpoint with an identity is never spoken to in plain text. */
export function dialTargetOf(shard: Shard, endpoint: Endpoint): DialTarget | undefined {
  const { ip, port, tls, inboundPort } = endpoint;
  if (tls === undefined) return { host: ip, port, tls: undefined };
  const context = shard.clientContext;
  if (context === undefined) return undefined;
  const withTransportHeader = inboundPort !== 0;
  return {
    host: ip,
    port: withTransportHeader ? inboundPort : port,
    tls: { ...tls, context, withTransportHeader },
  };
}

export function prefaceOf({ port, tls, inboundPort }: Endpoint): Buffer | undefined {
  if (tls === undefined || inboundPort === 0) return undefined;
  return writeTransportHeader({ port, name: "", protocol: "http1" });
}
