/**
 * What an exchange carries when its rule asks for more than one try without limits: timers, the tries so far, the body for
 * the next one, and the client's session. A connection makes one when it first needs it and keeps it for its other
 * requests; an exchange whose rule asks for nothing has none.
 */
import type { NoRetryReason } from "../core/decide/retry.ts";
import { deposit } from "../core/decide/retry-budget.ts";
import { readSession, type Session } from "../core/decide/session.ts";
import type { Exchange, Target } from "./exchange.ts";
import type { LoadedRule } from "./loaded.ts";
import { ReplayBody } from "./replay-body.ts";
import { Timer } from "./timer-wheel.ts";

export class Guard {
  readonly body: ReplayBody = new ReplayBody();
  rule: LoadedRule | undefined = undefined;
  /** Tries so far, the one that is under way included. */
  tries = 0;
  /** Why the last try is not followed by another; undefined: nobody asked. */
  noRetry: NoRetryReason | undefined = undefined;
  /** As the request brought it. */
  session: Session | undefined = undefined;
  /** The endpoint of the session, while requests may go there. */
  pinned: Target | undefined = undefined;
  readonly #exchange: Exchange;
  readonly #try: Timer;
  readonly #response: Timer;
  readonly #idle: Timer;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    const { downstream } = exchange;
    this.#try = new Timer(() => downstream.onTryExpired());
    this.#response = new Timer(() => downstream.onTimeout("response-timeout"));
    this.#idle = new Timer(() => downstream.onTimeout("idle-timeout"));
  }

  begin(rule: LoadedRule): void {
    const { shard, head, bodyStart, bodyEnd } = this.#exchange;
    const { retry } = rule;
    this.rule = rule;
    if (retry !== undefined) {
      const { policy, budget } = retry;
      this.body.begin(policy.maxBodyBytes, bodyEnd - bodyStart, head.contentLength);
      deposit(budget, policy.budget, shard.nowMs());
    }
    const { session } = rule.rule;
    if (session === undefined) return;
    const field = head.fields.get(
      session.type === "cookie" ? "cookie" : session.name.toLowerCase(),
    );
    this.session = readSession(session, rule.scope, field, shard.wallMs());
  }

  end(): void {
    this.rest();
    this.#disarm(this.#response);
    this.body.end();
    this.rule = undefined;
    this.tries = 0;
    this.noRetry = undefined;
    this.session = undefined;
    this.pinned = undefined;
  }

  /** The connection is over. */
  forget(): void {
    for (const timer of [this.#try, this.#response, this.#idle]) {
      this.#exchange.shard.wheel.forget(timer);
    }
  }

  /** The head of a request is on its way to an endpoint. */
  sent(): void {
    const { rule } = this;
    if (rule === undefined) return;
    const { backendRequestMs } = rule.rule.timeouts;
    const tryMs = shorter(backendRequestMs, this.#headMs(rule));
    if (tryMs > 0) this.#arm(this.#try, tryMs);
    if (this.#exchange.requestDone) this.#requestEnded(rule);
    this.touch();
  }

  /** Bytes of the request's body have come. */
  requestBytes(bytes: Buffer, start: number, end: number): void {
    const { rule } = this;
    if (rule === undefined) return;
    if (rule.retry !== undefined) this.body.record(bytes, start, end);
    if (this.#exchange.requestDone) this.#requestEnded(rule);
    this.touch();
  }

  /** Something has come from one side or the other. */
  touch(): void {
    const { rule } = this;
    if (rule !== undefined && rule.rule.timeouts.idleMs > 0) {
      this.#arm(this.#idle, rule.rule.timeouts.idleMs);
    }
  }

  /** The head of a response goes to the client: from now on only the limits for whole responses count. */
  answered(): void {
    const { rule } = this;
    if (rule === undefined) return;
    if (this.tries > 1 && this.noRetry === undefined) rule.retry?.counts.success();
    const { shard, readyMs } = this.#exchange;
    const { backendRequestMs } = rule.rule.timeouts;
    if (backendRequestMs === 0) this.#disarm(this.#try);
    else this.#arm(this.#try, Math.max(backendRequestMs - (shard.nowMs() - readyMs), 0));
    this.touch();
  }

  /** No endpoint is being asked. */
  rest(): void {
    this.#disarm(this.#try);
    this.#disarm(this.#idle);
  }

  /** Linkerd: the last try is not cut off, since nothing would be won by it. */
  #headMs({ retry }: LoadedRule): number {
    if (retry === undefined || this.tries > retry.policy.limit) return 0;
    return retry.policy.perTryMs;
  }

  /** Counts once for an exchange, whatever happens to its tries (Linkerd). */
  #requestEnded({ rule }: LoadedRule): void {
    const { responseMs } = rule.timeouts;
    if (responseMs > 0 && this.#response.dueTick === 0) this.#arm(this.#response, responseMs);
  }

  #arm(timer: Timer, ms: number): void {
    this.#exchange.shard.wheel.arm(timer, ms);
  }

  #disarm(timer: Timer): void {
    this.#exchange.shard.wheel.disarm(timer);
  }
}

/** Of two limits where 0 is none. */
export function shorter(left: number, right: number): number {
  if (left === 0 || right === 0) return Math.max(left, right);
  return Math.min(left, right);
}
