/**
 * What is recorded of one request whose trace is sampled: a span for the request, and one for each try to have it answered. A connection makes one when it
 * first carries such a request and keeps it for the others.
 */
import type { HeadEdit } from "../codec/http1-write.ts";
import type { Endpoint } from "../core/model/endpoint.ts";
import type { Exchange, Target } from "./exchange.ts";
import type { LoadedChoice } from "./loaded.ts";
import {
  hexText,
  sampledFlag,
  type TraceContext,
  traceparent,
  writeContext,
} from "./trace-context.ts";

/** More tries than any sensible rule allows. The last place is used again for those beyond. */
const maxAttempts = 32;

/** Places in `words`: the trace (four), the caller's span, our own, and that of each try (two each). */
export const Word = { trace: 0, parent: 4, own: 6, attempts: 8 } as const;

/** The request, or one connection that was tried for it, towards an endpoint. */
export type Attempt = {
  startMs: number;
  /** When there was a connection; 0: not yet. */
  sentMs: number;
  /** When the head of the response had come; 0: not yet. */
  respondedMs: number;
  endMs: number;
  endpoint: Endpoint | undefined;
  choice: LoadedChoice | undefined;
  /** 0: no response has come. */
  status: number;
  /** -1: nothing was said. */
  grpcStatus: number;
  /** Empty: none. */
  error: string;
  isStream: boolean;
};

export class RequestTrace {
  readonly words: Uint32Array = new Uint32Array(Word.attempts + 2 * maxAttempts);
  formats = 0;
  flags = 0;
  isShort = false;
  isDebug = false;
  /** False: the trace begins here and is not sampled. All that is done is to tell those behind us. */
  isRecording = false;
  /** The trace begins here. */
  isRoot = false;
  /** It takes the place of another, which cannot be read. */
  replaces = false;
  /** As the request brought it. */
  userAgent = "";
  /** Of the answer that the client got; -1: none. */
  grpcStatus = -1;
  /** The tries in their order; only the first `attemptCount` are those of this request. */
  readonly attempts: Attempt[] = [];
  attemptCount = 0;
  /** Whether the last try is under way. */
  isOpen = false;
  readonly #newId: (words: Uint32Array, at: number) => void;

  constructor(newId: (words: Uint32Array, at: number) => void) {
    this.#newId = newId;
  }

  begin(context: TraceContext, isRoot: boolean, isSampled: boolean): void {
    this.words.set(context.words);
    this.formats = context.formats;
    this.flags = context.flags | (isSampled ? sampledFlag : 0);
    this.isShort = context.isShort;
    this.isDebug = context.isDebug;
    this.isRoot = isRoot;
    this.replaces = context.hasW3c;
    this.isRecording = isSampled;
    this.#newId(this.words, Word.own);
    this.grpcStatus = -1;
    this.attemptCount = 0;
    this.isOpen = false;
  }

  /** The identifier of the trace, for people. */
  get id(): string {
    return hexText(this.words, Word.trace, 4);
  }

  /** The edits of the request begin anew. Who is asked on the way (mirrors, authorization services) is a child of the request's span. */
  prepare(edit: HeadEdit): void {
    if (!this.isRoot) {
      writeContext(edit, this, Word.own, Word.parent);
      return;
    }
    if (this.replaces) {
      // W3C Trace Context §4.3: the state of a trace that cannot be read is not that of a new one.
      edit.remove("tracestate");
      edit.remove("traceparent");
    }
    edit.add("traceparent", traceparent(this, Word.own));
  }

  /** An endpoint was chosen. The same again is the same try: over another connection, because one was closed before it was used. */
  attempt({ shard, choice }: Exchange, { endpoint }: Target): void {
    if (!this.isRecording) return;
    const last = this.attempts[this.attemptCount - 1];
    if (this.isOpen && last?.endpoint === endpoint) return;
    const nowMs = shard.nowMs();
    this.close(nowMs, "");
    if (this.attemptCount < maxAttempts) this.attemptCount++;
    const at = this.attemptCount - 1;
    const attempt = this.attempts[at] ?? newAttempt();
    this.attempts[at] = attempt;
    this.#newId(this.words, Word.attempts + 2 * at);
    attempt.startMs = nowMs;
    attempt.sentMs = 0;
    attempt.respondedMs = 0;
    attempt.endMs = 0;
    attempt.endpoint = endpoint;
    attempt.choice = choice;
    attempt.status = 0;
    attempt.grpcStatus = -1;
    attempt.error = "";
    attempt.isStream = false;
    this.isOpen = true;
  }

  /** The head is about to be written for the try that is under way. */
  sent(edit: HeadEdit, isStream: boolean, nowMs: number): void {
    const last = this.#last;
    if (!this.isRecording || last === undefined) return;
    last.sentMs = nowMs;
    last.isStream = isStream;
    writeContext(edit, this, Word.attempts + 2 * (this.attemptCount - 1), Word.own);
  }

  /** The head of a response has come, for the client or for nobody. */
  responded(status: number, grpcStatus: number, nowMs: number): void {
    const last = this.#last;
    if (!this.isOpen || last === undefined) return;
    last.respondedMs = nowMs;
    last.status = status;
    last.grpcStatus = grpcStatus;
  }

  /** A response of gRPC has said how it went, to the client as well. */
  ended(grpcStatus: number): void {
    this.grpcStatus = grpcStatus;
    const last = this.#last;
    if (this.isOpen && last !== undefined) last.grpcStatus = grpcStatus;
  }

  /** The try that is under way is over. */
  close(nowMs: number, error: string): void {
    const last = this.#last;
    if (!this.isOpen || last === undefined) return;
    this.isOpen = false;
    last.endMs = nowMs;
    last.error = error;
  }

  get #last(): Attempt | undefined {
    return this.attempts[this.attemptCount - 1];
  }
}

function newAttempt(): Attempt {
  return {
    startMs: 0,
    sentMs: 0,
    respondedMs: 0,
    endMs: 0,
    endpoint: undefined,
    choice: undefined,
    status: 0,
    grpcStatus: -1,
    error: "",
    isStream: false,
  };
}
