/** A session of the engine on a socket, as small as it can be: what a session's owner has to do and nothing else. */
import type { Socket } from "node:net";
import { OutBuffer } from "../../../src/codec/http2/out-buffer.ts";
import { defaultHttp2Limits, type Http2Limits } from "../../../src/codec/http2/protection.ts";
import { Http2Session } from "../../../src/codec/http2/session.ts";
import { Http2Shared, type SessionOwner } from "../../../src/codec/http2/session-core.ts";

export type EngineOptions = {
  readonly role: "client" | "server";
  readonly owner: (engine: EngineSocket) => Partial<SessionOwner>;
  readonly limits?: Partial<Http2Limits>;
  readonly shared?: Http2Shared;
  /** The size of the pieces that the session is fed with; 0 for what the socket brings. */
  readonly pieceBytes?: number;
};

export class EngineSocket {
  readonly session: Http2Session;
  readonly shared: Http2Shared;
  readonly out: OutBuffer = new OutBuffer(Buffer.alloc(128 * 1024));
  readonly #socket: Socket;
  /** Set when the session has said its last. */
  #isOver = false;

  constructor(socket: Socket, options: EngineOptions) {
    this.#socket = socket;
    this.shared = options.shared ?? new Http2Shared();
    const owner = options.owner(this);
    this.session = new Http2Session({
      role: options.role,
      limits: { ...defaultHttp2Limits, ...options.limits },
      shared: this.shared,
      out: this.out,
      nowMs: 0,
      owner: {
        onStream: (stream) => owner.onStream?.(stream),
        onGoAway: (code) => owner.onGoAway?.(code),
        onDrained: () => {
          owner.onDrained?.();
          this.#isOver = true;
        },
        onFailed: (code, reason) => {
          owner.onFailed?.(code, reason);
          this.#isOver = true;
        },
      },
    });
    const step = options.pieceBytes ?? 0;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => {
      const size = step === 0 ? bytes.length : step;
      for (let at = 0; at < bytes.length; at += size) {
        this.session.feed(bytes, at, Math.min(at + size, bytes.length));
      }
      this.flush();
    });
    socket.on("error", () => {});
    socket.on("close", () => this.session.close());
    this.flush();
  }

  /** Writes what is in the output, and lets the session go on when that has left. */
  flush(): void {
    const { out } = this;
    if (out.end > 0 && !out.isBlocked && !this.#socket.destroyed) {
      const bytes = Buffer.from(out.bytes.subarray(0, out.end));
      out.end = 0;
      out.isBlocked = true;
      this.#socket.write(bytes, () => {
        out.isBlocked = false;
        this.session.resumeSending();
        this.flush();
      });
    }
    if (this.#isOver && out.end === 0) this.#socket.end();
  }
}
