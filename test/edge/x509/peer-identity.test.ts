import { X509Certificate } from "node:crypto";
import test from "ava";
import fc from "fast-check";
import type { KnownAltName } from "../../../src/edge/x509/alt-name.ts";
import { peerIdentity } from "../../../src/edge/x509/peer-identity.ts";
import { makeAuthority, makeLeaf } from "./authority.ts";
import { Folder, openssl } from "./openssl.ts";

const { issuer, root } = makeAuthority();
const dns = (value: string): KnownAltName => ({ kind: "dns", value });
const uri = (value: string): KnownAltName => ({ kind: "uri", value });
const identityOf = (...names: readonly KnownAltName[]): string | undefined => {
  return peerIdentity(makeLeaf(issuer, names));
};

for (const name of [
  "a",
  "frontend.mesh.serviceaccount.identity.weft.cluster.local",
  `${"x".repeat(63)}.b`,
]) {
  test(`peerIdentity() answers the DNS name ${name.slice(0, 20)}`, (t) => {
    t.is(identityOf(dns(name)), name);
  });
}

for (const name of [
  "spiffe://d",
  "spiffe://root.local/ns/mesh/sa/Front_end-1.2",
  `spiffe://d/${"x".repeat(2037)}`,
]) {
  test(`peerIdentity() answers the SPIFFE id ${name.slice(0, 20)}`, (t) => {
    t.is(identityOf(uri(name)), name);
  });
}

for (const [what, names] of [
  ["no name", []],
  ["two equal DNS names", [dns("a"), dns("a")]],
  ["two DNS names", [dns("a"), dns("b")]],
  ["a DNS name and a SPIFFE id", [dns("a"), uri("spiffe://d/a")]],
  ["a DNS name and an address", [dns("a"), { kind: "ip", value: "\n\0\0\x01" }]],
  ["a DNS name and an e-mail address", [dns("a"), { kind: "email", value: "a@b" }]],
  ["an address", [{ kind: "ip", value: "\n\0\0\x01" }]],
  ["an e-mail address", [{ kind: "email", value: "a@b" }]],
] as const satisfies readonly (readonly [string, readonly KnownAltName[]])[]) {
  test(`peerIdentity() answers nobody for ${what}`, (t) => {
    t.is(identityOf(...names), undefined);
  });
}

for (const name of [
  "",
  "*",
  "*.a",
  "a.",
  ".a",
  "a..b",
  "A",
  "a\0",
  "a\0.b",
  "a\n",
  " a",
  "a b",
  "\xe9",
  "a_b",
  "spiffe://d/a",
  "x".repeat(64),
  `${"a.".repeat(127)}a`,
]) {
  test(`peerIdentity() answers nobody for the DNS name ${JSON.stringify(name.slice(0, 20))}`, (t) => {
    t.is(identityOf(dns(name)), undefined);
  });
}

for (const id of [
  "",
  "spiffe://",
  "spiffe:///a",
  "spiffe://d/",
  "spiffe://d//a",
  "spiffe://d/.",
  "spiffe://d/../a",
  "spiffe://D/a",
  "Spiffe://d/a",
  "spiffe://d/a?b",
  "spiffe://d/a#b",
  "spiffe://d:1/a",
  "spiffe://u@d/a",
  "spiffe://d/%61",
  "spiffe://d/a\0",
  "spiffe://d/a\n",
  "https://d/a",
  "a",
  `spiffe://d/${"x".repeat(2038)}`,
  `spiffe://${"d".repeat(256)}/a`,
]) {
  test(`peerIdentity() answers nobody for the URI ${JSON.stringify(id.slice(0, 20))} (${id.length})`, (t) => {
    t.is(identityOf(uri(id)), undefined);
  });
}

test("peerIdentity() reads the certificate object of node:crypto", (t) => {
  t.is(peerIdentity(new X509Certificate(makeLeaf(issuer, [dns("a.b")]))), "a.b");
});

test("peerIdentity() never takes the common name for an identity", (t) => {
  t.is(peerIdentity(root.certificate), undefined);
});

test("peerIdentity() answers nobody for two lists of names", (t) => {
  using folder = new Folder();
  // The second list hides behind the number of another extension of the same length, which is then renamed.
  openssl(
    ...[
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-subj",
      "/CN=x",
    ],
    ...["-keyout", folder.file("key"), "-out", folder.file("c"), "-outform", "DER"],
    ...["-addext", "subjectAltName=DNS:alice", "-addext", "2.5.29.99=DER:300782056d616c6c79"],
  );
  const one = folder.read("c");
  t.is(peerIdentity(one), "alice");
  const second = one.indexOf(Buffer.of(0x06, 0x03, 0x55, 0x1d, 99));
  t.true(second > 0);
  const two = Buffer.from(one);
  two[second + 4] = 17;
  t.is(peerIdentity(two), undefined);
});

test("peerIdentity() answers nobody for a certificate with a byte more or less", (t) => {
  const leaf = makeLeaf(issuer, [dns("a.b")]);
  for (let end = 0; end < leaf.length; end++) t.is(peerIdentity(leaf.subarray(0, end)), undefined);
  t.is(peerIdentity(Buffer.concat([leaf, Buffer.of(0)])), undefined);
});

test("peerIdentity() never throws", (t) => {
  const leaf = makeLeaf(issuer, [dns("a.b")]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(leaf.length), (noise, at) => {
      const rest = leaf.subarray(Math.min(leaf.length, at + noise.length));
      peerIdentity(Buffer.concat([leaf.subarray(0, at), noise, rest]));
    }),
    { numRuns: 1_000 },
  );
  t.pass();
});
