/**
 * One direction of a tunnel, and how it ends when it is the proxy that has to leave: after what was sent comes the end, and of a WebSocket a close frame before
 * that (RFC 6455 §7.1.1), for which the frame that is under way is waited for. What comes behind that is dropped.
 */
import type { WebSocketFrames } from "../codec/websocket-frames.ts";

export type WayEnd = {
  /** Sends a copy. */
  readonly send: (bytes: Buffer, start: number, end: number) => void;
  readonly end: () => void;
  readonly closeFrame: () => Buffer;
};

export class TunnelWay {
  readonly #to: WayEnd;
  /** Undefined: the bytes mean nothing to the proxy. */
  readonly #frames: WebSocketFrames | undefined;
  #state: "open" | "leaving" | "over" = "open";

  constructor(to: WayEnd, frames: WebSocketFrames | undefined) {
    this.#to = to;
    this.#frames = frames;
  }

  /** The position up to which `bytes[start, end)` go on. */
  pass(bytes: Buffer, start: number, end: number): number {
    const frames = this.#frames;
    if (this.#state === "over") return start;
    if (frames === undefined) return end;
    const frameEnd = frames.take(bytes, start, end, this.#state === "leaving");
    if (this.#state === "open" || !frames.isBetween) return end;
    this.#to.send(bytes, start, frameEnd);
    this.#finish();
    return start;
  }

  leave(): void {
    if (this.#state !== "open") return;
    this.#state = "leaving";
    if (this.#frames === undefined || this.#frames.isBetween) this.#finish();
  }

  /** Its source has ended it, so nothing can be sent any more. */
  noteEnd(): void {
    this.#state = "over";
  }

  #finish(): void {
    this.#state = "over";
    if (this.#frames !== undefined && !this.#frames.isClosed) {
      const frame = this.#to.closeFrame();
      this.#to.send(frame, 0, frame.length);
    }
    this.#to.end();
  }
}
