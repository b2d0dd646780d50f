import test from "ava";
import { describeFaults } from "../../../src/core/std/result.ts";
import {
  checkCertificate,
  type IssuedCertificate,
  maxIntermediates,
  type WantedCertificate,
} from "../../../src/edge/identity/check-certificate.ts";
import {
  issueCertificate,
  randomSerial,
  type Signer,
  selfSignedCa,
} from "../../../src/edge/x509/certificate.ts";
import { type KeyPair, makeKeyPair } from "../../../src/edge/x509/key-pair.ts";
import { certificateToPem, parseCertificates } from "../../../src/edge/x509/pem.ts";
import { endMs, makeAuthority, makeLeaf, startMs } from "../x509/authority.ts";

const name = "frontend.demo.serviceaccount.identity.weft.cluster.local";
const authority = makeAuthority();
const other = makeAuthority();
const keyPair = makeKeyPair();
const wanted: WantedCertificate = {
  name,
  privateKey: keyPair.privateKey,
  trustAnchors: [certificateToPem(authority.root.certificate)],
  wallMs: startMs + 1_000,
};
const good: IssuedCertificate = {
  leaf: makeLeaf(authority.issuer, [{ kind: "dns", value: name }], keyPair),
  intermediates: [authority.issuer.certificate],
  validUntilMs: startMs + 86_400_000,
};

/** The signature ends a certificate. */
function withBrokenSignature(certificate: Uint8Array): Uint8Array {
  const broken = Uint8Array.from(certificate);
  broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
  return broken;
}

function ca(issuer: Signer, notBeforeMs: number, notAfterMs: number): Signer & KeyPair {
  const pair = makeKeyPair();
  const certificate = issueCertificate({
    issuer,
    name: "between",
    altNames: [],
    publicKey: pair.publicKey,
    serial: randomSerial(),
    ca: { pathLength: 0 },
    notBeforeMs,
    notAfterMs,
  });
  return { certificate, key: pair.privateKey, ...pair };
}

test("checkCertificate() answers the chain without its anchor, and the earlier end", (t) => {
  const checked = checkCertificate(good, wanted);
  if (!checked.ok) return t.fail(describeFaults(checked.faults));
  t.is(checked.value.validUntilMs, startMs + 86_400_000);
  const chain = parseCertificates(checked.value.chain);
  t.deepEqual(chain.ok ? chain.value : [], [
    Buffer.from(good.leaf),
    Buffer.from(authority.issuer.certificate),
  ]);
  const late = checkCertificate({ ...good, validUntilMs: endMs + 1 }, wanted);
  t.is(late.ok ? late.value.validUntilMs : 0, endMs);
});

test("checkCertificate() finds the way among intermediates in any order, and leaves out the others", (t) => {
  const intermediates = [
    other.issuer.certificate,
    authority.root.certificate,
    Buffer.from("no certificate"),
    authority.issuer.certificate,
  ];
  const checked = checkCertificate({ ...good, intermediates }, wanted);
  const plain = checkCertificate(good, wanted);
  t.deepEqual(checked, plain);
});

test("checkCertificate() takes a leaf that the anchor itself has issued", (t) => {
  const leaf = makeLeaf(authority.root, [{ kind: "dns", value: name }], keyPair);
  t.true(checkCertificate({ ...good, leaf, intermediates: [] }, wanted).ok);
});

const refusals = test.macro({
  exec: (
    t,
    issued: Partial<IssuedCertificate>,
    reason: RegExp,
    change: Partial<WantedCertificate> = {},
  ) => {
    const checked = checkCertificate({ ...good, ...issued }, { ...wanted, ...change });
    if (checked.ok) return t.fail("was accepted");
    t.regex(describeFaults(checked.faults), reason);
  },
  title: (given) => `checkCertificate() refuses ${given}`,
});
const otherName = [{ kind: "dns", value: "backend.demo.svc" }] as const;
const twoNames = [{ kind: "dns", value: name }, ...otherName] as const;
test("what is no certificate", refusals, { leaf: Buffer.from("x") }, /X\.509/);
test("an empty leaf", refusals, { leaf: Buffer.alloc(0) }, /X\.509/);
test(
  "another name",
  refusals,
  { leaf: makeLeaf(authority.issuer, otherName, keyPair) },
  /instead of "backend\.demo\.svc"/,
);
test(
  "two names",
  refusals,
  { leaf: makeLeaf(authority.issuer, twoNames, keyPair) },
  /instead of no single name/,
);
test(
  "another key",
  refusals,
  { leaf: makeLeaf(authority.issuer, [{ kind: "dns", value: name }]) },
  /key of the request/,
);
test("another authority", refusals, { intermediates: [other.issuer.certificate] }, /valid chain/);
test(
  "another authority's root",
  refusals,
  {
    leaf: makeLeaf(other.issuer, [{ kind: "dns", value: name }], keyPair),
    intermediates: [other.issuer.certificate, other.root.certificate],
  },
  /valid chain/,
);
test("a missing intermediate", refusals, { intermediates: [] }, /valid chain/);
test("a time in the past", refusals, { validUntilMs: startMs }, /future/);
test("a missing time", refusals, { validUntilMs: undefined }, /future/);
test("a leaf that has ended", refusals, {}, /future/, { wallMs: endMs + 1 });
test("a leaf that has not begun", refusals, {}, /valid chain/, { wallMs: startMs - 60_000 });
test("a broken signature", refusals, { leaf: withBrokenSignature(good.leaf) }, /valid chain/);
test("no anchors", refusals, {}, /valid chain/, { trustAnchors: [] });
test(
  "too many intermediates",
  refusals,
  { intermediates: Array.from({ length: maxIntermediates + 1 }, () => Buffer.alloc(0)) },
  /at most/,
);

test("checkCertificate() refuses a chain through a certificate that is no CA", (t) => {
  const pair = makeKeyPair();
  const leafAsIssuer = {
    certificate: makeLeaf(authority.issuer, otherName, pair),
    key: pair.privateKey,
  };
  const leaf = makeLeaf(leafAsIssuer, [{ kind: "dns", value: name }], keyPair);
  const intermediates = [leafAsIssuer.certificate, authority.issuer.certificate];
  t.false(checkCertificate({ ...good, leaf, intermediates }, wanted).ok);
});

test("checkCertificate() refuses a chain through an intermediate that has ended", (t) => {
  const between = ca(authority.root, startMs, startMs + 5_000);
  const leaf = makeLeaf(between, [{ kind: "dns", value: name }], keyPair);
  const issued = { ...good, leaf, intermediates: [between.certificate] };
  t.true(checkCertificate(issued, wanted).ok);
  t.false(checkCertificate(issued, { ...wanted, wallMs: startMs + 10_000 }).ok);
});

test("checkCertificate() refuses an anchor that has ended", (t) => {
  const pair = makeKeyPair();
  const root = {
    certificate: selfSignedCa({
      keyPair: pair,
      name: "old root",
      serial: randomSerial(),
      notBeforeMs: startMs,
      notAfterMs: startMs + 5_000,
    }),
    key: pair.privateKey,
  };
  const leaf = makeLeaf(root, [{ kind: "dns", value: name }], keyPair);
  const issued = { ...good, leaf, intermediates: [] };
  const trusting = { ...wanted, trustAnchors: [certificateToPem(root.certificate)] };
  t.true(checkCertificate(issued, trusting).ok);
  t.false(checkCertificate(issued, { ...trusting, wallMs: startMs + 10_000 }).ok);
});
