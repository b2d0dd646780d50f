/** The header between proxies, whole, cut and damaged. */
import test from "ava";
import fc from "fast-check";
import {
  maxTransportHeaderBytes,
  parseTransportHeader,
  type TransportTarget,
  writeTransportHeader,
} from "../../src/codec/transport-header.ts";

const preface = "transport.l5d.io/v1\r\n\r\n";

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([Buffer.from(preface), length, message]);
}

test("writeTransportHeader() writes preface, length and message", (t) => {
  t.deepEqual(
    writeTransportHeader({ port: 8080, name: "", protocol: "http1" }),
    framed(Buffer.from([0x08, 0x90, 0x3f, 0x1a, 0x02, 0x0a, 0x00])),
  );
  t.deepEqual(
    writeTransportHeader({ port: 1, name: "a", protocol: "none" }),
    framed(Buffer.from([0x08, 0x01, 0x12, 0x01, 0x61])),
  );
});

const target: fc.Arbitrary<TransportTarget> = fc.record({
  port: fc.integer({ min: 1, max: 65_535 }),
  name: fc.string({ unit: fc.constantFrom(..."ab0-._"), maxLength: 255 }),
  protocol: fc.constantFrom("http1", "http2", "none"),
});

test("parseTransportHeader() reads what was written, and leaves what follows", (t) => {
  fc.assert(
    fc.property(target, fc.nat(9), fc.nat(9), (written, before, behind) => {
      const header = writeTransportHeader(written);
      const bytes = Buffer.concat([Buffer.alloc(before), header, Buffer.alloc(behind, "x")]);
      const end = before + header.length;
      t.deepEqual(parseTransportHeader(bytes, before, bytes.length), {
        state: "header",
        end,
        ...written,
      });
    }),
  );
});

test("parseTransportHeader() asks for more at every cut", (t) => {
  const header = writeTransportHeader({ port: 8080, name: "a.example", protocol: "http2" });
  for (let end = 0; end < header.length; end++) {
    t.deepEqual(parseTransportHeader(header, 0, end), { state: "more" }, `${end} bytes`);
  }
});

const invalid = test.macro<[Buffer, RegExp]>({
  exec(t, bytes, reason) {
    const header = parseTransportHeader(bytes, 0, bytes.length);
    t.is(header.state, "invalid");
    if (header.state === "invalid") t.regex(header.reason, reason);
  },
  title: (given) => `parseTransportHeader() refuses ${given ?? ""}`,
});

test("another preface", invalid, Buffer.from("transport.l5d.io/v2"), /Begin with/);
test("a byte that is not of the preface", invalid, Buffer.from("G"), /Begin with/);
test(
  "a message that is too long",
  invalid,
  Buffer.concat([Buffer.from(preface), Buffer.from([0, 0, 0x10, 0x01])]),
  /4096/,
);
test("an empty message, which has no port", invalid, framed(Buffer.alloc(0)), /port/);
test("port 0", invalid, framed(Buffer.from([0x08, 0x00])), /port/);
test("port 65536", invalid, framed(Buffer.from([0x08, 0x80, 0x80, 0x04])), /port/);
test(
  "a negative port",
  invalid,
  framed(Buffer.from([0x08, ...Array.from({ length: 9 }, () => 0xff), 0x01])),
  /port/,
);
test("a message that ends early", invalid, framed(Buffer.from([0x08])), /protobuf/);
test(
  "a field that is longer than the message",
  invalid,
  framed(Buffer.from([0x08, 0x01, 0x12, 0x05, 0x61])),
  /protobuf/,
);
test(
  "a name that is no text",
  invalid,
  framed(Buffer.from([0x08, 0x01, 0x12, 0x01, 0xff])),
  /protobuf|host/,
);
test(
  "a name with CR LF",
  invalid,
  framed(Buffer.from([0x08, 0x01, 0x12, 0x02, 0x0d, 0x0a])),
  /host/,
);
test(
  "a name of 256 bytes",
  invalid,
  framed(Buffer.from([0x08, 0x01, 0x12, 0x80, 0x02, ...Array.from({ length: 256 }, () => 0x61)])),
  /host/,
);

test("parseTransportHeader() takes a message of the greatest length", (t) => {
  // Field 15 is unknown and skipped: what a later version may add.
  const padding = maxTransportHeaderBytes - 5;
  const message = Buffer.concat([
    Buffer.from([0x08, 0x01, 0x7a, (padding & 0x7f) | 0x80, padding >> 7]),
    Buffer.alloc(padding),
  ]);
  t.is(message.length, maxTransportHeaderBytes);
  const bytes = framed(message);
  t.is(parseTransportHeader(bytes, 0, bytes.length).state, "header");
});

test("parseTransportHeader() answers something to any message", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (array) => {
      const bytes = framed(Buffer.from(array));
      t.true(["invalid", "header"].includes(parseTransportHeader(bytes, 0, bytes.length).state));
    }),
    { numRuns: 2000 },
  );
});

test("writeTransportHeader() throws on what the other side would refuse", (t) => {
  t.throws(() => writeTransportHeader({ port: 0, name: "", protocol: "none" }), { message: /'0'/ });
  t.throws(() => writeTransportHeader({ port: 80, name: "a b", protocol: "none" }), {
    message: /'a b'/,
  });
});
