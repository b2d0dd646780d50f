/**
 * Why a message is refused, as a small positive number: the parsers answer its negative, which costs nothing when all is
 * well, and the proxy looks up what to say. Refused means: answered (a request) or replaced by 502 (a response), and the
 * connection closed, because after such a message nobody can say where the next one begins.
 */

export const Refusal = {
  bareLf: 1,
  bareCr: 2,
  nul: 3,
  badMethod: 4,
  longMethod: 5,
  badTarget: 6,
  badTargetForm: 7,
  longRequestLine: 8,
  badVersion: 9,
  otherVersion: 10,
  badName: 11,
  spaceInName: 12,
  foldedField: 13,
  badValue: 14,
  manyFields: 15,
  longHead: 16,
  noHost: 17,
  manyHosts: 18,
  badAuthority: 19,
  otherAuthority: 20,
  badContentLength: 21,
  manyContentLengths: 22,
  badTransferEncoding: 23,
  otherCoding: 24,
  oldTransferEncoding: 25,
  twoFramings: 26,
  badConnection: 27,
  unexpectedBody: 28,
  badStatus: 29,
  badChunkSize: 30,
  badChunkExtension: 31,
  badChunkEnd: 32,
  badTrailer: 33,
  forbiddenTrailer: 34,
  longTrailers: 35,
} as const;

export type RefusalCode = (typeof Refusal)[keyof typeof Refusal];

/** `reason` is for people and says nothing that the peer sent. */
export type RefusalAnswer = {
  readonly status: 400 | 414 | 431 | 501 | 505;
  readonly reason: string;
};

const answers: Readonly<Record<RefusalCode, RefusalAnswer>> = {
  [Refusal.bareLf]: bad("End lines with CR LF; a bare LF was sent (RFC 9112 section 2.2)"),
  [Refusal.bareCr]: bad("End lines with CR LF; a bare CR was sent (RFC 9112 section 2.2)"),
  [Refusal.nul]: bad("Remove the NUL byte from the head (RFC 9110 section 5.5)"),
  [Refusal.badMethod]: bad("Send a method that is a token (RFC 9110 section 9.1)"),
  [Refusal.longMethod]: {
    status: 501,
    reason: "Use a method of at most 32 bytes (RFC 9112 section 3)",
  },
  [Refusal.badTarget]: bad(
    "Percent-encode the target: space, control, non-ASCII, '#', '%00' and '\\' are refused (RFC 9112 section 3.2)",
  ),
  [Refusal.badTargetForm]: bad(
    "Send the target as '/path' or 'http://host/path', or as 'host:port' with CONNECT, or as '*' with OPTIONS (RFC 9112 section 3.2)",
  ),
  [Refusal.longRequestLine]: {
    status: 414,
    reason: "Shorten the request line to 16 KiB (RFC 9112 section 3)",
  },
  [Refusal.badVersion]: bad("Send 'HTTP/1.1' or 'HTTP/1.0' and CR LF after the target"),
  [Refusal.otherVersion]: { status: 505, reason: "Use HTTP/1.1 or HTTP/1.0" },
  [Refusal.badName]: bad("Send field names that are tokens (RFC 9110 section 5.1)"),
  [Refusal.spaceInName]: bad("Remove the space before the colon (RFC 9112 section 5.1)"),
  [Refusal.foldedField]: bad("Send each field on one line (RFC 9112 section 5.2)"),
  [Refusal.badValue]: bad("Remove the control byte from the field value (RFC 9110 section 5.5)"),
  [Refusal.manyFields]: { status: 431, reason: "Send at most 200 fields" },
  [Refusal.longHead]: { status: 431, reason: "Shorten the head to 64 KiB" },
  [Refusal.noHost]: bad("Send a Host field (RFC 9112 section 3.2)"),
  [Refusal.manyHosts]: bad("Send one Host field (RFC 9112 section 3.2)"),
  [Refusal.badAuthority]: bad(
    "Send 'host' or 'host:port', without user information (RFC 9110 section 4.2)",
  ),
  [Refusal.otherAuthority]: bad("Send the same authority in the target and in Host"),
  [Refusal.badContentLength]: bad(
    "Send Content-Length as decimal digits without sign, zero in front or space (RFC 9112 section 6.3)",
  ),
  [Refusal.manyContentLengths]: bad("Send one Content-Length (RFC 9112 section 6.3)"),
  [Refusal.badTransferEncoding]: bad("Send 'Transfer-Encoding: chunked' (RFC 9112 section 6.1)"),
  [Refusal.otherCoding]: {
    status: 501,
    reason: "Send no transfer coding but 'chunked' (RFC 9112 section 6.1)",
  },
  [Refusal.oldTransferEncoding]: bad(
    "Send no Transfer-Encoding with HTTP/1.0 (RFC 9112 section 6.1)",
  ),
  [Refusal.twoFramings]: bad(
    "Send Content-Length or Transfer-Encoding, not both (RFC 9112 section 6.1)",
  ),
  [Refusal.badConnection]: bad(
    "List at most 32 tokens in Connection, and none of Host, Content-Length and Transfer-Encoding (RFC 9110 section 7.6.1)",
  ),
  [Refusal.unexpectedBody]: bad("Send no body with this method or status (RFC 9110 section 6.4)"),
  [Refusal.badStatus]: bad("Send a status of three digits from 100 on (RFC 9112 section 4)"),
  [Refusal.badChunkSize]: bad(
    "Send the chunk size as at most 13 hexadecimal digits (RFC 9112 section 7.1)",
  ),
  [Refusal.badChunkExtension]: bad(
    "Send chunk extensions of at most 256 visible bytes (RFC 9112 section 7.1.1)",
  ),
  [Refusal.badChunkEnd]: bad("End each chunk with CR LF (RFC 9112 section 7.1)"),
  [Refusal.badTrailer]: bad("Send trailers as fields, one on a line (RFC 9112 section 7.1.2)"),
  [Refusal.forbiddenTrailer]: bad("Send this field in the head (RFC 9110 section 6.5.1)"),
  [Refusal.longTrailers]: { status: 431, reason: "Send at most 32 trailers in 8 KiB" },
};

/** The answer for each code: `refusals[code]`. The parsers answer `-code`. */
export const refusals: Readonly<Record<number, RefusalAnswer>> = answers;

/** The answer for what a parser returned. A number that is no refusal is a bug of the caller. */
export function refusalOf(result: number): RefusalAnswer {
  const answer = refusals[-result];
  if (answer === undefined)
    throw new Error(`Look up negative parser results only, not '${result}'`);
  return answer;
}

function bad(reason: string): RefusalAnswer {
  return { status: 400, reason };
}
