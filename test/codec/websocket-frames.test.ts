import test from "ava";
import fc from "fast-check";
import { goingAwayFrame, WebSocketFrames } from "../../src/codec/websocket-frames.ts";

/** Each length takes a header of another form from here on (RFC 6455 §5.2). */
const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];

function frame(opcode: number, length: number, isMasked: boolean): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x80 | opcode;
  let at = 2;
  if (length < 126) head[1] = length;
  else if (length < 65_536) {
    head[1] = 126;
    at = head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    at = head.writeBigUInt64BE(BigInt(length), 2);
  }
  if (isMasked) head.writeUInt8(head.readUInt8(1) | 0x80, 1);
  if (isMasked) at += 4;
  // What a payload says is no header, even if it looks like one.
  return Buffer.concat([head.subarray(0, at), Buffer.alloc(length, 0x88)]);
}

const anyFrame = fc
  .record({
    opcode: fc.constantFrom(0, 1, 2, 9, 10),
    length: fc.constantFrom(...lengths),
    isMasked: fc.boolean(),
  })
  .map(({ opcode, length, isMasked }) => frame(opcode, length, isMasked));

test("WebSocketFrames.take() finds the end of each frame, however the bytes are cut", (t) => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { minLength: 1, maxLength: 5 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }),
      (frames, shares) => {
        const bytes = Buffer.concat(frames);
        const ends = new Set<number>();
        let end = 0;
        for (const one of frames) {
          end += one.length;
          ends.add(end);
        }
        const cuts = [...shares.map((share) => Math.floor(share * bytes.length)), bytes.length];
        const read = new WebSocketFrames();
        let at = 0;
        for (const cut of cuts.toSorted((a, b) => a - b)) {
          t.is(read.take(bytes, at, cut, false), cut);
          at = cut;
          t.is(read.isBetween, cut === 0 || ends.has(cut), `${cut} of ${[...ends].join()}`);
        }
        t.false(read.isClosed);
      },
    ),
    { numRuns: 100 },
  );
});

test("WebSocketFrames.take() stops at the end of the frame that is open, when it is asked to", (t) => {
  const bytes = Buffer.concat([frame(2, 300, true), frame(1, 5, false), frame(1, 5, false)]);
  const read = new WebSocketFrames();
  t.is(read.take(bytes, 0, 100, false), 100);
  t.is(read.take(bytes, 100, bytes.length, true), 308);
  t.true(read.isBetween);
});

test("WebSocketFrames.isClosed tells of a close frame once it is complete", (t) => {
  const bytes = goingAwayFrame(undefined);
  const read = new WebSocketFrames();
  read.take(bytes, 0, 3, false);
  t.false(read.isClosed);
  read.take(bytes, 3, 4, false);
  t.true(read.isClosed);
});

test("goingAwayFrame() is what RFC 6455 wants of a server, and masked of a client", (t) => {
  t.deepEqual([...goingAwayFrame(undefined)], [0x88, 2, 0x03, 0xe9]);
  t.deepEqual(
    [...goingAwayFrame(Uint8Array.of(1, 2, 3, 4))],
    [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2],
  );
});
