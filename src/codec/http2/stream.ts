/** One stream of a session, and who is told what happens on it. */
import { defaultWindow } from "./frames.ts";
import type { HeaderBlock } from "./header-block.ts";

/** In place of a code of RST_STREAM: the connection ended without a word about its streams. No code of 32 bits is negative. */
export const connectionLost = -1;

/**
 * The blocks and bytes that a consumer is shown are valid during the call only. After `onReset` nothing more is called.
 */
export type StreamConsumer = {
  /**
   * The request's head, or one of a response: informational ones (below 200) come before the final one. `isAll`: nothing
   * follows but `onEnd`.
   */
  onHead(block: HeaderBlock, isAll: boolean): void;
  /** Content. Each byte is to be paid back by `session.consumed` once it was taken on. */
  onData(bytes: Buffer, start: number, end: number): void;
  onTrailers(block: HeaderBlock): void;
  /** The peer has said everything; follows its last head, data or trailers. */
  onEnd(): void;
  /** The stream is over before its time: the peer reset it, broke a rule, or its connection ended (`connectionLost`). */
  onReset(code: number): void;
  /** `sendData` took less than it was given before; now it may be called again. */
  onWritable(): void;
};

export class Http2Stream {
  /** 0 until the head of a stream of our own is sent. */
  id = 0;
  consumer: StreamConsumer;
  /** We have sent END_STREAM. */
  localEnded = false;
  /** The peer has. */
  remoteEnded = false;
  /** Both have, or the stream was reset. */
  isClosed = false;
  /** For a request of our own that is answered without content, whatever Content-Length says (HEAD). */
  isAnsweredEmpty = false;

  /** State of the session. What the peer lets us send, negative after it lowered its setting (RFC 9113 §6.9.2). */
  sendWindow: number = defaultWindow;
  /** What the peer may still send. */
  receiveWindow: number;
  /** Bytes that the consumer has been shown and has not paid back. */
  unconsumed = 0;
  /** Bytes that were paid back, which the peer has not been told yet. */
  credit = 0;
  hasHead = false;
  /** Content-Length of the message that the peer sends, or -1, and how much of it has come. */
  expectedBytes = -1;
  receivedBytes = 0;
  /** Waits in the queue for room. */
  isQueued = false;
  /** Waits for the stream's own window. */
  isStalled = false;
  /** Since when it waits without any progress, or -1. */
  waitingSince = -1;

  constructor(consumer: StreamConsumer, receiveWindow: number) {
    this.consumer = consumer;
    this.receiveWindow = receiveWindow;
  }
}
