/**
 * The connections on which this worker asks authorization services, HTTP or gRPC, to the endpoints of a backend like those of
 * any other: with mutual TLS and a transport header where they are meshed. Each question is a request of our own, so this goes
 * by Node's own implementations of HTTP/1.1 and HTTP/2 and not by the engine that forwards. Most workers ask nobody, so these are
 * loaded with the first question; and not by import, which reads all that they export, undici's WebSocket with it: 16 MiB.
 */
import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import type { ClientHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { writeTransportHeader } from "../codec/transport-header.ts";
import type { HeaderValue } from "../core/model/filter.ts";
import { DialError, dialSocket } from "../edge/net/dial-socket.ts";
import type { Target } from "./exchange.ts";
import { dialTargetOf } from "./forward.ts";
import type { Shard } from "./shard.ts";

/** Of an answer. A denial is a page at the most, and is sent on from the worker's scratch buffer (128 KiB) in one piece. */
const maxAuthAnswerBytes: number = 32 * 1024;

/** RFC 9113 §7 CANCEL. */
const cancelled = 8;

export type AuthAnswer =
  | {
      readonly kind: "answer";
      readonly status: number;
      /** Lower-case names; of gRPC also the trailers. */
      readonly headers: readonly HeaderValue[];
      readonly body: Buffer;
    }
  | {
      readonly kind: "failed";
      readonly reason: string;
      readonly again: TryAgain;
    };

/** Where another try may be better: at another endpoint, when none could be opened to this one; at any, when a connection that had waited was closed before an answer. */
type TryAgain = "no" | "elsewhere" | "anywhere";

export type AuthQuestion = {
  readonly target: Target;
  readonly method: string;
  /** Path and query, in octets. */
  readonly path: string;
  readonly headers: readonly HeaderValue[];
  readonly body: Buffer;
};

export type Asking = { cancel(): void };

/** Called once, later, unless the question is cancelled before. */
export type OnAuthAnswer = (answer: AuthAnswer) => void;

export class AuthConnections {
  readonly #shard: Shard;
  readonly #agents = new Map<Target, Agent>();
  readonly #sessions = new Map<Target, Promise<ClientHttp2Session>>();

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  askHttp(question: AuthQuestion, onAnswer: OnAuthAnswer): Asking {
    const { target, method, path, headers, body } = question;
    const receiver = new Receiver(onAnswer);
    const call = process.getBuiltinModule("node:http").request({
      agent: this.#agentOf(target),
      method,
      path,
      setHost: false,
      headers: headers.flatMap(({ name, value }) => [name, value]),
    });
    receiver.takeHttp(call);
    call.end(body);
    return receiver;
  }

  /** A call of one message, which the body is. */
  askGrpc(question: AuthQuestion, onAnswer: OnAuthAnswer): Asking {
    const { target, path, headers, body } = question;
    const receiver = new Receiver(onAnswer);
    this.#sessionOf(target).then(
      (session) => receiver.takeGrpc(session, { path, headers, body }),
      (error: unknown) => receiver.fail(reasonOf(error), "elsewhere"),
    );
    return receiver;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    for (const session of this.#sessions.values()) session.then(destroy, () => {});
    this.#agents.clear();
    this.#sessions.clear();
  }

  #agentOf(target: Target): Agent {
    const known = this.#agents.get(target);
    if (known !== undefined) return known;
    this.#forgetGone();
    const agent = meshAgent(this.#shard.limits.poolIdleTimeoutMs, () =>
      this.#dial(target, "http1"),
    );
    this.#agents.set(target, agent);
    return agent;
  }

  /** One session carries all calls to an endpoint. */
  #sessionOf(target: Target): Promise<ClientHttp2Session> {
    const known = this.#sessions.get(target);
    if (known !== undefined) return known;
    this.#forgetGone();
    const opening = this.#dial(target, "http2").then((socket) => {
      const { connect } = process.getBuiltinModule("node:http2");
      const session = connect("http://authorization", { createConnection: () => socket });
      // What goes wrong ends the calls that are under way, which tell it.
      session.on("error", () => {});
      session.on("goaway", forget);
      session.setTimeout(this.#shard.limits.idleTimeoutMs, () => session.close());
      session.on("close", forget);
      return session;
    });
    const forget = (): void => {
      if (this.#sessions.get(target) === opening) this.#sessions.delete(target);
    };
    opening.catch(forget);
    this.#sessions.set(target, opening);
    return opening;
  }

  async #dial(target: Target, protocol: "http1" | "http2"): Promise<Duplex> {
    const { endpoint } = target;
    const dialed = dialTargetOf(this.#shard, endpoint);
    if (dialed === undefined) throw new DialError("this proxy has no certificate yet");
    const isMeshed = endpoint.tls !== undefined && endpoint.inboundPort !== 0;
    const preface = isMeshed
      ? writeTransportHeader({ port: endpoint.port, name: "", protocol })
      : undefined;
    const { connectTimeoutMs } = this.#shard.limits;
    try {
      const socket = await dialSocket({ target: dialed, preface, timeoutMs: connectTimeoutMs });
      target.reached();
      return socket;
    } catch (error) {
      target.failed(this.#shard.nowMs(), this.#shard.random());
      throw error;
    }
  }

  /** Endpoints come and go; what belonged to those that went is let go when a new one is asked. */
  #forgetGone(): void {
    for (const [target, agent] of this.#agents) {
      if (!target.gone) continue;
      agent.destroy();
      this.#agents.delete(target);
    }
    for (const [target, session] of this.#sessions) {
      if (!target.gone) continue;
      session.then(
        (one) => one.close(),
        () => {},
      );
      this.#sessions.delete(target);
    }
  }
}

/** Keeps connections that were opened by the mesh's rules. */
function meshAgent(idleMs: number, dial: () => Promise<Duplex>): Agent {
  const { Agent } = process.getBuiltinModule("node:http");
  const agent = new Agent({ keepAlive: true, timeout: idleMs });
  agent.createConnection = (_options, callback) => {
    dial().then(
      (socket) => callback?.(null, socket),
      // The library reads no socket beside an error.
      (error: Error) => callback?.(error, undefined as never),
    );
    return undefined;
  };
  return agent;
}

type GrpcCall = Pick<AuthQuestion, "path" | "headers" | "body">;

class Receiver implements Asking {
  #onAnswer: OnAuthAnswer | undefined;
  #stop: () => void = () => {};
  readonly #parts: Buffer[] = [];
  #length = 0;

  constructor(onAnswer: OnAuthAnswer) {
    this.#onAnswer = onAnswer;
  }

  takeHttp(call: ClientRequest): void {
    this.#stop = () => call.destroy();
    let isAnswering = false;
    call.on("response", (response) => {
      isAnswering = true;
      this.#read(response);
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        this.#answer({ kind: "answer", status, headers: pairs(response), body: this.#body() });
      });
    });
    call.on("upgrade", () => this.fail("the answer changes the protocol", "no"));
    call.on("error", (error) =>
      this.fail(reasonOf(error), isAnswering ? "no" : againAfter(error, call.reusedSocket)),
    );
  }

  takeGrpc(session: ClientHttp2Session, { path, headers, body }: GrpcCall): void {
    if (this.#onAnswer === undefined) return;
    if (session.destroyed || session.closed) {
      this.fail("the connection was closed", "anywhere");
      return;
    }
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      ...Object.fromEntries(headers.map(({ name, value }) => [name, value])),
    });
    this.#stop = () => stream.close(cancelled);
    let status = 0;
    const received: HeaderValue[] = [];
    const note = (fields: Readonly<Record<string, unknown>>): void => {
      for (const [name, value] of Object.entries(fields)) {
        if (typeof value === "string") received.push({ name, value });
      }
    };
    stream.on("response", (fields) => {
      status = fields[":status"] ?? 0;
      note(fields);
    });
    stream.on("trailers", note);
    this.#read(stream);
    stream.on("error", (error) => this.fail(reasonOf(error), "no"));
    stream.on("end", () => {
      // Trailers come behind the data, and are told before the end is. A stream also ends that has never begun.
      if (status === 0) return;
      this.#answer({ kind: "answer", status, headers: received, body: this.#body() });
    });
    stream.on("close", () =>
      this.fail("the connection was closed", status === 0 ? "anywhere" : "no"),
    );
    stream.end(body);
  }

  cancel(): void {
    this.#onAnswer = undefined;
    this.#stop();
  }

  fail(reason: string, again: TryAgain): void {
    if (this.#onAnswer === undefined) return;
    this.#answer({ kind: "failed", reason, again });
    this.#stop();
  }

  #read(stream: NodeJS.ReadableStream): void {
    stream.on("data", (part: Buffer) => {
      this.#length += part.length;
      if (this.#length <= maxAuthAnswerBytes) this.#parts.push(part);
      else this.fail(`the answer is longer than ${maxAuthAnswerBytes} bytes`, "no");
    });
    stream.on("error", (error: Error) => this.fail(reasonOf(error), "no"));
  }

  #body(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #answer(answer: AuthAnswer): void {
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    onAnswer?.(answer);
  }
}

/** Several fields of one name stay several. */
function pairs({ rawHeaders }: IncomingMessage): readonly HeaderValue[] {
  const headers: HeaderValue[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    headers.push({ name: (rawHeaders[at] ?? "").toLowerCase(), value: rawHeaders[at + 1] ?? "" });
  }
  return headers;
}

function againAfter(error: unknown, wasReused: boolean): TryAgain {
  if (error instanceof DialError) return "elsewhere";
  return wasReused ? "anywhere" : "no";
}

function reasonOf(error: unknown): string {
  if (error instanceof DialError) return error.message;
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown";
}

function destroy(session: ClientHttp2Session): void {
  session.destroy();
}
