/** What holds for every message, tried with messages that nobody thought of. */
import test from "ava";
import fc from "fast-check";
import { BodyKind, BodyReader } from "../../src/codec/http1-body.ts";
import {
  parseRequestHead,
  parseResponseHead,
  RequestHead,
  ResponseHead,
} from "../../src/codec/http1-head.ts";
import { dropHopByHop, HeadEdit, writeHead } from "../../src/codec/http1-write.ts";
import { refusals } from "../../src/codec/refusal.ts";
import { sniff } from "../../src/codec/sniff.ts";
import {
  authorityOf,
  cutAt,
  fractions,
  mutated,
  mutation,
  parts,
  textOf,
} from "./generated-requests.ts";
import { latin1, type ReadMessage, readRequests, readResponses } from "./read-messages.ts";

const runs = { numRuns: 400 };

/** Writes the first head of `bytes` again. */
function rewritten(bytes: Buffer): Buffer {
  const head = new RequestHead();
  const after = parseRequestHead(head, bytes, 0, bytes.length);
  const out = Buffer.alloc(bytes.length);
  const end = writeHead(out, 0, head, undefined, new HeadEdit());
  return Buffer.concat([out.subarray(0, end), bytes.subarray(after)]);
}

test("parseRequestHead() reads from every valid request what was put into it", (t) => {
  fc.assert(
    fc.property(parts, (request) => {
      const { messages, refusal } = readRequests([latin1(textOf(request))]);
      t.is(refusal, 0, textOf(request));
      t.is(messages.length, 1);
      const [message] = messages as [ReadMessage];
      t.true(message.whole);
      t.is(message.start, request.method);
      t.deepEqual(message.target.slice(2, 6), [
        request.path,
        request.query ?? "",
        request.query !== undefined,
        authorityOf(request).toLowerCase(),
      ]);
      t.is(message.payloadBytes, request.framing === "none" ? 0 : request.body.join("").length);
      t.deepEqual(
        message.fields.slice(1, 1 + request.fields.length),
        request.fields.map(([name, , text]) => [
          name.toLowerCase(),
          text.replaceAll(/^[\t ]+|[\t ]+$/g, ""),
        ]),
      );
    }),
    runs,
  );
});

test("writeHead() writes every valid request so that it is parsed the same again", (t) => {
  fc.assert(
    fc.property(parts, (request) => {
      const bytes = latin1(textOf(request));
      t.deepEqual(readRequests([rewritten(bytes)]), readRequests([bytes]));
    }),
    runs,
  );
});

test("parseRequestHead() and BodyReader read pipelined requests the same in whatever pieces", (t) => {
  fc.assert(
    fc.property(fc.array(parts, { minLength: 1, maxLength: 3 }), fractions, (requests, at) => {
      const bytes = latin1(requests.map(textOf).join(""));
      const whole = readRequests([bytes]);
      t.is(whole.messages.length, requests.length);
      t.deepEqual(readRequests(cutAt(bytes, at)), whole);
    }),
    runs,
  );
});

test("sniff() says http1 of every request that is parsed", (t) => {
  fc.assert(
    fc.property(parts, fc.constantFrom("", "\r\n"), (request, front) => {
      const bytes = latin1(front + textOf(request));
      t.is(sniff(bytes, 0, bytes.length), "http1");
    }),
    runs,
  );
});

test("parseRequestHead() accepts a mutated request only if it accepts the same when it is written again", (t) => {
  let accepted = 0;
  fc.assert(
    fc.property(parts, fc.array(mutation, { minLength: 1, maxLength: 3 }), (request, mutations) => {
      const bytes = mutated(textOf(request), mutations);
      const reading = readRequests([bytes]);
      t.true(reading.refusal === 0 || refusals[reading.refusal] !== undefined);
      if (reading.messages.length === 0) return;
      accepted++;
      t.deepEqual(readRequests([rewritten(bytes)]).messages[0], reading.messages[0]);
    }),
    { numRuns: 2000 },
  );
  t.true(accepted > 100, `${accepted} accepted`);
});

test("a mutated request is read the same in whatever pieces", (t) => {
  fc.assert(
    fc.property(
      parts,
      fc.array(mutation, { minLength: 1, maxLength: 2 }),
      fractions,
      (request, mutations, at) => {
        const bytes = mutated(textOf(request), mutations);
        const whole = readRequests([bytes]);
        const pieces = readRequests(cutAt(bytes, at));
        t.is(pieces.refusal, whole.refusal);
        t.deepEqual(
          pieces.messages.map(({ start, target, fields, framing }) => [
            start,
            target,
            fields,
            framing,
          ]),
          whole.messages.map(({ start, target, fields, framing }) => [
            start,
            target,
            fields,
            framing,
          ]),
        );
      },
    ),
    { numRuns: 1000 },
  );
});

test("dropHopByHop() leaves a mutated request as one that is parsed, with the same framing", (t) => {
  fc.assert(
    fc.property(
      parts,
      fc.array(mutation, { maxLength: 2 }),
      fc.boolean(),
      (request, mutations, keepUpgrade) => {
        const bytes = mutated(textOf(request), mutations);
        const head = new RequestHead();
        if (parseRequestHead(head, bytes, 0, bytes.length) <= 0) return;
        const edit = new HeadEdit();
        dropHopByHop(head, edit, keepUpgrade);
        const out = Buffer.alloc(bytes.length + 100);
        const end = writeHead(out, 0, head, undefined, edit);
        const again = new RequestHead();
        t.is(parseRequestHead(again, out, 0, end), end);
        t.deepEqual(
          [
            again.method,
            again.path,
            again.query,
            again.authority,
            again.bodyKind,
            again.contentLength,
          ],
          [head.method, head.path, head.query, head.authority, head.bodyKind, head.contentLength],
        );
      },
    ),
    { numRuns: 1000 },
  );
});

test("the parsers answer a position, 0 or a known refusal to any bytes", (t) => {
  const request = new RequestHead();
  const response = new ResponseHead();
  const inside = (answer: number, end: number): boolean =>
    answer < 0 ? refusals[-answer] !== undefined : answer <= end;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(10), (array, start) => {
      const bytes = Buffer.from(array);
      const from = Math.min(start, bytes.length);
      request.reset();
      response.reset();
      t.true(inside(parseRequestHead(request, bytes, from, bytes.length), bytes.length));
      t.true(inside(parseResponseHead(response, bytes, from, bytes.length, "GET"), bytes.length));
    }),
    { numRuns: 3000 },
  );
});

test("BodyReader.take() advances, ends or refuses with any bytes", (t) => {
  const hostile = fc.string({ unit: fc.constantFrom(..."0123f\r\n;x: \0"), maxLength: 60 });
  fc.assert(
    fc.property(
      fc.array(hostile, { maxLength: 5 }),
      fc.constantFrom(...Object.values(BodyKind)),
      (pieces, kind) => {
        const body = new BodyReader();
        body.begin(kind, 20);
        for (const piece of pieces) {
          const bytes = latin1(piece);
          const after = body.take(bytes, 0, bytes.length);
          if (after < 0) {
            t.true(refusals[-after] !== undefined);
            return;
          }
          t.true(after === bytes.length || body.done);
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test("parseResponseHead() reads mutated responses the same in whatever pieces", (t) => {
  const response =
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
  fc.assert(
    fc.property(fc.array(mutation, { maxLength: 2 }), fractions, (mutations, at) => {
      const bytes = mutated(response, mutations);
      const whole = readResponses([bytes], "GET");
      const pieces = readResponses(cutAt(bytes, at), "GET");
      t.is(pieces.refusal, whole.refusal);
      t.is(pieces.messages.length, whole.messages.length);
    }),
    { numRuns: 1000 },
  );
});
