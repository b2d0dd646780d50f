/** ClientHellos that the TLS of Node really sends, whole, cut, spread over records, and damaged. */
import { once } from "node:events";
import { Duplex } from "node:stream";
import { type ConnectionOptions, connect } from "node:tls";
import test from "ava";
import fc from "fast-check";
import { maxClientHelloBytes, parseClientHello } from "../../src/codec/client-hello.ts";

/** The first bytes that a TLS client sends. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      this.emit("hello", chunk);
      done();
    },
  });
  const sent = once(wire, "hello");
  const client = connect({ ...options, socket: wire });
  client.on("error", () => client.destroy());
  const [chunk] = (await sent) as [Buffer];
  client.destroy();
  wire.destroy();
  return chunk;
}

/** The same handshake message in records of at most `size` bytes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

/** A hello with these extensions. */
function made(...extensions: readonly (readonly [number, Buffer])[]): Buffer {
  const list = Buffer.concat(
    extensions.map(([type, data]) => Buffer.concat([sized16(type), sized16(data.length), data])),
  );
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0, 0, 2, 0x13, 0x01, 1, 0]),
    sized16(list.length),
    list,
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), sized16(body.length), body]);
  return Buffer.concat([Buffer.from([22, 3, 1]), sized16(message.length), message]);
}

function sized16(length: number): Buffer {
  return Buffer.from([length >> 8, length & 255]);
}

function serverName(name: string): readonly [number, Buffer] {
  const bytes = Buffer.from(name, "latin1");
  const entry = Buffer.concat([Buffer.from([0]), sized16(bytes.length), bytes]);
  return [0, Buffer.concat([sized16(entry.length), entry])];
}

function alpn(...names: readonly string[]): readonly [number, Buffer] {
  const list = Buffer.concat(
    names.map((name) => Buffer.from(`${String.fromCharCode(name.length)}${name}`, "latin1")),
  );
  return [16, Buffer.concat([sized16(list.length), list])];
}

const named: ConnectionOptions = {
  servername: "Backend.Default.Example",
  ALPNProtocols: ["transport.l5d.io/v1", "h2"],
};
const expected = {
  state: "hello",
  serverName: "backend.default.example",
  alpn: ["transport.l5d.io/v1", "h2"],
} as const;

test("parseClientHello() reads name and protocols", async (t) => {
  const hello = await helloOf(named);
  t.deepEqual(parseClientHello(hello, 0, hello.length), expected);
  const moved = Buffer.concat([Buffer.from("12345"), hello, Buffer.from("early data")]);
  t.deepEqual(parseClientHello(moved, 5, moved.length), expected);
});

test("parseClientHello() reads a hello without name and protocols", async (t) => {
  const hello = await helloOf({ maxVersion: "TLSv1.2" });
  t.deepEqual(parseClientHello(hello, 0, hello.length), {
    state: "hello",
    serverName: "",
    alpn: [],
  });
});

test("parseClientHello() asks for more at every cut", async (t) => {
  const hello = await helloOf(named);
  for (let end = 0; end < hello.length; end++) {
    t.deepEqual(parseClientHello(hello, 0, end), { state: "more" }, `${end} bytes`);
  }
});

test("parseClientHello() puts a hello together from records of any size, cut anywhere", async (t) => {
  const hello = await helloOf(named);
  for (const size of [1, 2, 3, 4, 5, 7, 100, hello.length - 6]) {
    const bytes = inRecords(hello, size);
    t.deepEqual(parseClientHello(bytes, 0, bytes.length), expected, `records of ${size}`);
    for (let end = 0; end < bytes.length; end++) {
      t.is(parseClientHello(bytes, 0, end).state, "more", `records of ${size}, ${end} bytes`);
    }
  }
});

test("parseClientHello() reads what it was made for", (t) => {
  const hello = made(
    serverName("a_b.c-d.example"),
    [10, Buffer.from([0, 2, 0, 29])],
    alpn("\x0a\x0a", "http/1.1"),
  );
  t.deepEqual(parseClientHello(hello, 0, hello.length), {
    state: "hello",
    serverName: "a_b.c-d.example",
    alpn: ["\x0a\x0a", "http/1.1"],
  });
});

const invalid = test.macro<[Buffer]>({
  exec(t, bytes) {
    t.deepEqual(parseClientHello(bytes, 0, bytes.length), { state: "invalid" });
  },
  title: (given) => `parseClientHello() refuses ${given ?? ""}`,
});

test("a name with CR LF", invalid, made(serverName("a\r\nb")));
test("a name with NUL", invalid, made(serverName("a\0.example")));
test("a name with a space", invalid, made(serverName("a b")));
test("a name beyond ASCII", invalid, made(serverName("caf\xe9")));
test("an empty name", invalid, made(serverName("")));
test("a name of 256 bytes", invalid, made(serverName("a".repeat(256))));
test("two server name extensions", invalid, made(serverName("a"), serverName("b")));
test("two protocol extensions", invalid, made(alpn("a"), alpn("b")));
test(
  "two names in one extension",
  invalid,
  made([0, Buffer.from([0, 8, 0, 0, 1, 97, 0, 0, 1, 98])]),
);
test("a name of another type", invalid, made([0, Buffer.from([0, 4, 1, 0, 1, 97])]));
test("a name longer than its extension", invalid, made([0, Buffer.from([0, 4, 0, 0, 9, 97])]));
test("an empty protocol", invalid, made(alpn("")));
test("no protocol in the list", invalid, made(alpn()));
test("a protocol longer than its list", invalid, made([16, Buffer.from([0, 2, 5, 97])]));
test("another handshake message", invalid, Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]));
test("an empty record", invalid, Buffer.from([22, 3, 1, 0, 0]));
test("a record that is too long", invalid, Buffer.from([22, 3, 1, 0x40, 0x01]));
test("another record", invalid, Buffer.from([23]));
test("another protocol", invalid, Buffer.from("GET / HTTP/1.1\r\n"));
test("a message longer than the limit", invalid, Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x40, 0]));
test("a hello that ends in its random", invalid, Buffer.from([22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3]));

test("parseClientHello() refuses bytes behind the extensions", (t) => {
  const hello = made(serverName("a"));
  hello.writeUInt16BE(hello.readUInt16BE(5 + 4 + 2 + 32 + 7) - 1, 5 + 4 + 2 + 32 + 7);
  t.is(parseClientHello(hello, 0, hello.length).state, "invalid");
});

test("parseClientHello() gives up when a hello does not end", (t) => {
  const bytes = inRecords(
    Buffer.concat([Buffer.alloc(5), Buffer.from([1, 0, 0x3f, 0xf0]), Buffer.alloc(0x3f00)]),
    1,
  );
  t.is(parseClientHello(bytes, 0, maxClientHelloBytes - 1).state, "more");
  t.is(parseClientHello(bytes, 0, maxClientHelloBytes).state, "invalid");
});

test("parseClientHello() answers something to any damage", async (t) => {
  const hello = await helloOf(named);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.nat(hello.length),
      (changes, end) => {
        const bytes = Buffer.from(hello);
        for (const [at, byte] of changes) bytes[at] = byte;
        t.true(["more", "invalid", "hello"].includes(parseClientHello(bytes, 0, end).state));
      },
    ),
    { numRuns: 3000 },
  );
});
