/**
 * The server's end of a stream of replies. A slow reader costs a bounded number of references to messages, never more:
 * bytes are made for one message at a time, and a writer who does not heed `ready` is cut off.
 *
 * Conflation belongs to the publisher, who alone knows whether a newer message replaces an older one. The pattern is:
 * write while `ready`, otherwise remember the newest state only, and write that in `onDrain`.
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { grpcCode } from "../../core/model/grpc-status.ts";
import { peerIdentity } from "../x509/peer-identity.ts";

/** More unsent messages than a burst of changes leaves behind in one turn of the event loop mean a slow reader. */
const slowAtUnsent = 8;

/** Reached only by a writer that ignores `ready`. Its stream is ended rather than left to take memory. */
const refuseAtUnsent = 64;

export type CallInfo = {
  /** Address and port of the other end of the connection. */
  readonly peer: string;
  /** Who the other end has proved to be; undefined without mutual TLS. */
  readonly identity: string | undefined;
  /** The first text value of the request's metadata of this name, which is lower case. */
  readonly metadata: (name: string) => string | undefined;
};

export function callInfo(call: {
  getPeer(): string;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Buffer } } | null;
  readonly metadata: { get(name: string): (string | Buffer)[] };
}): CallInfo {
  const certificate = call.getAuthContext()?.sslPeerCertificate;
  return {
    peer: call.getPeer(),
    identity: certificate === undefined ? undefined : peerIdentity(certificate.raw),
    metadata: (name) => call.metadata.get(name).find((value) => typeof value === "string"),
  };
}

export class ReplyStream<O extends DescMessage> implements CallInfo {
  readonly peer: string;
  readonly identity: string | undefined;
  readonly metadata: (name: string) => string | undefined;
  readonly #call: ServerWritableStream<unknown, MessageShape<O>>;
  readonly #drainCallbacks: (() => void)[] = [];
  readonly #closeCallbacks: (() => void)[] = [];
  #unsent = 0;
  #closed = false;

  constructor(call: ServerWritableStream<unknown, MessageShape<O>>) {
    const { peer, identity, metadata } = callInfo(call);
    this.peer = peer;
    this.identity = identity;
    this.metadata = metadata;
    this.#call = call;
    // The library emits this at the end of every call, whoever ended it.
    call.on("cancelled", () => this.#close());
  }

  /** Whether the reader keeps up. False also when the stream is closed. */
  get ready(): boolean {
    return !this.#closed && this.#unsent < slowAtUnsent;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Answers `ready` as it is afterwards. On a closed stream the message is dropped. */
  write(message: MessageShape<O>): boolean {
    if (this.#closed) return false;
    if (this.#unsent >= refuseAtUnsent) {
      this.fail(
        grpcCode.resourceExhausted,
        "Read faster: too many updates are waiting for this stream",
      );
      return false;
    }
    this.#unsent++;
    this.#call.write(message, () => this.#sent());
    return this.ready;
  }

  /** Ends the stream with OK after what was written. */
  end(): void {
    if (this.#closed) return;
    this.#close();
    this.#call.end();
  }

  /** Ends the stream with a failure after what was written. */
  fail(code: number, message: string): void {
    if (this.#closed) return;
    this.#close();
    // The library percent-encodes the text and throws on half of a surrogate pair.
    this.#call.emit("error", { code, details: message.toWellFormed() });
  }

  /** Called each time the stream becomes `ready` again. */
  onDrain(callback: () => void): void {
    this.#drainCallbacks.push(callback);
  }

  /** Called once, when no further message can be written, whichever side ended it; at once if that has happened. */
  onClose(callback: () => void): void {
    if (this.#closed) callback();
    else this.#closeCallbacks.push(callback);
  }

  /** Runs for messages that were sent and for those that were given up with the stream. */
  #sent(): void {
    const wasSlow = this.#unsent >= slowAtUnsent;
    this.#unsent--;
    if (!wasSlow || !this.ready) return;
    for (const callback of this.#drainCallbacks) callback();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const callback of this.#closeCallbacks.splice(0)) callback();
  }
}
