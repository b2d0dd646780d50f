import test from "ava";
import { describeFaults, type Result } from "../../../src/core/std/result.ts";
import {
  certificateToPem,
  maxBundleCertificates,
  maxBundleLength,
  parseCertificates,
  parseTrustAnchors,
} from "../../../src/edge/x509/pem.ts";
import { makeAuthority, makeLeaf } from "./authority.ts";
import { Folder, openssl } from "./openssl.ts";

const { root, issuer } = makeAuthority();
const rootPem = certificateToPem(root.certificate);
const issuerPem = certificateToPem(issuer.certificate);
const leafPem = certificateToPem(makeLeaf(issuer, [{ kind: "dns", value: "a" }]));

function faults(result: Result<unknown>): string {
  return result.ok ? "accepted" : describeFaults(result.faults);
}

test("certificateToPem() writes what openssl writes", (t) => {
  using folder = new Folder();
  const path = folder.write("c.der", root.certificate);
  t.is(openssl("x509", "-inform", "DER", "-in", path), rootPem);
});

test("parseCertificates() reads a bundle in its order, with text and CRLF between", (t) => {
  const bundle = parseCertificates(
    `# roots\n${rootPem.replaceAll("\n", "\r\n")}\nand\n${issuerPem}`,
  );
  t.deepEqual(bundle.ok && bundle.value, [root.certificate, issuer.certificate]);
});

test("parseTrustAnchors() gives each root as PEM on its own", (t) => {
  const anchors = parseTrustAnchors(issuerPem + rootPem);
  t.deepEqual(anchors.ok && anchors.value, [issuerPem, rootPem]);
});

test("parseTrustAnchors() refuses a leaf and says which", (t) => {
  t.regex(faults(parseTrustAnchors(rootPem + leafPem)), /^\[1\]: .* not that of a CA$/);
});

const key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBM=\n-----END PRIVATE KEY-----\n";
for (const [what, text, expected] of [
  ["nothing", "", /complete PEM blocks/],
  ["text without a block", "hello", /complete PEM blocks/],
  ["a block without an end", `${rootPem}${issuerPem.slice(0, 200)}`, /complete PEM blocks/],
  [
    "a block without an end in front",
    `${issuerPem.slice(0, 200)}\n${rootPem}`,
    /complete PEM blocks|\[0\]/,
  ],
  ["a key", rootPem + key, /^\[1\]: remove the block "PRIVATE KEY"/],
  [
    "a block of noise",
    rootPem.replace(/\n[A-Za-z0-9+/]{8}/, "\nAAAAAAAA"),
    /^\[0\]: replace the block/,
  ],
  ["too many certificates", rootPem.repeat(maxBundleCertificates + 1), /at most 100 certificates/],
  ["too much text", "x".repeat(maxBundleLength + 1), /at most 262144 characters/],
] as const) {
  test(`parseCertificates() refuses ${what}`, (t) => {
    const answer = faults(parseCertificates(text));
    t.regex(answer, expected);
    t.false(answer.includes("MIGHAgEAMBM"), "a fault must not quote a key");
  });
}
