/** What a body says, without the framing it came in. */
import { BodyKind } from "../codec/http1-body.ts";

const lf = 0x0a;

/** `bytes[start, end)` is a whole body, which a `BodyReader` has followed to its end: every size line is a good one. */
export function payloadOf(kind: BodyKind, bytes: Buffer, start: number, end: number): Buffer {
  if (kind !== BodyKind.chunked) return bytes.subarray(start, end);
  const chunks: Buffer[] = [];
  for (let at = start; at < end; ) {
    const lineEnd = bytes.indexOf(lf, at);
    // Reads up to the line end or the semicolon of an extension.
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    if (size === 0) break;
    chunks.push(bytes.subarray(lineEnd + 1, lineEnd + 1 + size));
    at = lineEnd + 1 + size + "\r\n".length;
  }
  return Buffer.concat(chunks);
}
