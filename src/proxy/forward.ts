/** Sends a request to an endpoint: over a connection that waits in the pool, or over a new one. */
import { writeHead } from "../codec/http1-write.ts";
import { writeTransportHeader } from "../codec/transport-header.ts";
import { type Endpoint, endpointKey } from "../core/model/endpoint.ts";
import { type DialTarget, dial } from "../edge/net/dial.ts";
import type { Wire } from "../edge/net/wire.ts";
import type { Exchange, Target, TargetGroup } from "./exchange.ts";
import type { Guard } from "./guard.ts";
import { Http2Pool, notHttp2 } from "./http2-pool.ts";
import type { Direction } from "./labels.ts";
import { type ErrorCode, rescue } from "./rescue.ts";
import type { Shard } from "./shard.ts";
import { noteOriginalProtocol, speaksHttp2 } from "./speaks-http2.ts";
import { Timer } from "./timer-wheel.ts";
import { Upstream } from "./upstream.ts";

/** A stream is no connection; the one that carries it is counted. */
const uncounted = { opened: (): void => {}, closed: (): void => {} };

/** `pooled`: over a connection that waits in the pool, if there is one. `fresh`: over a new one. */
export type Forwarding = "pooled" | "fresh";

/** Happens once in the life of a sidecar, so looking often costs less than a list of who waits. */
export const identityPollMs = 50;

/** The response goes to the client by itself. When there is none, `exchange.answers.failed` is called, later. */
export function forward(
  exchange: Exchange,
  group: TargetGroup,
  target: Target,
  how: Forwarding,
): void {
  exchange.group = group;
  exchange.target = target;
  if (exchange.trace !== undefined) exchange.trace.attempt(exchange, target);
  group.begin(target);
  if (speaksHttp2(exchange, target)) {
    forwardHttp2(exchange, group, target);
    return;
  }
  // A tunnel takes its connection along, and a CONNECT that met one which was just closed could not be sent again.
  const isFresh = how === "fresh" || exchange.head.method === "CONNECT";
  const waiting = isFresh ? undefined : target.idle.pop();
  if (waiting === undefined) {
    connect(exchange, group, target, undefined);
    return;
  }
  waiting.leaveIdle();
  send(exchange, waiting);
}

/** Over a stream of a connection that is there, or over a new connection. */
function forwardHttp2(exchange: Exchange, group: TargetGroup, target: Target): void {
  const pool = poolOf(exchange, target);
  noteOriginalProtocol(exchange, target);
  if (pool.link !== undefined) sendOnStream(exchange, target, pool);
  else if (pool.isSilent) refuseSilent(exchange, group, target);
  else connect(exchange, group, target, pool);
}

/** The endpoint was waited for by others, and said nothing. */
function refuseSilent(exchange: Exchange, group: TargetGroup, target: Target): void {
  const reason = `${endpointKey(target.endpoint)}: it has said nothing to a client of HTTP/2 lately`;
  const told = setImmediate(() => {
    exchange.cancelWait = undefined;
    group.end(target);
    const code = "connect-failed";
    exchange.answers.failed(exchange, { code, reason, stale: false, nothingSent: true });
  });
  exchange.cancelWait = () => {
    clearImmediate(told);
    group.end(target);
  };
}

function sendOnStream(exchange: Exchange, target: Target, pool: Http2Pool, wire?: Wire): void {
  const { shard } = exchange;
  const waiting = wire === undefined ? pool.idle.pop() : undefined;
  waiting?.leaveIdle();
  const upstream =
    waiting ??
    new Upstream({
      shard,
      wire: wire ?? pool.newStream(),
      target,
      counts: uncounted,
      preface: undefined,
      idle: pool.idle,
    });
  send(exchange, upstream);
}

/** The connections of an endpoint; made when the first request wants them. */
function poolOf({ shard, origin }: Exchange, target: Target): Http2Pool {
  target.http2 ??= newHttp2Pool(shard, target, origin.direction);
  return target.http2;
}

export function newHttp2Pool(shard: Shard, { endpoint }: Target, direction: Direction): Http2Pool {
  return new Http2Pool({
    shard,
    countsOf: (encrypted) => shard.upstreamCounts(direction, encrypted),
    preface: prefaceOf(endpoint, "http2"),
  });
}

/** `pool`: of connections that speak HTTP/2; undefined: HTTP/1. */
function connect(
  exchange: Exchange,
  group: TargetGroup,
  target: Target,
  pool: Http2Pool | undefined,
): void {
  const { shard } = exchange;
  const dialed = dialTargetOf(shard, target.endpoint);
  if (dialed === undefined) {
    group.end(target);
    awaitIdentity(exchange, group, target);
    return;
  }
  const timer = new Timer(() => {
    if (pool?.endSilence() === true) return;
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
  const open = pool === undefined ? (target.open ?? dial) : pool.open.bind(pool);
  const dialing = open({
    target: dialed,
    pool: shard.pool,
    sockets: shard.sockets,
    firstBuffer: shard.headBuffer,
    onOpen: (wire) => {
      shard.wheel.forget(timer);
      exchange.cancelWait = undefined;
      target.reached();
      exchange.readyMs = shard.nowMs();
      if (pool !== undefined && speaksHttp2(exchange, target)) {
        sendOnStream(exchange, target, pool, wire);
        return;
      }
      if (pool !== undefined) {
        // Its settings have told that it does not take what the client wants.
        wire.destroy();
        group.end(target);
        forward(exchange, group, target, "pooled");
        return;
      }
      const counts = shard.upstreamCounts(exchange.origin.direction, wire.encrypted);
      const preface = prefaceOf(target.endpoint, "http1");
      const { idle } = target;
      send(exchange, new Upstream({ shard, wire, target, counts, preface, idle }));
    },
    onFailure: ({ kind, code, reason }) => {
      if (code === notHttp2 && !speaksHttp2(exchange, target)) {
        shard.wheel.forget(timer);
        exchange.cancelWait = undefined;
        group.end(target);
        forward(exchange, group, target, "pooled");
        return;
      }
      fail(kind === "identity" ? "wrong-identity" : "connect-failed", reason);
    },
  });
  exchange.cancelWait = () => {
    shard.wheel.forget(timer);
    dialing.cancel();
    group.end(target);
  };
  shard.wheel.arm(timer, shard.limits.connectTimeoutMs);
}

/** What is asked before the first certificate has come waits for it as it waits for a policy, and no longer. */
function awaitIdentity(exchange: Exchange, group: TargetGroup, target: Target): void {
  const { nowMs, limits } = exchange.shard;
  if (nowMs() - exchange.startedMs >= limits.discoveryTimeoutMs) {
    rescue(exchange, "no-identity");
    return;
  }
  exchange.downstream.holdBody();
  exchange.pause(identityPollMs, () => forward(exchange, group, target, "fresh"));
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
  const { trace } = exchange;
  if (trace !== undefined) trace.sent(exchange.requestEdit, upstream.isStream, shard.nowMs());
  const headEnd = writeHead(scratch, start, head, exchange.startLine, exchange.requestEdit);
  if (headEnd < 0) return false;
  const copied = Math.min(bodyEnd - bodyStart, scratch.length - headEnd);
  if (copied > 0) bytes.copy(scratch, headEnd, bodyStart, bodyStart + copied);
  const end = headEnd + copied;
  // A stream may be refused even by an endpoint that was never asked before.
  const mayBeLost = (upstream.wasUsed && exchange.isIdempotent) || upstream.isStream;
  if (mayBeLost && bodyStart + copied === bodyEnd) exchange.keepForReplay(scratch, start, end);
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

export function prefaceOf(
  { port, tls, inboundPort }: Endpoint,
  protocol: "http1" | "http2",
): Buffer | undefined {
  if (tls === undefined || inboundPort === 0) return undefined;
  return writeTransportHeader({ port, name: "", protocol });
}
