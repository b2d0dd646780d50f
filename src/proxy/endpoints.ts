/**
 * The endpoints of one authority with what this worker knows about them: how loaded they are, which of them did not answer
 * lately, and the connections that wait for the next request. What is known survives an update of the set.
 */
import {
  begin,
  end,
  lessLoaded,
  loadSlots,
  observe,
  pickTwo,
  startLoad,
} from "../core/decide/balance.ts";
import type { PeakEwma } from "../core/model/backend.ts";
import { type Endpoint, endpointKey } from "../core/model/endpoint.ts";
import type { EndpointTable } from "../core/table/endpoints.ts";

/** How long an endpoint that could not be connected to is passed over: doubled for each failure in a row. */
const firstBackoffMs = 100;
const maxBackoffMs = 10_000;

/** Share of a back-off by which it varies, so that workers do not try again all at once (Linkerd). */
const jitter = 0.1;

/** A connection without a request. */
export type Idle = { close(): void };

export class EndpointState<C extends Idle> {
  readonly key: string;
  endpoint: Endpoint;
  /** The newest last: it is the least likely to be closed by the other end. */
  readonly idle: C[] = [];
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
  }
}

export class EndpointGroup<C extends Idle> {
  members: readonly EndpointState<C>[] = [];
  tuning: PeakEwma;
  #load: Float64Array = new Float64Array(0);

  constructor(tuning: PeakEwma) {
    this.tuning = tuning;
  }

  /** Endpoints that stay keep their state. One that is at the same address but is somebody else now is a new one. */
  update(table: EndpointTable, nowMs: number): void {
    const before = new Map(this.members.map((member) => [member.key, member]));
    const load = new Float64Array(table.endpoints.length * loadSlots);
    const members: EndpointState<C>[] = [];
    for (const endpoint of table.endpoints) {
      const key = keyOf(endpoint);
      const known = before.get(key);
      const index = members.length;
      if (known === undefined) {
        startLoad(load, index, this.tuning.defaultRttMs, nowMs);
      } else {
        before.delete(key);
        const from = known.index * loadSlots;
        load.set(this.#load.subarray(from, from + loadSlots), index * loadSlots);
      }
      const member = known ?? new EndpointState<C>(key, endpoint);
      member.endpoint = endpoint;
      member.index = index;
      members.push(member);
    }
    for (const member of before.values()) member.leave();
    this.members = members;
    this.#load = load;
  }

  /**
   * The better of two endpoints drawn at random, among those that were not tried for this request and are not backing off.
   * When all are backing off the one is taken that is next to be tried again: refusing would be no better than trying.
   */
  pick(
    nowMs: number,
    random: () => number,
    tried: readonly EndpointState<C>[],
  ): EndpointState<C> | undefined {
    const { members } = this;
    const pair = pickTwo(members.length, random(), random());
    if (pair < 0) return undefined;
    const timing = { nowMs, decayMs: this.tuning.decayMs };
    const better = members[lessLoaded(this.#load, pair, timing)];
    if (better !== undefined && better.retryAtMs <= nowMs && !tried.includes(better)) return better;
    return this.#pickAmongFew(nowMs, random(), tried);
  }

  begin({ index }: EndpointState<C>): void {
    if (index >= 0) begin(this.#load, index);
  }

  end({ index }: EndpointState<C>): void {
    if (index >= 0) end(this.#load, index);
  }

  observe({ index }: EndpointState<C>, responseMs: number, nowMs: number): void {
    if (index < 0) return;
    observe(this.#load, index, responseMs, { nowMs, decayMs: this.tuning.decayMs });
  }

  /** Some endpoint is out: the slow way, which looks at all of them. */
  #pickAmongFew(
    nowMs: number,
    random01: number,
    tried: readonly EndpointState<C>[],
  ): EndpointState<C> | undefined {
    const untried = this.members.filter((member) => !tried.includes(member));
    const ready = untried.filter((member) => member.retryAtMs <= nowMs);
    if (ready.length > 0) return ready[Math.floor(random01 * ready.length)];
    return untried.reduce<EndpointState<C> | undefined>(
      (first, member) =>
        first === undefined || member.retryAtMs < first.retryAtMs ? member : first,
      undefined,
    );
  }
}

/** Everything that decides how and as whom an endpoint is dialed. */
function keyOf(endpoint: Endpoint): string {
  const { tls, inboundPort } = endpoint;
  const as = tls === undefined ? "" : ` ${tls.identity} ${tls.serverName}`;
  return `${endpointKey(endpoint)} ${inboundPort}${as}`;
}
