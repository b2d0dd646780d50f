/**
 * What this worker decided about its last requests, so that `weft explain --id` can tell. It keeps numbers, and references to
 * what is there anyway: writing a decision allocates nothing (`benchmarks/proxy/exchange.ts`). Words are made when somebody asks.
 */
import {
  type DecisionFacts,
  explainDecision,
  type HeldPolicy,
} from "../core/decide/explain-decision.ts";
import type { LoadedRoutes, RequestView } from "../core/decide/find-route.ts";
import type { Endpoint } from "../core/model/endpoint.ts";
import type { DecisionAnswer } from "../thread/messages.ts";
import type { Exchange, Origin } from "./exchange.ts";
import type { ErrorCode } from "./rescue.ts";

/** Some seconds of a busy sidecar and hours of a quiet one, in half a MiB. */
export const decisionCapacity = 4_096;

/**
 * Of path, query, authority and each header value that routes look at. Longer ones would let clients fill the memory; the routes
 * of a request that has one are then not judged anew.
 */
const maxKeptText = 2_048;

/** Header names that the routes of one policy look at; policies name a few. */
const maxKeptHeaders = 16;

/** Policies that were replaced but are kept for decisions made by them. A table of 1,000 rules takes a MiB. */
const maxReplacedEditions = 16;

/** A policy at one revision. */
export type Edition = {
  readonly scope: string;
  readonly revision: number;
  /** What its routes look at, in lower case. Undefined: too much to be kept. */
  readonly headerNames: readonly string[] | undefined;
  /** Undefined: replaced too often since. */
  policy: HeldPolicy | undefined;
};

export function makeEdition(scope: string, revision: number, policy: HeldPolicy): Edition {
  return { scope, revision, policy, headerNames: headerNamesOf(policy.routes) };
}

function headerNamesOf({ table }: LoadedRoutes): readonly string[] | undefined {
  const names = new Set(table.entries.flatMap(({ headers }) => headers.map(({ name }) => name)));
  return names.size > maxKeptHeaders ? undefined : [...names];
}

/** The last editions that are not in force any more. */
export class ReplacedEditions {
  readonly #editions: Edition[] = [];

  add(edition: Edition): void {
    this.#editions.push(edition);
    if (this.#editions.length <= maxReplacedEditions) return;
    const oldest = this.#editions.shift();
    if (oldest !== undefined) oldest.policy = undefined;
  }
}

/** Nobody was asked yet. Routes and authorizations answer with -1 and more, or with little less than that. */
const unasked: number = -(2 ** 30);

/** What is mostly the same from one request of a connection to the next. Slots share it, so that a decision is written to half as many places (`benchmarks/proxy/http1.ts`). */
type Lasting = {
  readonly origin: Origin;
  readonly edition: Edition | undefined;
  readonly code: ErrorCode | "";
  readonly reason: string;
  readonly method: string;
  readonly authority: string;
};

/** What an exchange notes while it is decided about. */
export class Draft {
  /** Place in the order of decisions; 0: it has none yet. */
  sequence = 0;
  edition: Edition | undefined = undefined;
  found: number = unasked;
  admitted: number = unasked;
  status = 0;
  code: ErrorCode | "" = "";
  reason = "";
  answeredMs = 0;
  /** Of the body, as far as it is known. */
  responseBytes = 0;
  /** As it was written for the last request of the connection. */
  lasting: Lasting | undefined = undefined;
  /** Parallel to `edition.headerNames`. */
  readonly seen: (string | undefined)[] = [];

  /** The routes of a policy have been asked. */
  routed(edition: Edition, found: number, view: RequestView): void {
    this.edition = edition;
    this.found = found;
    const names = edition.headerNames;
    if (names === undefined) return;
    for (let at = 0; at < names.length; at++) this.seen[at] = view.header(names[at] as string);
  }

  /** This proxy answers, or ends the answer, because something is wrong. */
  failed(code: ErrorCode, reason: string): void {
    this.code = code;
    this.reason = reason;
  }

  /** The head of the answer is on its way. */
  answered(status: number, nowMs: number): void {
    this.status = status;
    this.answeredMs = nowMs;
  }

  reset(): void {
    this.sequence = 0;
    this.edition = undefined;
    this.found = unasked;
    this.admitted = unasked;
    this.status = 0;
    this.code = "";
    this.reason = "";
    this.answeredMs = 0;
    this.responseBytes = 0;
  }
}

export type DecisionClock = { readonly nowMs: () => number; readonly wallMs: () => number };

/** Whole numbers of one decision, in a row. */
const Whole = { found: 0, admitted: 1, choice: 2, tries: 3, status: 4, isReadable: 5 } as const;
const wholes = 6;

/** Points in time of one decision, in a row, behind its place in the order of decisions. */
const Time = { sequence: 0, startedMs: 1, answeredMs: 2 } as const;
const times = 3;

type Values = (string | undefined)[];

/** Header values that lie side by side like all else. Routes rarely look at more; an array for each decision was a cache miss for each (`benchmarks/proxy/http1.ts`). */
const seenBeside = 2;

/** One array for each kind of thing: decisions that follow each other lie side by side, and are in the processor's cache already. */
export class Decisions {
  readonly #prefix: string;
  readonly #capacity: number;
  readonly #times: Float64Array;
  readonly #wholes: Int32Array;
  readonly #lasting: (Lasting | undefined)[];
  readonly #endpoints: (Endpoint | undefined)[];
  readonly #paths: Values;
  readonly #queries: Values;
  readonly #seen: Values;
  /** What has no place in `#seen`. */
  readonly #seenBeyond: (Values | undefined)[];
  #newest = 0;

  /** `prefix` tells the decisions of this worker from those of all others. */
  constructor(prefix: string, capacity: number = decisionCapacity) {
    const empty = <T>(size = capacity): (T | undefined)[] =>
      new Array<T | undefined>(size).fill(undefined);
    this.#prefix = prefix;
    this.#capacity = capacity;
    this.#times = new Float64Array(capacity * times);
    this.#wholes = new Int32Array(capacity * wholes);
    this.#lasting = empty();
    this.#endpoints = empty();
    this.#paths = empty();
    this.#queries = empty();
    this.#seen = empty(capacity * seenBeside);
    this.#seenBeyond = empty();
  }

  /** The id of a request that is still under way; it has its slot from now on. */
  idOf(exchange: Exchange): string {
    this.record(exchange);
    return this.#idText(exchange.decision.sequence);
  }

  /** Writes what is known about a request. Called again for the same one, it replaces what was written before. */
  record(exchange: Exchange): void {
    const { decision } = exchange;
    if (decision.sequence === 0) decision.sequence = ++this.#newest;
    const slot = decision.sequence % this.#capacity;
    // A request that took longer than a whole round has lost its place to another.
    if ((this.#times[slot * times] as number) > decision.sequence) return;
    this.#recordNumbers(exchange, slot);
    const { head, target, readable } = exchange;
    put(this.#lasting, slot, lastingOf(exchange));
    put(this.#endpoints, slot, target?.endpoint);
    put(this.#paths, slot, readable ? kept(head.path) : "");
    put(this.#queries, slot, readable ? kept(head.query) : "");
    const count = decision.edition?.headerNames?.length ?? 0;
    if (count > 0) this.#recordSeen(decision.seen, count, slot);
  }

  /** What was written as number `sequence`. */
  find(sequence: number, clock: DecisionClock): DecisionAnswer {
    if (sequence < 1 || sequence > this.#newest) return { state: "unknown" };
    const slot = sequence % this.#capacity;
    if (this.#times[slot * times] !== sequence) {
      return { state: "overwritten", kept: this.#capacity };
    }
    const offsetMs = clock.wallMs() - clock.nowMs();
    return { state: "found", report: explainDecision(this.#factsOf(slot, offsetMs)) };
  }

  #idText(sequence: number): string {
    return `${this.#prefix}-${sequence.toString(36)}`;
  }

  #recordNumbers(exchange: Exchange, slot: number): void {
    const { decision, rule, choice } = exchange;
    const time = slot * times;
    this.#times[time] = decision.sequence;
    this.#times[time + Time.startedMs] = exchange.startedMs;
    this.#times[time + Time.answeredMs] = decision.answeredMs;
    const at = slot * wholes;
    this.#wholes[at + Whole.found] = decision.found;
    this.#wholes[at + Whole.admitted] = decision.admitted;
    this.#wholes[at + Whole.choice] =
      rule === undefined || choice === undefined ? -1 : rule.choices.indexOf(choice);
    this.#wholes[at + Whole.tries] = triesOf(exchange);
    this.#wholes[at + Whole.status] = decision.status;
    this.#wholes[at + Whole.isReadable] = exchange.readable ? 1 : 0;
  }

  #recordSeen(seen: Values, count: number, slot: number): void {
    const beside = Math.min(count, seenBeside);
    for (let at = 0; at < beside; at++) put(this.#seen, slot * seenBeside + at, keptOf(seen[at]));
    if (count <= seenBeside) return;
    const beyond = this.#seenBeyond[slot] ?? [];
    this.#seenBeyond[slot] = beyond;
    for (let at = seenBeside; at < count; at++) beyond[at - seenBeside] = keptOf(seen[at]);
  }

  #seenAt(slot: number, at: number): string | undefined {
    if (at < seenBeside) return this.#seen[slot * seenBeside + at];
    return this.#seenBeyond[slot]?.[at - seenBeside];
  }

  #factsOf(slot: number, offsetMs: number): DecisionFacts {
    const lasting = this.#lasting[slot];
    if (lasting === undefined) throw new Error(`Nothing was written to slot ${slot}`);
    const { origin, edition, code, reason } = lasting;
    const time = (which: number): number => this.#times[slot * times + which] ?? 0;
    const whole = (which: number): number => this.#wholes[slot * wholes + which] ?? 0;
    const startedMs = time(Time.startedMs);
    const answeredMs = time(Time.answeredMs);
    const request = this.#requestOf(slot, lasting);
    const seen = (edition?.headerNames ?? []).map((_, at) => this.#seenAt(slot, at));
    return {
      id: this.#idText(time(Time.sequence)),
      startedAtMs: Math.round(startedMs + offsetMs),
      answeredAfterMs: answeredMs === 0 ? undefined : answeredMs - startedMs,
      direction: origin.direction,
      peer: origin.peer,
      port: origin.port,
      request: whole(Whole.isReadable) === 1 ? request : undefined,
      isWhole:
        (edition === undefined || edition.headerNames !== undefined) &&
        [request.authority, request.path, request.query, ...seen].every(isShort),
      scope: edition?.scope,
      revision: edition?.revision ?? 0,
      policy: edition?.policy,
      found: asked(whole(Whole.found)),
      admitted: asked(whole(Whole.admitted)),
      choice: whole(Whole.choice),
      endpoint: this.#endpoints[slot],
      tries: whole(Whole.tries),
      status: whole(Whole.status),
      code,
      reason,
    };
  }

  #requestOf(slot: number, { edition, method, authority }: Lasting): RequestView {
    const names = edition?.headerNames ?? [];
    const headers = new Map(names.map((name, at) => [name, this.#seenAt(slot, at)]));
    return {
      method,
      authority,
      path: this.#paths[slot] ?? "",
      query: this.#queries[slot] ?? "",
      header: (name) => headers.get(name),
    };
  }
}

function lastingOf({ decision, head, origin, readable }: Exchange): Lasting {
  const { edition, code, reason, lasting } = decision;
  const method = readable ? head.method : "";
  const authority = readable ? kept(head.authority) : "";
  if (
    lasting !== undefined &&
    lasting.edition === edition &&
    lasting.code === code &&
    lasting.reason === reason &&
    lasting.method === method &&
    lasting.authority === authority
  ) {
    return lasting;
  }
  decision.lasting = { origin, edition, code, reason, method, authority };
  return decision.lasting;
}

/** A request often brings what the one before had brought, and comparing is cheaper than what the collector does for a write. */
function put<T>(array: (T | undefined)[], at: number, value: T | undefined): void {
  if (array[at] !== value) array[at] = value;
}

/** How often a request was sent, or was about to be. */
export function triesOf({ guard, target }: Exchange): number {
  if (guard !== undefined) return guard.tries;
  return target === undefined ? 0 : 1;
}

function asked(answer: number): number | undefined {
  return answer === unasked ? undefined : answer;
}

function isShort(text: string | undefined): boolean {
  return text === undefined || text.length <= maxKeptText;
}

function keptOf(value: string | undefined): string | undefined {
  return value === undefined ? undefined : kept(value);
}

/** A copy of the beginning: a slice would keep the whole text alive. */
function kept(text: string): string {
  if (text.length <= maxKeptText) return text;
  return Buffer.from(text.slice(0, maxKeptText + 1), "latin1").toString("latin1");
}
