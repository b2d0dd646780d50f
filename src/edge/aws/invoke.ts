/**
 * Calls functions of AWS Lambda. A call crosses the internet and waits for a program to run, so this is not the hot path of
 * the data plane: it goes by `node:https`, with the public trust anchors that come with Node.js.
 */
import type { ClientRequest, Agent as HttpAgent, IncomingMessage, RequestOptions } from "node:http";
import type { Agent as HttpsAgent } from "node:https";
import { invocationOf } from "../../core/decide/lambda.ts";
import type { LambdaFunction } from "../../core/model/backend.ts";
import { isToken } from "../../core/std/field.ts";
import { parseIp } from "../../core/std/ip.ts";
import { sha256Hex, signV4 } from "./sigv4.ts";

/** A function may run for 15 minutes; nobody answers after that. */
const maxCallMs: number = 15 * 60 * 1_000 + 10_000;

/** Across the internet, the handshake included. */
const connectMs = 10_000;

/** AWS's own limit of an answer is 6 MB. */
const maxAnswerBytes: number = 8 * 1024 * 1024;

/** Idle connections to one region that wait for the next call. */
const maxIdle = 64;

/** AWS closes what was idle for longer. */
const idleMs = 20_000;

export type CallAnswer =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly contentType: string;
      /** What the service calls its refusal; empty when it names none. */
      readonly errorType: string;
      /** As the service wrote it; empty when it asks for no pause. */
      readonly retryAfter: string;
      /** The function threw, or ran out of time or memory. */
      readonly isFunctionError: boolean;
      readonly payload: Buffer;
    }
  | { readonly kind: "failed"; readonly reason: string };

export type Calling = { cancel(): void };

export class FunctionCaller {
  readonly #wallMs: () => number;
  #https: HttpsAgent | undefined;
  #http: HttpAgent | undefined;

  /** `wallMs` tells milliseconds since 1970: AWS refuses signatures of another time. */
  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** `onAnswer` is called once, later, unless the call is cancelled before. */
  call(fn: LambdaFunction, payload: Buffer, onAnswer: (answer: CallAnswer) => void): Calling {
    const url = URL.parse(functionUrl(fn));
    const fault = url === null ? "its endpoint URL is none" : urlFault(url);
    if (url === null || fault !== undefined) {
      const timer = setImmediate(() => onAnswer({ kind: "failed", reason: fault ?? "" }));
      return { cancel: () => clearImmediate(timer) };
    }
    const call = this.#request(url, {
      host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: url.port,
      method: "POST",
      path: `${url.pathname}${url.search}`,
      headers: this.#signedHeaders(fn, url, payload),
    });
    const running = new Running(call, onAnswer);
    call.end(payload);
    return running;
  }

  close(): void {
    this.#https?.destroy();
    this.#http?.destroy();
  }

  /** Most workers call no function. The modules are not imported, because that reads all that they export, undici's WebSocket with it: 16 MiB. */
  #request({ protocol }: URL, options: RequestOptions): ClientRequest {
    const kept = { keepAlive: true, maxFreeSockets: maxIdle, timeout: idleMs };
    if (protocol === "http:") {
      const http = process.getBuiltinModule("node:http");
      this.#http ??= new http.Agent(kept);
      return http.request({ ...options, agent: this.#http });
    }
    const https = process.getBuiltinModule("node:https");
    this.#https ??= new https.Agent(kept);
    return https.request({ ...options, agent: this.#https });
  }

  #signedHeaders(fn: LambdaFunction, url: URL, payload: Buffer): Record<string, string> {
    const headers = [{ name: "host", value: url.host }, ...invocationOf(fn).headers];
    const added = signV4(
      {
        method: "POST",
        path: url.pathname,
        query: url.search.slice(1),
        headers,
        bodySha256: sha256Hex(payload),
      },
      { region: fn.region, service: "lambda", keys: fn, nowMs: this.#wallMs() },
    );
    return Object.fromEntries([
      ...[...headers, ...added].map(({ name, value }) => [name, value]),
      ["content-type", "application/json"],
      ["content-length", String(payload.length)],
    ]);
  }
}

function functionUrl(fn: LambdaFunction): string {
  const { origin, path, query } = invocationOf(fn);
  return `${origin}${path}${query === "" ? "" : `?${query}`}`;
}

/** A signature is good for everybody who sees it, so it is shown to nobody on the way: without TLS only on this machine. The URL itself stays out of the text, for it may hold a password. */
function urlFault({ protocol, username, password, hostname }: URL): string | undefined {
  if (username !== "" || password !== "") return "its endpoint URL must not hold a user";
  if (protocol === "https:") return undefined;
  if (protocol !== "http:") return "its endpoint URL must begin with https://";
  const ip = parseIp(hostname.replace(/^\[(.*)\]$/, "$1"));
  const isLoopback =
    hostname === "localhost" ||
    (ip?.family === 4 ? ip.bits >>> 24 === 127 : ip?.words.join(" ") === "0 0 0 1");
  return isLoopback ? undefined : "its endpoint URL must begin with https://";
}

class Running implements Calling {
  readonly #call: ClientRequest;
  readonly #timer: NodeJS.Timeout;
  #onAnswer: ((answer: CallAnswer) => void) | undefined;
  #connectTimer: NodeJS.Timeout | undefined;

  constructor(call: ClientRequest, onAnswer: (answer: CallAnswer) => void) {
    this.#call = call;
    this.#onAnswer = onAnswer;
    this.#timer = setTimeout(() => this.#fail("it took too long"), maxCallMs);
    call.on("socket", (socket) => {
      if (!socket.connecting) return;
      this.#connectTimer = setTimeout(() => this.#fail("the service cannot be reached"), connectMs);
      socket.once(call.protocol === "https:" ? "secureConnect" : "connect", () =>
        clearTimeout(this.#connectTimer),
      );
    });
    call.on("response", (response) => this.#receive(response));
    call.on("error", (error) => this.#fail(`the call failed: ${codeOf(error)}`));
  }

  cancel(): void {
    this.#onAnswer = undefined;
    this.#end();
    this.#call.destroy();
  }

  #receive(response: IncomingMessage): void {
    const parts: Buffer[] = [];
    let length = 0;
    response.on("data", (part: Buffer) => {
      length += part.length;
      if (length > maxAnswerBytes) this.#fail(`the answer is longer than ${maxAnswerBytes} bytes`);
      else parts.push(part);
    });
    response.on("error", (error) => this.#fail(`the answer broke off: ${codeOf(error)}`));
    response.on("end", () => {
      const { headers } = response;
      this.#answer({
        kind: "answer",
        status: response.statusCode ?? 0,
        contentType: headers["content-type"] ?? "",
        retryAfter: headers["retry-after"] ?? "",
        errorType: errorTypeOf(headers["x-amzn-errortype"]),
        isFunctionError: headers["x-amz-function-error"] !== undefined,
        payload: Buffer.concat(parts, length),
      });
    });
  }

  #fail(reason: string): void {
    this.#answer({ kind: "failed", reason });
    this.#call.destroy();
  }

  #answer(answer: CallAnswer): void {
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    this.#end();
    onAnswer?.(answer);
  }

  #end(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#connectTimer);
  }
}

/** `InvalidSignatureException:http://…`. Only the name: what AWS says beside it repeats what was signed, tokens included. */
function errorTypeOf(value: string | string[] | undefined): string {
  const name = (Array.isArray(value) ? value[0] : value)?.split(":")[0] ?? "";
  return isToken(name) && name.length <= 100 ? name : "";
}

/** Not the message, which may name more than it should. */
function codeOf(error: NodeJS.ErrnoException): string {
  return error.code ?? "unknown";
}
