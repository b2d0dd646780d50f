/**
 * Where the frames of a WebSocket begin and end (RFC 6455 §5.2), which is all that somebody in between needs to know to say a last word of his own. What is
 * in the frames is not looked at.
 */

/** RFC 6455 §5.5.1. After a close frame its sender sends nothing more. */
const closeOpcode = 8;
/** RFC 6455 §7.4.1. */
const goingAway = 1001;
const finBit = 0x80;
const maskBit = 0x80;
/** Two bytes, eight of a long length, four of a mask. */
const shortHeader = 2;
const maskBytes = 4;

/** One direction, read from its first byte. */
export class WebSocketFrames {
  /** A close frame has gone by. */
  isClosed = false;
  #opcode = 0;
  /** Of the header of the frame, how much was read and how much there is. */
  #headerRead = 0;
  #headerLength: number = shortHeader;
  /** Bytes of the header that are a long length. */
  #lengthEnd: number = shortHeader;
  /** Of the payload, what has not been read. */
  #left = 0;

  /** Whether the last frame is complete, and nothing of another was read. */
  get isBetween(): boolean {
    return this.#headerRead === 0;
  }

  /** Reads `bytes[start, end)`, or up to the end of the frame that is open. Answers the position behind what was read. */
  take(bytes: Buffer, start: number, end: number, stopsBetween: boolean): number {
    let at = start;
    while (at < end) {
      if (this.#headerRead < this.#headerLength) {
        this.#readHeader(bytes[at] as number);
        at++;
      } else {
        const taken = Math.min(this.#left, end - at);
        this.#left -= taken;
        at += taken;
      }
      if (this.#left > 0 || this.#headerRead < this.#headerLength) continue;
      this.#isOver();
      if (stopsBetween) break;
    }
    return at;
  }

  #readHeader(byte: number): void {
    const at = this.#headerRead++;
    if (at === 0) {
      this.#opcode = byte & 0x0f;
      this.#left = 0;
    } else if (at === 1) {
      const length = byte & 0x7f;
      const longBytes = length === 126 ? 2 : length === 127 ? 8 : 0;
      if (longBytes === 0) this.#left = length;
      this.#lengthEnd = shortHeader + longBytes;
      this.#headerLength = this.#lengthEnd + ((byte & maskBit) === 0 ? 0 : maskBytes);
    } else if (at < this.#lengthEnd) {
      this.#left = this.#left * 256 + byte;
    }
  }

  #isOver(): void {
    if (this.#opcode === closeOpcode) this.isClosed = true;
    this.#headerRead = 0;
    this.#headerLength = shortHeader;
    this.#lengthEnd = shortHeader;
  }
}

/** Says that who sends it goes away. `mask`: four bytes that nobody can foresee, which a client has to use and a server must not (RFC 6455 §5.3). */
export function goingAwayFrame(mask: Uint8Array | undefined): Buffer {
  const payload = [goingAway >> 8, goingAway & 0xff];
  const isMasked = mask !== undefined;
  const masked = payload.map((byte, at) => byte ^ (mask?.[at] ?? 0));
  return Buffer.from([
    finBit | closeOpcode,
    payload.length | (isMasked ? maskBit : 0),
    ...(mask ?? []),
    ...masked,
  ]);
}
