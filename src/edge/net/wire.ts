/**
 * A byte stream to the other end of a connection, as the data plane sees it. This is all that the data plane knows about
 * sockets: a faster layer than `node:net` can take its place by implementing `Wire`, and nothing above changes.
 */
import type { Socket } from "node:net";

/**
 * Who owns a wire is told what happens on it. A wire has one owner at a time; a stage that is done with a connection (the
 * first look at its bytes, the head of a request) hands it on by setting `owner`.
 */
export type WireOwner = {
  /** Where the next bytes are to be read to. Asked before each read; Node.js asks one read ahead, so the answer of now is used for the read after. */
  readBuffer(): Buffer;
  /** `length` bytes are at the start of `bytes`. False stops reading until `resume()`; what TLS has decrypted by then still comes, 64 KiB at most. */
  onBytes(bytes: Buffer, length: number): boolean;
  /** Everything that `send` answered false for has left. */
  onWritten(): void;
  /** The other end will not send any more (TCP: FIN). */
  onEnd(): void;
  /** The last call. `code` is empty after an orderly end, else what failed (`ECONNRESET`). */
  onClose(code: string): void;
};

/** A wire gets its owner as soon as it is made, before anything can happen on it. */
export function nobody(firstBuffer: Buffer): WireOwner {
  return {
    readBuffer: () => firstBuffer,
    onBytes: () => false,
    onWritten: () => {},
    onEnd: () => {},
    onClose: () => {},
  };
}

/** A connection of TCP itself, which Node.js can be given for TLS, with bytes that were read from it and not used. The wire is dead after that. */
export type PlainWire = Wire & { release(unread: Buffer): Socket };

export type Wire = {
  owner: WireOwner;
  /** The address of the other end, canonical text (`std/ip.ts` reads it). */
  readonly remoteIp: string;
  /** Whether the bytes are encrypted on their way. */
  readonly encrypted: boolean;
  /** Whether what `onBytes` brings is the owner's to keep and to lend; else it is in the buffer that `readBuffer` answered. */
  readonly givesBuffers: boolean;
  /** It is one of several streams on a connection, and is not known to be dead by its silence. */
  readonly isStream?: true;
  /** What `grpc-status` of the response said that has come last, head or trailers. */
  readonly grpcStatus?: number | undefined;
  /** Set by who wants to know that before the response, if both come at once. */
  awaitsStatus?: boolean;
  /**
   * Sends `bytes[start, end)`. True: the bytes are gone (or copied) and the caller may overwrite its buffer and go on.
   * False: the whole buffer is lent to the wire, which gives it back to its pool; the caller takes another one, and stops
   * sending until `onWritten`.
   */
  send(bytes: Buffer, start: number, end: number): boolean;
  /** Sends what there is room for at once, and answers where that ends; the buffer stays the caller's. */
  sendNow?(bytes: Buffer, start: number, end: number): number;
  /** Stops reading at another moment than `onBytes`. */
  pause(): void;
  /** Reads on after `onBytes` answered false, or after `pause()`. */
  resume(): void;
  /** Says that nothing more will be sent, after all that was. */
  end(): void;
  /** Drops the connection and what was not sent yet. `onClose` follows. */
  destroy(): void;
  /** The same, and the other end learns that something is missing, if the transport can say so (TCP: RST). `code` is one of HTTP/2. */
  reset(code?: number): void;
  /** If this process dies before `end()`, the other end learns that something is missing. */
  abortOnDeath?(): void;
  /** Ends a message whose head was sent, in place of what is missing of it. False: it is over already. */
  endWithTrailers?(trailers: readonly (readonly [string, string])[]): boolean;
};
