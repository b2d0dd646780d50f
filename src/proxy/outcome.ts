/** What the end of a try says about the endpoint: to the balancer, and to its circuit breaker. */

import type { ResponseHead } from "../codec/http1-head.ts";
import { accrualAnswer } from "../core/decide/accrual.ts";
import { retryAfterMs } from "../core/decide/retry-after.ts";
import type { Exchange } from "./exchange.ts";

/** A response has come, for the client or for nobody. */
export function noteResponse(exchange: Exchange, head: ResponseHead): void {
  const { group, target, shard } = exchange;
  if (group === undefined || target === undefined) return;
  const nowMs = shard.nowMs();
  group.observe(target, nowMs - exchange.readyMs, nowMs);
  if (exchange.breaker === undefined && group.tuning.penalty === undefined) return;
  note(exchange, head.status, pauseAsked(exchange, head));
}

/** An endpoint that was sent a request has not answered it: it closed the connection, or took longer than it may. */
export function noteNoResponse(exchange: Exchange): void {
  const { group, target, shard } = exchange;
  if (group === undefined || target === undefined) return;
  const nowMs = shard.nowMs();
  // It would have taken longer still.
  group.observe(target, nowMs - exchange.readyMs, nowMs);
  note(exchange, undefined, undefined);
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

/** Retry-After of a response that asks to be left alone. */
export function pauseAsked(exchange: Exchange, head: ResponseHead): number | undefined {
  if (head.status < 500 && head.status !== 429) return undefined;
  const value = head.fields.get("retry-after");
  return value === undefined ? undefined : retryAfterMs(value, exchange.shard.wallMs());
}

function note(
  exchange: Exchange,
  status: number | undefined,
  retryAfter: number | undefined,
): void {
  const { breaker, group, target, shard, isProbe } = exchange;
  if (group === undefined || target === undefined) return;
  const nowMs = shard.nowMs();
  const answer = accrualAnswer(status);
  if (answer !== "success") group.penalize(target, { nowMs, retryAfterMs: retryAfter });
  if (breaker === undefined) return;
  const random01 = shard.random();
  exchange.isProbe = false;
  const result = { answer, probe: isProbe, nowMs, random01, retryAfterMs: retryAfter };
  if (breaker.result(target, result) === "closed") group.warmUp(target, nowMs);
}
