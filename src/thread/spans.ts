/**
 * How finished spans cross from a worker to the main thread: numbers of all spans in one array, and each text once. An object for each span would cost the
 * worker more to clone than the request that it tells of (`benchmarks/proxy/tracing.ts`).
 */

/** What one message carries: 80 KiB of numbers. A worker makes the room when the first span ends. */
export const maxBatchSpans = 256;

/**
 * Batches that a worker has sent and the main thread has not taken. With those the worker holds 2,000 spans, a tenth of a second of a busy sidecar whose every
 * request is traced; a main thread that is further behind does not catch up by being given more.
 */
export const maxBatchesUnderWay = 8;

/** Finished spans of one worker. */
export type SpanBatch = {
  readonly count: number;
  /** `spanNumbers` in a row for each span. */
  readonly numbers: Float64Array;
  readonly texts: readonly string[];
  /** Spans that were given up since the last batch, because the main thread is behind. */
  readonly dropped: number;
};

/** Places of the numbers of one span. Ids are words of 32 bits, the most significant first; no parent is 0. */
export const SpanNumber = {
  isServer: 0,
  /** Four words. */
  traceId: 1,
  /** Two words. */
  spanId: 5,
  /** Two words. */
  parentId: 7,
  /** Those of W3C Trace Context. */
  flags: 9,
  /** Milliseconds since 1970. */
  startMs: 10,
  endMs: 11,
  /** 0: there was none. */
  status: 12,
  /** -1: there was none. */
  grpcStatus: 13,
  /** Tries before this one. */
  resends: 14,
  /** Of its route; -1: none. */
  rule: 15,
  /** Milliseconds before the first endpoint was asked. */
  queueMs: 16,
  /** Of a try: milliseconds until there was a connection; -1: there never was. */
  connectMs: 17,
  /** Of a try: milliseconds from then until the head of the response; -1: none came. */
  firstByteMs: 18,
  /** 0: unknown. */
  peerPort: 19,
  isGrpc: 20,
  isOutbound: 21,
  isTls: 22,
  isStream: 23,
  isHttp10: 24,
} as const;

/** The place of the first text: each is an index into `texts`. */
const firstText = 25;

/** Texts of one span, in order. Empty: it does not have it. */
const textNames = [
  "method",
  "path",
  "authority",
  "userAgent",
  "routePath",
  "route",
  "policy",
  "authorization",
  "verdict",
  "backend",
  "decisionId",
  "peerAddress",
  "peerIdentity",
  "error",
  "reason",
] as const;

export type SpanText = (typeof textNames)[number];
export type SpanTexts = Readonly<Record<SpanText, string>>;

const spanNumbers: number = firstText + textNames.length;

export const noTexts: SpanTexts = {
  method: "",
  path: "",
  authority: "",
  userAgent: "",
  routePath: "",
  route: "",
  policy: "",
  authorization: "",
  verdict: "",
  backend: "",
  decisionId: "",
  peerAddress: "",
  peerIdentity: "",
  error: "",
  reason: "",
};

/** Collects the spans of a worker until they are sent. */
export class SpanRoom {
  #count = 0;
  #numbers: Float64Array = new Float64Array(0);
  readonly #texts = new Map<string, number>();
  #dropped = 0;

  get count(): number {
    return this.#count;
  }

  get dropped(): number {
    return this.#dropped;
  }

  get isFull(): boolean {
    return this.#count === maxBatchSpans;
  }

  /** There is no room: the span is counted and forgotten. */
  drop(): void {
    this.#dropped++;
  }

  /** Room for the numbers of one more span, all 0 but for its texts. */
  add(texts: SpanTexts): Float64Array {
    if (this.isFull) throw new Error("Take the batch before adding to it");
    if (this.#numbers.length === 0) {
      this.#numbers = new Float64Array(maxBatchSpans * spanNumbers);
    }
    const start = this.#count++ * spanNumbers;
    const numbers = this.#numbers.subarray(start, start + spanNumbers);
    numbers.fill(0, 0, firstText);
    for (let at = 0; at < textNames.length; at++) {
      numbers[firstText + at] = this.#indexOf(texts[textNames[at] as SpanText]);
    }
    return numbers;
  }

  /** What was collected; the room is empty then. */
  take(): SpanBatch {
    const batch = {
      count: this.#count,
      numbers: this.#numbers.slice(0, this.#count * spanNumbers),
      texts: [...this.#texts.keys()],
      dropped: this.#dropped,
    };
    this.#count = 0;
    this.#dropped = 0;
    this.#texts.clear();
    return batch;
  }

  #indexOf(text: string): number {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    const index = this.#texts.size;
    this.#texts.set(text, index);
    return index;
  }
}

/** One span of a batch, for whoever makes something else of it. */
export class SpanReader {
  readonly #batch: SpanBatch;
  readonly #start: number;

  constructor(batch: SpanBatch, index: number) {
    this.#batch = batch;
    this.#start = index * spanNumbers;
  }

  number(place: number): number {
    return this.#batch.numbers[this.#start + place] ?? 0;
  }

  text(name: SpanText): string {
    return this.#batch.texts[this.number(firstText + textNames.indexOf(name))] ?? "";
  }
}
