import { createPublicKey } from "node:crypto";
import test from "ava";
import fc from "fast-check";
import { describeFaults } from "../../../src/core/std/result.ts";
import { type Csr, makeCsr, maxCsrBytes, parseCsr } from "../../../src/edge/x509/csr.ts";
import { makeKeyPair } from "../../../src/edge/x509/key-pair.ts";
import { Folder, foreignCsr, tryOpenssl } from "./openssl.ts";

const name = "frontend.mesh.serviceaccount.identity.weft.cluster.local";
const keyPair = makeKeyPair();
const good = makeCsr(keyPair, name);

function accepted(der: Uint8Array): Csr {
  const csr = parseCsr(der);
  if (!csr.ok) throw new Error(describeFaults(csr.faults));
  return csr.value;
}

function reason(der: Uint8Array): string {
  const csr = parseCsr(der);
  return csr.ok ? "accepted" : describeFaults(csr.faults);
}

test("makeCsr() makes what openssl verifies", (t) => {
  using folder = new Folder();
  const path = folder.write("csr", good);
  const { code, output } = tryOpenssl(
    "req",
    "-inform",
    "DER",
    "-in",
    path,
    "-verify",
    "-noout",
    "-text",
  );
  t.is(code, 0, output);
  t.regex(output, /verify OK/);
  t.regex(output, new RegExp(`Subject: CN = ${name}`));
  t.regex(output, new RegExp(`DNS:${name}\n`));
});

test("parseCsr() reads what makeCsr() makes", (t) => {
  const csr = accepted(good);
  t.is(csr.commonName, name);
  t.deepEqual(csr.altNames, [{ kind: "dns", value: name }]);
  t.true(csr.publicKey.equals(createPublicKey(keyPair.privateKey)));
});

test("makeCsr() leaves the subject empty when the name is longer than a common name", (t) => {
  const long = `${"x".repeat(60)}.${name}`;
  const csr = accepted(makeCsr(keyPair, long));
  t.is(csr.commonName, undefined);
  t.deepEqual(csr.altNames, [{ kind: "dns", value: long }]);
});

test("parseCsr() reads a request that openssl makes, with every kind of name", (t) => {
  const altNames = "DNS:a.b,DNS:c,IP:10.0.0.1,URI:spiffe://d/e,email:f@g,RID:1.2.3";
  const csr = accepted(foreignCsr({ subject: "/O=ignored/CN=a.b", altNames }));
  t.is(csr.commonName, "a.b");
  t.deepEqual(csr.altNames, [
    { kind: "dns", value: "a.b" },
    { kind: "dns", value: "c" },
    { kind: "ip", value: "\n\0\0\x01" },
    { kind: "uri", value: "spiffe://d/e" },
    { kind: "email", value: "f@g" },
    { kind: "other", value: "*\x03" },
  ]);
});

test("parseCsr() reads a request without any name", (t) => {
  const csr = accepted(foreignCsr({}));
  t.is(csr.commonName, undefined);
  t.deepEqual(csr.altNames, []);
});

for (const [what, csr, expected] of [
  ["an RSA key", { newKey: ["rsa:2048"] }, /P-256/],
  ["a P-384 key", { newKey: ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"] }, /P-256/],
  ["an Ed25519 key", { newKey: ["ed25519"] }, /P-256/],
  [
    "a P-256 curve that is spelled out",
    { newKey: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"] },
    /P-256/,
  ],
  ["a signature over SHA-384", { digest: "sha384" }, /SHA-256/],
  ["two common names", { subject: "/CN=a/CN=b" }, /at most one common name/],
] as const) {
  test(`parseCsr() refuses ${what}`, (t) => {
    t.regex(reason(foreignCsr({ altNames: "DNS:a", ...csr })), expected);
  });
}

test("parseCsr() refuses a common name whose bytes are not its text", (t) => {
  // `-utf8` makes openssl choose BMPString here, whose 16-bit characters must not be read as bytes.
  using folder = new Folder();
  const path = folder.write(
    "conf",
    "[req]\ndistinguished_name=dn\nstring_mask=MASK:0x800\nprompt=no\n[dn]\nCN=a.b\n",
  );
  const made = tryOpenssl(
    "req",
    "-new",
    "-config",
    path,
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    folder.file("key"),
    "-outform",
    "DER",
    "-out",
    folder.file("csr"),
  );
  t.is(made.code, 0, made.output);
  const shown = tryOpenssl("asn1parse", "-inform", "DER", "-in", folder.file("csr"));
  t.regex(shown.output, /BMPSTRING/);
  t.regex(reason(folder.read("csr")), /common name/);
});

test("parseCsr() refuses a request signed with another key", (t) => {
  const other = { privateKey: makeKeyPair().privateKey, publicKey: keyPair.publicKey };
  t.regex(reason(makeCsr(other, name)), /sign the request with the key/);
});

test("parseCsr() refuses every request with one bit turned", (t) => {
  for (let at = 0; at < good.length * 8; at++) {
    const bent = Buffer.from(good);
    bent.writeUInt8(bent.readUInt8(at >> 3) ^ (1 << (at & 7)), at >> 3);
    t.not(reason(bent), "accepted", `bit ${at}`);
  }
});

test("parseCsr() refuses every truncation and every trailing byte", (t) => {
  for (let end = 0; end < good.length; end++) {
    t.not(reason(good.subarray(0, end)), "accepted", `${end} bytes`);
  }
  t.not(reason(Buffer.concat([good, Buffer.of(0)])), "accepted");
});

test("parseCsr() refuses a length that is not written in the shortest way", (t) => {
  t.is(good[0], 0x30);
  t.is(good[1], 0x82);
  const long = Buffer.concat([Buffer.of(0x30, 0x83, 0), good.subarray(2)]);
  t.regex(reason(long), /PKCS #10/);
});

test("parseCsr() refuses deep nesting without a deep stack", (t) => {
  const deep = Buffer.alloc(8_000);
  for (let at = 0; at + 4 <= deep.length; at += 4) {
    deep.writeUInt16BE(0x3082, at);
    deep.writeUInt16BE(deep.length - at - 4, at + 2);
  }
  t.regex(reason(deep), /PKCS #10/);
});

test("parseCsr() refuses what is too long before it reads it", (t) => {
  t.regex(reason(Buffer.alloc(maxCsrBytes + 1)), /at most 16384 bytes instead of 16385/);
});

test("parseCsr() never throws", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(good.length), (noise, at) => {
      parseCsr(noise);
      const mixed = Buffer.concat([good.subarray(0, at), noise, good.subarray(at + noise.length)]);
      parseCsr(mixed);
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});
