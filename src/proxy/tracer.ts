/**
 * Which requests are traced, and what becomes of their spans: they are collected as numbers and texts and sent to the main thread, which knows
 * OpenTelemetry. A request that is not sampled costs a look at its fields.
 *
 * Who brings a context has decided (`parentbased`), and an unsampled one goes on untouched. Where the trace begins here, those behind us are told the decision
 * in any case: else each hop would draw lots again, and most traces would begin in their middle.
 */
import { describeMeta } from "../core/model/meta.ts";
import { formatIp } from "../core/std/ip.ts";
import {
  maxBatchesUnderWay,
  maxBatchSpans,
  noTexts,
  type SpanBatch,
  SpanNumber,
  SpanRoom,
  type SpanTexts,
} from "../thread/spans.ts";
import { type Decided, decided } from "./decided.ts";
import type { Exchange } from "./exchange.ts";
import { type Attempt, RequestTrace, Word } from "./request-trace.ts";
import { Format, refusesTrace, TraceContext } from "./trace-context.ts";

/** So much of a text goes into a span; the rest tells nobody anything and costs the collector. */
const maxPathText = 1_024;
const maxText = 256;

/** Random words that are drawn at once: one call of the system for some hundred requests. */
const randomWords = 1_024;

/** A clock of the wall is read in whole milliseconds; what it and the clock of the worker disagree by beyond is a clock that was set. */
const maxClockErrorMs = 2;

export type TracerOptions = {
  /** Of the requests that bring no context, from 0 to 1. */
  readonly sampleRatio: number;
  readonly post: (batch: SpanBatch) => void;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
};

export class Tracer {
  readonly #options: TracerOptions;
  readonly #context: TraceContext = new TraceContext();
  readonly #random: Uint32Array<ArrayBuffer> = new Uint32Array(randomWords);
  #drawn: number = randomWords;
  readonly #leastRandomness: number;
  readonly #room: SpanRoom = new SpanRoom();
  #underWay = 0;
  /** Of the wall against the clock of the worker. */
  #offsetMs = Number.NEGATIVE_INFINITY;
  readonly #newSpan: (words: Uint32Array, at: number) => void;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#leastRandomness = (1 - options.sampleRatio) * 2 ** 32;
    this.#newSpan = (words, at) => this.#draw(words, at, 2);
  }

  /** A request was read. */
  begin(exchange: Exchange): void {
    const context = this.#context;
    const { fields } = exchange.head;
    if (context.read(fields)) {
      const { sampling, words } = context;
      if (sampling === "no" || (sampling === "undecided" && !this.#isChosen(words))) return;
      this.#start(exchange, false, true);
      return;
    }
    if (this.#options.sampleRatio === 0 || context.sampling === "no" || refusesTrace(fields))
      return;
    const { words } = context;
    this.#draw(words, 0, 4);
    words[Word.parent] = 0;
    words[Word.parent + 1] = 0;
    context.formats = Format.w3c;
    this.#start(exchange, true, this.#isChosen(words));
  }

  /** A request is over, and its decision has been recorded. */
  end(exchange: Exchange, trace: RequestTrace): void {
    if (!trace.isRecording) return;
    const nowMs = this.#options.nowMs();
    trace.close(nowMs, exchange.decision.code);
    this.#settleClock(nowMs);
    const count = 1 + trace.attemptCount;
    if (this.#room.count + count > maxBatchSpans) this.flush();
    if (this.#room.count + count > maxBatchSpans) {
      for (let at = 0; at < count; at++) this.#room.drop();
      return;
    }
    const names = decided(exchange);
    this.#addRequest(exchange, trace, { names, nowMs });
    for (let at = 0; at < trace.attemptCount; at++) this.#addAttempt(exchange, trace, at);
  }

  /** Sends what there is, unless the main thread is behind. */
  flush(): void {
    const room = this.#room;
    if (this.#underWay >= maxBatchesUnderWay || room.count + room.dropped === 0) return;
    this.#underWay++;
    this.#options.post(room.take());
  }

  /** The main thread has taken a batch. */
  taken(): void {
    this.#underWay--;
  }

  #start(exchange: Exchange, isRoot: boolean, isSampled: boolean): void {
    const trace = exchange.spareTrace ?? new RequestTrace(this.#newSpan);
    exchange.spareTrace = trace;
    exchange.trace = trace;
    trace.begin(this.#context, isRoot, isSampled);
    if (!isSampled) return;
    trace.userAgent = (exchange.head.fields.get("user-agent") ?? "").slice(0, maxText);
  }

  /**
   * OpenTelemetry, "TraceState: Probability Sampling": the last 56 bits of the trace's identifier are the lot, so that everybody with the same ratio draws the
   * same. Their first 32 are fine enough.
   */
  #isChosen(words: Uint32Array): boolean {
    const high = (words[2] as number) & 0xff_ffff;
    const lot = high * 256 + ((words[3] as number) >>> 24);
    return lot >= this.#leastRandomness;
  }

  /** Identifiers of so many words. All zeros is none (W3C Trace Context §3.2.2.3). */
  #draw(words: Uint32Array, at: number, count: number): void {
    if (this.#drawn + count > randomWords) {
      crypto.getRandomValues(this.#random);
      this.#drawn = 0;
    }
    for (let word = 0; word < count; word++) {
      words[at + word] = this.#random[this.#drawn++] as number;
    }
    if (words[at] === 0) words[at] = 1;
  }

  #settleClock(nowMs: number): void {
    const offsetMs = this.#options.wallMs() - nowMs;
    // The wall's clock is rounded down, so that the largest difference is the truest.
    const isSet = Math.abs(offsetMs - this.#offsetMs) > maxClockErrorMs;
    if (isSet || offsetMs > this.#offsetMs) this.#offsetMs = offsetMs;
  }

  #addRequest(exchange: Exchange, trace: RequestTrace, { names, nowMs }: Ended): void {
    const { head, origin, decision, startedMs, isGrpc } = exchange;
    const { identity, ip, tls } = origin.peer;
    const first = trace.attemptCount > 0 ? trace.attempts[0] : undefined;
    const numbers = this.#room.add({
      ...textsOf(exchange),
      userAgent: trace.userAgent,
      routePath: routePathOf(exchange),
      route: names.route,
      policy: names.policy,
      authorization: names.authorization,
      verdict: verdictOf(exchange, names),
      decisionId: exchange.shard.decisions.idOf(exchange),
      peerAddress: formatIp(ip),
      peerIdentity: identity ?? "",
      error: decision.code === "" && decision.status === 0 ? "aborted" : decision.code,
      reason: decision.reason.slice(0, maxText),
    });
    numbers[SpanNumber.isServer] = 1;
    this.#writeIds(numbers, trace, Word.own, Word.parent);
    numbers[SpanNumber.startMs] = this.#offsetMs + startedMs;
    numbers[SpanNumber.endMs] = this.#offsetMs + nowMs;
    numbers[SpanNumber.status] = decision.status;
    numbers[SpanNumber.grpcStatus] = trace.grpcStatus;
    numbers[SpanNumber.rule] = names.rule;
    numbers[SpanNumber.queueMs] = first === undefined ? 0 : first.startMs - startedMs;
    numbers[SpanNumber.isGrpc] = Number(isGrpc);
    numbers[SpanNumber.isOutbound] = Number(origin.direction === "outbound");
    numbers[SpanNumber.isTls] = Number(tls);
    numbers[SpanNumber.isStream] = Number(exchange.downstream.isStream);
    numbers[SpanNumber.isHttp10] = Number(head.versionMinor === 0);
  }

  #addAttempt(exchange: Exchange, trace: RequestTrace, at: number): void {
    const { endpoint, choice, ...attempt } = trace.attempts[at] as Attempt;
    const isUnanswered = attempt.status === 0 && attempt.error === "";
    const numbers = this.#room.add({
      ...textsOf(exchange),
      backend: backendOf(exchange, choice),
      peerAddress: endpoint?.ip ?? "",
      peerIdentity: endpoint?.tls?.identity ?? "",
      error: isUnanswered ? "aborted" : attempt.error,
    });
    this.#writeIds(numbers, trace, Word.attempts + 2 * at, Word.own);
    numbers[SpanNumber.startMs] = this.#offsetMs + attempt.startMs;
    numbers[SpanNumber.endMs] = this.#offsetMs + attempt.endMs;
    const { startMs, sentMs, respondedMs } = attempt;
    numbers[SpanNumber.connectMs] = sentMs === 0 ? -1 : sentMs - startMs;
    numbers[SpanNumber.firstByteMs] = respondedMs === 0 ? -1 : respondedMs - sentMs;
    numbers[SpanNumber.status] = attempt.status;
    numbers[SpanNumber.grpcStatus] = attempt.grpcStatus;
    numbers[SpanNumber.resends] = at;
    numbers[SpanNumber.rule] = -1;
    numbers[SpanNumber.peerPort] = endpoint?.port ?? 0;
    numbers[SpanNumber.isGrpc] = Number(exchange.isGrpc);
    numbers[SpanNumber.isOutbound] = Number(exchange.origin.direction === "outbound");
    numbers[SpanNumber.isTls] = Number(endpoint?.tls !== undefined);
    numbers[SpanNumber.isStream] = Number(attempt.isStream);
  }

  /** `own` and `parent` are places of words. */
  #writeIds(
    numbers: Float64Array,
    { words, flags }: RequestTrace,
    own: number,
    parent: number,
  ): void {
    for (let word = 0; word < 4; word++) {
      numbers[SpanNumber.traceId + word] = words[Word.trace + word] as number;
    }
    for (let word = 0; word < 2; word++) {
      numbers[SpanNumber.spanId + word] = words[own + word] as number;
      numbers[SpanNumber.parentId + word] = words[parent + word] as number;
    }
    numbers[SpanNumber.flags] = flags;
  }
}

type Ended = { readonly names: Decided; readonly nowMs: number };

/** What all spans of a request have. The query carries tokens and stays out. */
function textsOf({ head }: Exchange): SpanTexts {
  return {
    ...noTexts,
    method: head.method.slice(0, maxText),
    path: head.path.slice(0, maxPathText),
    authority: head.authority.slice(0, maxText),
  };
}

/** The path as somebody wrote it into the route that took the request. */
function routePathOf({ decision }: Exchange): string {
  const http = decision.edition?.policy?.table.http;
  const entry = http?.entries[decision.found];
  const route = http?.routes[http.rules[entry?.rule ?? -1]?.route ?? -1];
  return route?.meta.type === "resource" ? (entry?.path.value ?? "").slice(0, maxText) : "";
}

function verdictOf({ decision }: Exchange, { authorization }: Decided): string {
  if (decision.code === "unauthorized") return "deny";
  if (authorization === "") return "";
  return authorization === "default audit" ? "audit" : "allow";
}

function backendOf({ decision, rule }: Exchange, choice: Attempt["choice"]): string {
  const policy = decision.edition?.policy;
  if (policy?.direction !== "outbound" || choice === undefined) return "";
  const chosen = rule?.rule.choices[rule.choices.indexOf(choice)];
  const meta = policy.table.backends[chosen?.backend ?? -1]?.meta;
  return meta === undefined ? "" : describeMeta(meta).slice(0, maxText);
}
