import test from "ava";
import fc from "fast-check";
import { BodyKind, BodyReader } from "../../src/codec/http1-body.ts";
import { payloadOf } from "../../src/proxy/payload.ts";

test("payloadOf() takes a body without framing as it is", (t) => {
  const bytes = Buffer.from("..body..");
  t.is(payloadOf(BodyKind.length, bytes, 2, 6).toString(), "body");
  t.is(payloadOf(BodyKind.none, bytes, 2, 2).toString(), "");
});

test("payloadOf() finds what is in chunks, whatever their sizes, extensions and trailers", (t) => {
  const chunk = fc.record({
    data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    extension: fc.constantFrom("", ";x=y", ";ff"),
    upper: fc.boolean(),
  });
  const trailers = fc.constantFrom("", "x-sum: 1\r\n");
  fc.assert(
    fc.property(fc.array(chunk), trailers, (chunks, trailer) => {
      const body = Buffer.concat([
        ...chunks.flatMap(({ data, extension, upper }) => {
          const size = data.length.toString(16);
          const line = `${upper ? `00${size.toUpperCase()}` : size}${extension}\r\n`;
          return [Buffer.from(line), Buffer.from(data), Buffer.from("\r\n")];
        }),
        Buffer.from(`0\r\n${trailer}\r\n`),
      ]);
      const reader = new BodyReader();
      reader.begin(BodyKind.chunked, -1);
      t.is(reader.take(body, 0, body.length), body.length);
      t.true(reader.done);
      const framed = Buffer.concat([Buffer.from("head"), body]);
      const payload = payloadOf(BodyKind.chunked, framed, 4, framed.length);
      t.true(payload.equals(Buffer.concat(chunks.map(({ data }) => data))));
    }),
  );
});
