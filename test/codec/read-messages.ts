/**
 * Reads a connection's bytes as a proxy does: heads until they are complete, then their bodies, then the next message.
 * The pieces come in buffers of their own and an incomplete head moves to another place with each, so that a position
 * that the parser forgot to move shows as a wrong result.
 */

import { BodyReader } from "../../src/codec/http1-body.ts";
import {
  parseRequestHead,
  parseResponseHead,
  RequestHead,
  ResponseHead,
} from "../../src/codec/http1-head.ts";
import type { MessageHead } from "../../src/codec/message-head.ts";

export type ReadMessage = {
  readonly start: string | number;
  readonly target: readonly (string | number | boolean)[];
  readonly fields: readonly (readonly [string, string])[];
  readonly framing: readonly (string | number | boolean)[];
  body: string;
  payloadBytes: number;
  whole: boolean;
};

export type Reading = { readonly messages: readonly ReadMessage[]; readonly refusal: number };

/** How heads are parsed, and what is told of them. */
type Dialect<Head extends MessageHead> = {
  readonly head: Head;
  readonly parse: (bytes: Buffer, start: number, end: number) => number;
  readonly describe: () => Pick<ReadMessage, "start" | "target">;
};

export function readRequests(pieces: readonly Buffer[]): Reading {
  const head = new RequestHead();
  return readAll(pieces, {
    head,
    parse: (bytes, start, end) => parseRequestHead(head, bytes, start, end),
    describe: () => ({
      start: head.method,
      target: [
        head.targetForm,
        head.scheme,
        head.path,
        head.query,
        head.hasQuery,
        head.authority,
        head.target,
        head.expectContinue,
      ],
    }),
  });
}

export function readResponses(pieces: readonly Buffer[], requestMethod: string): Reading {
  const head = new ResponseHead();
  return readAll(pieces, {
    head,
    parse: (bytes, start, end) => parseResponseHead(head, bytes, start, end, requestMethod),
    describe: () => ({ start: head.status, target: [] }),
  });
}

function readAll<Head extends MessageHead>(
  pieces: readonly Buffer[],
  dialect: Dialect<Head>,
): Reading {
  const { head } = dialect;
  const body = new BodyReader();
  const messages: ReadMessage[] = [];
  let pending = Buffer.alloc(0);
  let inHead = true;
  let moves = 0;
  for (const piece of pieces) {
    const room = moves++ % 7;
    let bytes = Buffer.concat([Buffer.alloc(room), pending, piece]);
    let at = room;
    while (at < bytes.length) {
      if (inHead) {
        const after = dialect.parse(bytes, at, bytes.length);
        if (after < 0) return { messages, refusal: -after };
        if (after === 0) break;
        messages.push(describeMessage(dialect));
        body.begin(head.bodyKind, head.contentLength);
        at = after;
        inHead = false;
      }
      const message = messages.at(-1) as ReadMessage;
      const after = body.take(bytes, at, bytes.length);
      if (after < 0) return { messages, refusal: -after };
      message.body += bytes.toString("latin1", at, after);
      message.payloadBytes = body.payloadBytes;
      at = after;
      if (!body.done) break;
      message.whole = true;
      inHead = true;
      head.reset();
      bytes = bytes.subarray(at);
      at = 0;
    }
    pending = inHead ? Buffer.from(bytes.subarray(at)) : Buffer.alloc(0);
  }
  return { messages, refusal: 0 };
}

function describeMessage<Head extends MessageHead>(dialect: Dialect<Head>): ReadMessage {
  const { head } = dialect;
  const { fields } = head;
  return {
    ...dialect.describe(),
    fields: Array.from(
      { length: fields.count },
      (_none, i) => [fields.name(i), fields.value(i)] as const,
    ),
    framing: [
      head.versionMinor,
      head.bodyKind,
      head.contentLength,
      head.keepAlive,
      head.upgrade,
      head.options,
      head.bytes.toString("latin1", head.start, head.end),
    ],
    body: "",
    payloadBytes: 0,
    whole: false,
  };
}

/** All ways to cut bytes into two pieces, and into single bytes. */
export function* cuts(bytes: Buffer): Generator<readonly Buffer[]> {
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield Array.from(bytes, (_byte, at) => bytes.subarray(at, at + 1));
}

/** The cuts (by the length of their first piece, 0 for single bytes) whose reading differs from that of the whole. */
export function differingCuts(
  bytes: Buffer,
  read: (pieces: readonly Buffer[]) => Reading,
): readonly number[] {
  const whole = JSON.stringify(read([bytes]));
  const differing: number[] = [];
  for (const pieces of cuts(bytes)) {
    if (JSON.stringify(read(pieces)) !== whole)
      differing.push(pieces.length === 2 ? (pieces[0]?.length ?? 0) : 0);
  }
  return differing;
}

export function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}
