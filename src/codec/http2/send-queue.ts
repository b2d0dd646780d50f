/**
 * Sends DATA as far as the windows of stream and connection and the room in the output allow (RFC 9113 §6.9). Nothing is
 * kept: who sends keeps what was not taken, and is called again when there is room. Streams that wait take turns.
 */
import {
  defaultWindow,
  Flag,
  Frame,
  frameHeadBytes,
  maxFrameBytes,
  maxWindow,
  writeFrameHead,
} from "./frames.ts";
import type { OutBuffer } from "./out-buffer.ts";
import type { Http2Stream } from "./stream.ts";

export class SendQueue {
  /** What the peer lets us send on all streams together. */
  window: number = defaultWindow;
  nowMs = 0;
  readonly #out: OutBuffer;
  readonly #waiting: Http2Stream[] = [];
  #serving: Http2Stream | undefined;

  constructor(out: OutBuffer) {
    this.#out = out;
  }

  /** Answers how many bytes were taken. END_STREAM goes with the last of them. */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every piece of a body.
  send(
    stream: Http2Stream,
    bytes: Buffer,
    start: number,
    end: number,
    endsStream: boolean,
  ): number {
    if (start === end) {
      if (endsStream) this.#write(stream, bytes, start, end, Flag.endStream);
      return 0;
    }
    const isInTurn = this.#waiting.length === 0 || this.#serving === stream;
    const most = this.#waiting.length === 0 ? end - start : Math.min(end - start, maxFrameBytes);
    let at = start;
    while (isInTurn && at < start + most) {
      const room = Math.min(stream.sendWindow, this.window, this.#out.dataRoom - frameHeadBytes);
      const length = Math.min(start + most - at, room, maxFrameBytes);
      if (length <= 0) break;
      const isLast = endsStream && at + length === end;
      this.#write(stream, bytes, at, at + length, isLast ? Flag.endStream : 0);
      at += length;
    }
    if (at < end) this.#wait(stream, at > start);
    else stream.waitingSince = -1;
    return at - start;
  }

  /** Lets the streams that wait go on, as long as there is room. */
  resume(): void {
    while (this.#waiting.length > 0 && this.window > 0 && this.#out.dataRoom > frameHeadBytes) {
      const stream = this.#waiting.shift();
      if (stream === undefined) return;
      stream.isQueued = false;
      this.#serving = stream;
      stream.consumer.onWritable();
      this.#serving = undefined;
    }
  }

  /** The window of a stream grew, or shrank by a setting. False when it grew beyond what it may. */
  widen(stream: Http2Stream, bytes: number): boolean {
    stream.sendWindow += bytes;
    if (stream.sendWindow > maxWindow) return false;
    if (stream.isStalled && stream.sendWindow > 0) {
      stream.isStalled = false;
      this.#enqueue(stream);
    }
    return true;
  }

  forget(stream: Http2Stream): void {
    stream.isStalled = false;
    stream.waitingSince = -1;
    if (!stream.isQueued) return;
    stream.isQueued = false;
    this.#waiting.splice(this.#waiting.indexOf(stream), 1);
  }

  #wait(stream: Http2Stream, hasProgress: boolean): void {
    if (hasProgress || stream.waitingSince < 0) stream.waitingSince = this.nowMs;
    if (stream.sendWindow <= 0) stream.isStalled = true;
    else this.#enqueue(stream);
  }

  #enqueue(stream: Http2Stream): void {
    if (stream.isQueued) return;
    stream.isQueued = true;
    this.#waiting.push(stream);
  }

  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every frame.
  #write(stream: Http2Stream, bytes: Buffer, start: number, end: number, flags: number): void {
    const out = this.#out;
    const length = end - start;
    out.reserve(frameHeadBytes + length);
    const at = writeFrameHead(out.bytes, out.end, length, Frame.data, flags, stream.id);
    bytes.copy(out.bytes, at, start, end);
    out.end = at + length;
    stream.sendWindow -= length;
    this.window -= length;
  }
}
