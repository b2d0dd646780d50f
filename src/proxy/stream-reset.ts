/** The codes of RST_STREAM (RFC 9113 §7), carried from one side of the proxy to the other where both speak HTTP/2. */
import { Http2Error } from "../codec/http2/frames.ts";

const prefix = "RST_STREAM ";

/** What the owner of a wire is told in `onClose`. */
export function closeCode(code: number): string {
  return `${prefix}${code}`;
}

/** Undefined: it was not a stream that was reset. */
export function resetCodeOf(code: string): number | undefined {
  return code.startsWith(prefix) ? Number(code.slice(prefix.length)) : undefined;
}

/** RFC 9113 §8.7: the other end has not begun to look at the request. */
export function isRefused(code: string): boolean {
  return resetCodeOf(code) === Http2Error.refusedStream;
}
