/**
 * A connection to a function: reads requests and answers them as an HTTP/1.1 server would, by calling the function. So
 * everything above (filters, timeouts, retries, upgrades, counting) treats a function as it treats any endpoint.
 */
import { BodyReader } from "../codec/http1-body.ts";
import { parseRequestHead, RequestHead } from "../codec/http1-head.ts";
import {
  functionErrorStatus,
  maxAsyncPayloadBytes,
  maxSyncPayloadBytes,
  unwrapAnswer,
  wrapRequest,
} from "../core/decide/lambda.ts";
import { isPrivateName } from "../core/decide/private-name.ts";
import type { LambdaFunction } from "../core/model/backend.ts";
import type { HeaderValue } from "../core/model/filter.ts";
import { isFieldValue, toFieldText } from "../core/std/field.ts";
import type { CallAnswer, Calling, FunctionCaller } from "../edge/aws/invoke.ts";
import type { Dialing, DialOptions } from "../edge/net/dial.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import { HeldBytes } from "./held-bytes.ts";
import { payloadOf } from "./payload.ts";

/** Sent on at a time, so that a slow client holds up what follows. Not the size of the pool's buffers, which it would be taken for. */
const sliceBytes: number = 64 * 1024;

const maxReasonLength = 1_024;

export type FunctionWireOptions = {
  readonly fn: LambdaFunction;
  readonly caller: FunctionCaller;
};

/** The counterpart of `dial` for a function: there is nothing to connect to before the first call. */
export function openFunction(options: FunctionWireOptions, { onOpen }: DialOptions): Dialing {
  const timer = setImmediate(() => onOpen(new FunctionWire(options)));
  return { cancel: () => clearImmediate(timer) };
}

type Answer = {
  readonly status: number;
  readonly headers: readonly HeaderValue[];
  readonly body: Buffer;
};

const nobody: WireOwner = {
  readBuffer: () => Buffer.alloc(0),
  onBytes: () => true,
  onWritten: () => {},
  onEnd: () => {},
  onClose: () => {},
};

class FunctionWire implements Wire {
  owner: WireOwner = nobody;
  readonly remoteIp = "";
  readonly encrypted = true;
  readonly givesBuffers = true;
  readonly #fn: LambdaFunction;
  readonly #caller: FunctionCaller;
  readonly #maxBytes: number;
  readonly #head: RequestHead = new RequestHead();
  readonly #body: BodyReader = new BodyReader();
  readonly #held: HeldBytes = new HeldBytes();
  /** Position in the held bytes of the body's first byte, and of the first that was not looked at; -1 while the head is not complete. */
  #bodyStart = -1;
  #bodyEnd = -1;
  /** Answered before its end, so that nobody knows where the next request would begin: what still comes is thrown away. */
  #isOver = false;
  #calling: Calling | undefined;
  #out: Buffer[] = [];
  #isPaused = false;
  #isSending = false;
  #isGone = false;

  constructor({ fn, caller }: FunctionWireOptions) {
    this.#fn = fn;
    this.#caller = caller;
    this.#maxBytes = fn.mode === "sync" ? maxSyncPayloadBytes : maxAsyncPayloadBytes;
  }

  send(bytes: Buffer, start: number, end: number): boolean {
    if (this.#isGone || this.#isOver) return true;
    this.#held.append(bytes, start, end);
    // Later, as an answer over a network would come.
    setImmediate(() => this.#read());
    return true;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#sendOn();
  }

  end(): void {
    this.destroy();
  }

  reset(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#calling?.cancel();
    this.#held.clear();
    this.#out = [];
    setImmediate(() => this.owner.onClose(""));
  }

  #read(): void {
    if (this.#isGone || this.#isOver || this.#calling !== undefined) return;
    if (this.#bodyStart < 0 && !this.#readHead()) return;
    const { bytes, end } = this.#held;
    const after = this.#body.take(bytes, this.#bodyEnd, end);
    if (after < 0) throw new Error("A proxy's own request cannot be read");
    this.#bodyEnd = after;
    if (this.#body.payloadBytes > this.#maxBytes) this.#refuseLength();
    else if (this.#body.done) this.#call();
  }

  /** False: it is not complete. */
  #readHead(): boolean {
    const { bytes, start, end } = this.#held;
    const after = parseRequestHead(this.#head, bytes, start, end);
    if (after < 0) throw new Error("A proxy's own request cannot be read");
    if (after === 0) return false;
    this.#bodyStart = after;
    this.#bodyEnd = after;
    this.#body.begin(this.#head.bodyKind, this.#head.contentLength);
    const isTooLong = this.#head.contentLength > this.#maxBytes;
    if (this.#head.expectContinue && !isTooLong) {
      this.#out.push(Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"));
      this.#sendOn();
    }
    if (isTooLong) this.#refuseLength();
    return !isTooLong;
  }

  #call(): void {
    if (this.#head.method === "CONNECT") {
      this.#answer(failure(501, `the function "${this.#fn.name}" cannot be the end of a tunnel`));
      return;
    }
    const payload = this.#payload();
    if (payload.length > this.#maxBytes) {
      this.#refuseLength();
      return;
    }
    this.#calling = this.#caller.call(this.#fn, payload, (answer) => {
      this.#calling = undefined;
      this.#answer(this.#translate(answer));
    });
  }

  #payload(): Buffer {
    const head = this.#head;
    const body = payloadOf(head.bodyKind, this.#held.bytes, this.#bodyStart, this.#bodyEnd);
    if (this.#fn.payload === "none") return body;
    const { method, path, query } = head;
    const headers = headersOf(head);
    return Buffer.from(wrapRequest({ method, path, query, headers, body }, decodeUtf8));
  }

  #refuseLength(): void {
    const reason = `the function takes ${this.#maxBytes} bytes at the most`;
    this.#answer(failure(413, reason));
  }

  #translate(answer: CallAnswer): Answer {
    const { name, mode, payload } = this.#fn;
    if (answer.kind === "failed") {
      return failure(502, `the function "${name}" cannot be called: ${answer.reason}`);
    }
    const { status, errorType, retryAfter } = answer;
    if (status === 429) {
      return failure(429, `the function "${name}" is called too often`, retryAfter);
    }
    if (status < 200 || status > 299) {
      const what = errorType === "" ? `${status}` : `${status} ${errorType}`;
      return failure(
        502,
        `the function "${name}" cannot be called: AWS answered ${what}`,
        retryAfter,
      );
    }
    if (answer.isFunctionError)
      return failure(functionErrorStatus, `the function "${name}" failed`);
    if (mode === "async") return { status: 202, headers: [], body: Buffer.alloc(0) };
    if (payload === "none") {
      const { contentType } = answer;
      const headers =
        isFieldValue(contentType) && contentType !== ""
          ? [{ name: "content-type", value: contentType }]
          : [];
      return { status: 200, headers, body: answer.payload };
    }
    const unwrapped = unwrapAnswer(answer.payload.toString("utf8"));
    if (unwrapped.kind === "broken")
      return failure(502, `the function "${name}": ${unwrapped.reason}`);
    const headers = unwrapped.headers.filter(({ name }) => !isPrivateName(name));
    return { status: unwrapped.status, headers, body: Buffer.from(unwrapped.body) };
  }

  #answer({ status, headers, body }: Answer): void {
    this.#isOver = this.#bodyStart < 0 || !this.#body.done;
    const isHead = this.#head.method === "HEAD";
    this.#expectNext();
    const hasContent = status !== 204 && status !== 304;
    let head = `HTTP/1.1 ${status} \r\n`;
    for (const { name, value } of headers) head += `${name}: ${value}\r\n`;
    if (hasContent) head += `content-length: ${body.length}\r\n`;
    if (this.#isOver) head += "connection: close\r\n";
    this.#out.push(Buffer.from(`${head}\r\n`, "latin1"));
    const end = hasContent && !isHead ? body.length : 0;
    for (let at = 0; at < end; at += sliceBytes) {
      this.#out.push(body.subarray(at, at + sliceBytes));
    }
    this.#sendOn();
  }

  #expectNext(): void {
    this.#held.clear();
    this.#head.reset();
    this.#bodyStart = -1;
    this.#bodyEnd = -1;
  }

  /** The last piece may bring the next request, and each a pause. */
  #sendOn(): void {
    if (this.#isSending) return;
    this.#isSending = true;
    while (!this.#isPaused && !this.#isGone) {
      const next = this.#out.shift();
      if (next === undefined) break;
      if (!this.owner.onBytes(next, next.length)) this.#isPaused = true;
    }
    this.#isSending = false;
  }
}

/**
 * An answer of this proxy, with the reason where the client's side looks for it. How long the service wants to be left alone
 * is passed on: to the client, and to the retries and breakers of this proxy.
 */
function failure(status: number, reason: string, retryAfter: string = ""): Answer {
  const text = toFieldText(reason, maxReasonLength);
  return {
    status,
    headers: [
      { name: "l5d-proxy-error", value: text },
      { name: "content-type", value: "text/plain" },
      ...(retryAfter !== "" && isFieldValue(retryAfter)
        ? [{ name: "retry-after", value: retryAfter }]
        : []),
    ],
    body: Buffer.from(`${text}\n`),
  };
}

/** Those of the message stay here: the payload has no framing and no connection. */
const ownHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function headersOf({ fields }: RequestHead): readonly HeaderValue[] {
  const headers: HeaderValue[] = [];
  for (let i = 0; i < fields.count; i++) {
    const name = fields.name(i);
    if (!ownHeaders.has(name)) headers.push({ name, value: textOf(fields.value(i)) });
  }
  return headers;
}

/** JSON is text, and values are nearly always UTF-8 when they are more than ASCII. */
function textOf(octets: string): string {
  if (/^[\t -~]*$/.test(octets)) return octets;
  return decodeUtf8(Buffer.from(octets, "latin1")) ?? octets;
}

/** Undefined: the octets are no UTF-8. */
function decodeUtf8(octets: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(octets);
  } catch {
    return undefined;
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
