/**
 * The endpoints of one authority with what this worker knows about them: how loaded they are, which of them did not answer
 * lately, and the connections that wait for the next request. What is known survives an update of the set.
 */
import {
  begin,
  better,
  defaultSlowStartMs,
  end,
  firstOf,
  loadSlots,
  type Offence,
  observe,
  observeAtLeast,
  pairOf,
  pass,
  penalize,
  pickTwo,
  pickWarm,
  secondOf,
  settle,
  startLoad,
  warmUp,
} from "../core/decide/balance.ts";
import type { PeakEwma } from "../core/model/backend.ts";
import { type Endpoint, endpointKey } from "../core/model/endpoint.ts";
import type { EndpointTable } from "../core/table/endpoints.ts";
import type { Dialing, DialOptions } from "../edge/net/dial.ts";
import type { Http2Pool } from "./http2-pool.ts";

/** How long an endpoint that could not be connected to is passed over: doubled for each failure in a row. */
const firstBackoffMs = 100;
const maxBackoffMs = 10_000;

/** Share of a back-off by which it varies, so that workers do not try again all at once (Linkerd). */
const jitter = 0.1;

/** How often it is forgotten a little who was given more requests than others; the exact moment does not matter. */
const settleMs = 1_000;

/** A connection without a request. */
export type Idle = { close(): void };

/** Who says which endpoints are not to be picked because of their answers. */
export type Availability<T> = { isAvailable(target: T, nowMs: number): boolean };

/** How many endpoints there are, and how many of them would be picked. */
export type EndpointTally = { readonly ready: number; readonly pending: number };

export class EndpointState<C extends Idle> {
  readonly key: string;
  endpoint: Endpoint;
  /** The newest last: it is the least likely to be closed by the other end. */
  readonly idle: C[] = [];
  /** How it is reached; undefined: by a socket. */
  open: ((options: DialOptions) => Dialing) | undefined = undefined;
  /** Its connections that speak HTTP/2, once one was wanted. */
  http2: Http2Pool | undefined = undefined;
  /** The same for copies of requests, whose streams take no room from the requests themselves. */
  mirrorHttp2: Http2Pool | undefined = undefined;
  /** No longer in the set: what is under way ends, and nothing is kept for later. */
  gone = false;
  /** Connection attempts that failed in a row. */
  failures = 0;
  retryAtMs = 0;
  /** Place in the group's load state; -1 when gone. */
  index = -1;

  constructor(key: string, endpoint: Endpoint) {
    this.key = key;
    this.endpoint = endpoint;
  }

  failed(nowMs: number, random01: number): void {
    const backoffMs = Math.min(firstBackoffMs * 2 ** Math.min(this.failures, 16), maxBackoffMs);
    this.failures++;
    this.retryAtMs = nowMs + backoffMs * (1 - jitter + 2 * jitter * random01);
  }

  reached(): void {
    this.failures = 0;
    this.retryAtMs = 0;
  }

  leave(): void {
    this.gone = true;
    this.index = -1;
    for (const connection of this.idle.splice(0)) connection.close();
    this.http2?.close();
    this.mirrorHttp2?.close();
  }
}

export class EndpointGroup<C extends Idle> {
  members: readonly EndpointState<C>[] = [];
  tuning: PeakEwma;
  /** Requests of this worker that are under way to one of them. */
  inFlight = 0;
  /** Called after each update of the set. */
  readonly watchers: Set<() => void> = new Set();
  #load: Float64Array = new Float64Array(0);
  #settledMs = 0;

  constructor(tuning: PeakEwma) {
    this.tuning = tuning;
  }

  /** Endpoints that stay keep their state. One that is at the same address but is somebody else now is a new one. */
  update(table: EndpointTable, nowMs: number): void {
    settle(this.#load, 0);
    const before = new Map(this.members.map((member) => [member.key, member]));
    const loads = new Float64Array(table.endpoints.length * loadSlots);
    const members: EndpointState<C>[] = [];
    for (const endpoint of table.endpoints) {
      const key = keyOf(endpoint);
      const known = before.get(key);
      const index = members.length;
      if (known === undefined) {
        startLoad(loads, index, this.tuning.defaultRttMs, nowMs);
      } else {
        before.delete(key);
        const from = known.index * loadSlots;
        loads.set(this.#load.subarray(from, from + loadSlots), index * loadSlots);
      }
      const member = known ?? new EndpointState<C>(key, endpoint);
      member.endpoint = endpoint;
      member.index = index;
      members.push(member);
    }
    for (const member of before.values()) member.leave();
    this.members = members;
    this.#load = loads;
    for (const watch of this.watchers) watch();
  }

  /**
   * The better of two endpoints drawn at random, among those that were not tried for this request, whose breaker lets
   * requests through, and that are not backing off. When all of these are backing off the one is taken that is next to be
   * tried again: refusing would be no better than trying. Undefined: there is none, or each is tried or behind a breaker.
   */
  pick(
    nowMs: number,
    random: () => number,
    tried: readonly EndpointState<C>[],
    breaker?: Availability<EndpointState<C>>,
  ): EndpointState<C> | undefined {
    const { members } = this;
    this.#settle(nowMs);
    const at = members.length === 1 ? 0 : this.#draw(nowMs, random);
    const picked = members[at];
    if (
      picked !== undefined &&
      picked.retryAtMs <= nowMs &&
      !tried.includes(picked) &&
      (breaker === undefined || breaker.isAvailable(picked, nowMs))
    ) {
      return picked;
    }
    if (at < 0) return undefined;
    pass(this.#load, at);
    const left = members.filter(
      (member) => !tried.includes(member) && (breaker?.isAvailable(member, nowMs) ?? true),
    );
    return this.#pickAmong(left, nowMs, random);
  }

  /** Less than 0: there is none. */
  #draw(nowMs: number, random: () => number): number {
    const pair = pickTwo(this.members.length, random(), random());
    if (pair < 0) return pair;
    const { decayMs } = this.tuning;
    const start = { nowMs, decayMs, slowStartMs: defaultSlowStartMs, random01: random() };
    return pickWarm(this.#load, pair, start);
  }

  /** The member of this address, if requests may go to it now. */
  memberAt(
    key: string,
    nowMs: number,
    breaker?: Availability<EndpointState<C>>,
  ): EndpointState<C> | undefined {
    return this.members.find(
      (member) =>
        endpointKey(member.endpoint) === key &&
        member.retryAtMs <= nowMs &&
        (breaker?.isAvailable(member, nowMs) ?? true),
    );
  }

  /** Whether requests may go to any of them. */
  isOpen(nowMs: number, breaker?: Availability<EndpointState<C>>): boolean {
    const { members } = this;
    if (breaker === undefined) return members.length > 0;
    return members.some((member) => breaker.isAvailable(member, nowMs));
  }

  tally(nowMs: number, breaker?: Availability<EndpointState<C>>): EndpointTally {
    let ready = 0;
    for (const member of this.members) {
      if (member.retryAtMs <= nowMs && (breaker?.isAvailable(member, nowMs) ?? true)) ready++;
    }
    return { ready, pending: this.members.length - ready };
  }

  begin({ index }: EndpointState<C>): void {
    this.inFlight++;
    if (index >= 0) begin(this.#load, index);
  }

  end({ index }: EndpointState<C>): void {
    this.inFlight--;
    if (index >= 0) end(this.#load, index);
  }

  observe({ index }: EndpointState<C>, responseMs: number, nowMs: number): void {
    if (index < 0) return;
    observe(this.#load, index, responseMs, { nowMs, decayMs: this.tuning.decayMs });
  }

  /** The client has left before the endpoint answered. */
  observeAtLeast({ index }: EndpointState<C>, waitedMs: number, nowMs: number): void {
    if (index < 0) return;
    observeAtLeast(this.#load, index, waitedMs, { nowMs, decayMs: this.tuning.decayMs });
  }

  /** The endpoint failed, or asked to be left alone for a while. */
  penalize({ index }: EndpointState<C>, offence: Offence): void {
    const { penalty } = this.tuning;
    if (index >= 0 && penalty !== undefined) penalize(this.#load, index, penalty, offence);
  }

  /** The endpoint is back after a while behind a breaker, and gets its share bit by bit. */
  warmUp({ index }: EndpointState<C>, nowMs: number): void {
    if (index >= 0) warmUp(this.#load, index, nowMs);
  }

  /** Some endpoint is out: the slow way, which looks at all of them. */
  #pickAmong(
    left: readonly EndpointState<C>[],
    nowMs: number,
    random: () => number,
  ): EndpointState<C> | undefined {
    const ready = left.filter(({ retryAtMs }) => retryAtMs <= nowMs);
    const pair = pickTwo(ready.length, random(), random());
    const first = ready[firstOf(pair)];
    const second = ready[secondOf(pair)];
    if (first !== undefined && second !== undefined) {
      const among = pairOf(first.index, second.index);
      return this.members[better(this.#load, among, { nowMs, decayMs: this.tuning.decayMs })];
    }
    return left.reduce<EndpointState<C> | undefined>(
      (first, member) =>
        first === undefined || member.retryAtMs < first.retryAtMs ? member : first,
      undefined,
    );
  }

  #settle(nowMs: number): void {
    const elapsedMs = nowMs - this.#settledMs;
    if (elapsedMs < settleMs) return;
    settle(this.#load, elapsedMs);
    this.#settledMs = nowMs;
  }
}

/** Everything that decides how and as whom an endpoint is dialed. */
function keyOf(endpoint: Endpoint): string {
  const { tls, inboundPort } = endpoint;
  const as = tls === undefined ? "" : ` ${tls.identity} ${tls.serverName}`;
  return `${endpointKey(endpoint)} ${inboundPort}${as}`;
}
