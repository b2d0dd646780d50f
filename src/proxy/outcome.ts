/** What the end of a try says about the endpoint: to the balancer, and to its circuit breaker. */

import type { ResponseHead } from "../codec/http1-head.ts";
import { accrualAnswer } from "../core/decide/accrual.ts";
import { retryAfterMs } from "../core/decide/retry-after.ts";
import { grpcCode } from "../core/model/grpc-status.ts";
import type { Exchange } from "./exchange.ts";
import type { Upstream } from "./upstream.ts";

/** What a response says about its success: a gRPC one mostly in its trailers, which may come much later. */
export type GrpcOutcome = number | "none" | "later";

export function grpcOutcome(exchange: Exchange, { isStream, grpcStatus }: Upstream): GrpcOutcome {
  if (grpcStatus !== undefined) return grpcStatus;
  return isStream && exchange.isGrpc ? "later" : "none";
}

/** A response has come, for the client or for nobody. Answers when. */
export function noteResponse(exchange: Exchange, head: ResponseHead, grpc: GrpcOutcome): number {
  const { group, target, shard, trace } = exchange;
  const nowMs = shard.nowMs();
  if (trace !== undefined) {
    trace.responded(head.status, typeof grpc === "number" ? grpc : -1, nowMs);
  }
  if (group === undefined || target === undefined) return nowMs;
  group.observe(target, nowMs - exchange.readyMs, nowMs);
  const isJudged = exchange.breaker !== undefined || group.tuning.penalty !== undefined;
  // The probe of a breaker cannot wait for the end of a stream.
  if (isJudged && (grpc !== "later" || exchange.isProbe)) {
    note(exchange, { status: head.status, grpc, retryAfter: pauseAsked(exchange, head) });
  }
  return nowMs;
}

/** The head of a response goes to the client. */
export function noteAnswered(
  exchange: Exchange,
  status: number,
  grpc: GrpcOutcome,
  nowMs: number,
): void {
  exchange.decision.answered(status, nowMs);
  exchange.responseStarted = true;
  if (exchange.trace !== undefined && typeof grpc === "number") exchange.trace.ended(grpc);
  if (grpc !== "later") countResponse(exchange, status, grpc, nowMs);
}

/** The response whose success was to show later has ended. Undefined: without having said. */
export function noteLateStatus(exchange: Exchange, status: number, grpc: number | undefined): void {
  const known = grpc ?? grpcCode.unknown;
  if (exchange.trace !== undefined) exchange.trace.ended(known);
  countResponse(exchange, status, known, exchange.shard.nowMs());
  if (exchange.breaker === undefined && exchange.group?.tuning.penalty === undefined) return;
  if (!exchange.isProbe) note(exchange, { status, grpc: known, retryAfter: undefined });
}

function countResponse(
  { route, startedMs }: Exchange,
  status: number,
  grpc: number | "none",
  nowMs: number,
): void {
  route?.response(status, nowMs - startedMs, grpc === "none" ? undefined : grpc);
}

/** An endpoint that was sent a request has not answered it: it closed the connection, or took longer than it may. */
export function noteNoResponse(exchange: Exchange): void {
  const { group, target, shard } = exchange;
  if (group === undefined || target === undefined) return;
  const nowMs = shard.nowMs();
  // It would have taken longer still.
  group.observe(target, nowMs - exchange.readyMs, nowMs);
  note(exchange, { status: undefined, grpc: "none", retryAfter: undefined });
}

/** A limit of time for the whole exchange is over: whoever was being asked was too slow. */
export function noteTimeout(exchange: Exchange): void {
  const { shard, target, upstream, cancelWait } = exchange;
  if (upstream !== undefined) noteNoResponse(exchange);
  // It was being connected to.
  else if (cancelWait !== undefined) target?.failed(shard.nowMs(), shard.random());
}

/** The try is over without having shown anything, such as when the client has left or nobody could be connected to. */
export function noteNothing(exchange: Exchange): void {
  const { breaker, target } = exchange;
  if (exchange.isProbe && target !== undefined) breaker?.abandon(target);
  exchange.isProbe = false;
}

/** gRPC's proposal A6. */
const pushbackField = "grpc-retry-pushback-ms";

/** What is no number, or less than nothing, asks never to be tried again. */
function pushbackMs(value: string): number {
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : Number.POSITIVE_INFINITY;
}

/** How long a response that failed asks its client to wait. */
export function pauseAsked(exchange: Exchange, head: ResponseHead): number | undefined {
  const pushback = head.fields.get(pushbackField);
  if (pushback !== undefined) return pushbackMs(pushback);
  if (head.status < 500 && head.status !== 429) return undefined;
  const value = head.fields.get("retry-after");
  return value === undefined ? undefined : retryAfterMs(value, exchange.shard.wallMs());
}

type Noted = {
  readonly status: number | undefined;
  readonly grpc: GrpcOutcome;
  readonly retryAfter: number | undefined;
};

function note(exchange: Exchange, { status, grpc, retryAfter }: Noted): void {
  const { breaker, group, target, shard, isProbe } = exchange;
  if (group === undefined || target === undefined) return;
  const nowMs = shard.nowMs();
  const answer = accrualAnswer(status, typeof grpc === "number" ? grpc : undefined);
  if (answer !== "success") group.penalize(target, { nowMs, retryAfterMs: retryAfter });
  if (breaker === undefined) return;
  const random01 = shard.random();
  exchange.isProbe = false;
  const result = { answer, probe: isProbe, nowMs, random01, retryAfterMs: retryAfter };
  if (breaker.result(target, result) === "closed") group.warmUp(target, nowMs);
}
