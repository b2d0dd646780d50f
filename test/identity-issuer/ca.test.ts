import { X509Certificate } from "node:crypto";
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import test from "ava";
import { describeFaults } from "../../src/core/std/result.ts";
import { issueCertificate, randomSerial, type Signer } from "../../src/edge/x509/certificate.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { type Issuer, loadIssuer, loadOrMakeIssuer } from "../../src/identity-issuer/ca.ts";
import { endMs, makeAuthority, makeLeaf, startMs } from "../edge/x509/authority.ts";
import { Folder, openssl, tryOpenssl } from "../edge/x509/openssl.ts";

const nowMs = Date.UTC(2026, 5, 1);
const { root, issuer } = makeAuthority();
const pemOf = ({ certificate }: Signer): string => certificateToPem(certificate);
const keyOf = ({ key }: Signer): string => key.export({ format: "pem", type: "pkcs8" }).toString();

type Files = { readonly certificate?: string; readonly key?: string; readonly anchors?: string };

function fill(folder: Folder, files: Files): void {
  if (files.certificate !== undefined) folder.write("issuer.crt", files.certificate);
  if (files.key !== undefined) folder.write("issuer.key", files.key);
  if (files.anchors !== undefined) folder.write("ca.crt", files.anchors);
}

function load(files: Files): Issuer | string {
  using folder = new Folder();
  fill(folder, files);
  const loaded = loadIssuer(folder.path);
  return loaded.ok ? loaded.value : describeFaults(loaded.faults);
}

test("loadOrMakeIssuer() makes a chain that openssl verifies", (t) => {
  using folder = new Folder();
  const at = folder.file("a/b/ca");
  const made = loadOrMakeIssuer(at, nowMs);
  t.true(made.ok && made.value.made, JSON.stringify(made));
  const checked = tryOpenssl(
    "verify",
    "-x509_strict",
    "-attime",
    String(nowMs / 1000),
    "-CAfile",
    join(at, "ca.crt"),
    join(at, "issuer.crt"),
  );
  t.is(checked.code, 0, checked.output);
  t.regex(openssl("x509", "-in", join(at, "issuer.crt"), "-noout", "-text"), /CA:TRUE, pathlen:0/);
});

test("loadOrMakeIssuer() lets only its own user read what it makes, and leaves nothing else behind", (t) => {
  using folder = new Folder();
  const at = folder.file("ca");
  t.true(loadOrMakeIssuer(at, nowMs).ok);
  t.is(statSync(at).mode & 0o777, 0o700);
  t.deepEqual(readdirSync(at).sort(), ["ca.crt", "issuer.crt", "issuer.key"]);
  for (const file of readdirSync(at)) t.is(statSync(join(at, file)).mode & 0o777, 0o600, file);
  t.deepEqual(readdirSync(folder.path), ["ca"]);
});

test("loadOrMakeIssuer() makes an issuer once", (t) => {
  using folder = new Folder();
  const first = loadOrMakeIssuer(folder.file("ca"), nowMs);
  const second = loadOrMakeIssuer(folder.file("ca"), nowMs);
  t.true(second.ok && !second.value.made);
  t.deepEqual(
    second.ok && second.value.issuer.signer.certificate,
    first.ok && first.value.issuer.signer.certificate,
  );
});

test("loadOrMakeIssuer() fills a folder that is there and empty", (t) => {
  using folder = new Folder();
  mkdirSync(folder.file("ca"));
  const made = loadOrMakeIssuer(folder.file("ca"), nowMs);
  t.true(made.ok && made.value.made);
});

test("loadOrMakeIssuer() adds nothing to a folder that holds something", (t) => {
  using folder = new Folder();
  folder.write("issuer.crt", pemOf(issuer));
  const loaded = loadOrMakeIssuer(folder.path, nowMs);
  t.regex(
    loaded.ok ? "" : describeFaults(loaded.faults),
    /ca\.crt: .*ENOENT.*issuer\.key: .*ENOENT/,
  );
  t.deepEqual(readdirSync(folder.path), ["issuer.crt"]);
});

test("loadOrMakeIssuer() reports a folder that cannot be made", (t) => {
  using folder = new Folder();
  writeFileSync(folder.file("file"), "");
  for (const at of ["file", "file/ca"]) {
    const loaded = loadOrMakeIssuer(folder.file(at), nowMs);
    t.regex(loaded.ok ? "" : describeFaults(loaded.faults), /make the folder writable/);
  }
});

test("loadOrMakeIssuer() gives all who start at once the same issuer", async (t) => {
  using folder = new Folder();
  const code = `import { loadOrMakeIssuer } from ${JSON.stringify(new URL("../../src/identity-issuer/ca.ts", import.meta.url))};
    import { parentPort, workerData } from "node:worker_threads";
    const { ok, value } = loadOrMakeIssuer(workerData, ${nowMs});
    parentPort.postMessage([ok && value.made, ok && Buffer.from(value.issuer.signer.certificate).toString("hex")]);`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const answers = await Promise.all(
    [1, 2, 3, 4].map(
      () =>
        new Promise<[boolean, string]>((resolve, reject) => {
          const worker = new Worker(url, { workerData: folder.file("ca") });
          worker.once("message", resolve).once("error", reject);
        }),
    ),
  );
  t.is(answers.filter(([made]) => made).length, 1);
  t.is(new Set(answers.map(([, certificate]) => certificate)).size, 1);
  t.deepEqual(readdirSync(folder.path), ["ca"]);
});

test("loadIssuer() takes an issuer below the anchor as the one intermediate", (t) => {
  const loaded = load({ certificate: pemOf(issuer), key: keyOf(issuer), anchors: pemOf(root) });
  if (typeof loaded === "string") return t.fail(loaded);
  t.deepEqual(loaded.intermediates, [issuer.certificate]);
  t.is(loaded.notAfterMs, endMs);
});

test("loadIssuer() leaves the anchor out of the chain that it gives to peers", (t) => {
  const chain = pemOf(issuer) + pemOf(root);
  const loaded = load({ certificate: chain, key: keyOf(issuer), anchors: pemOf(root) });
  if (typeof loaded === "string") return t.fail(loaded);
  t.deepEqual(loaded.intermediates, [issuer.certificate]);
});

test("loadIssuer() takes an issuer that is an anchor itself, without intermediates", (t) => {
  const loaded = load({ certificate: pemOf(root), key: keyOf(root), anchors: pemOf(root) });
  if (typeof loaded === "string") return t.fail(loaded);
  t.deepEqual(loaded.intermediates, []);
});

test("loadIssuer() takes a chain of two below the second of two anchors", (t) => {
  const upper = below(root, 1);
  const lower = below(upper, 0);
  const anchors = pemOf(makeAuthority().root) + pemOf(root);
  const loaded = load({ certificate: pemOf(lower) + pemOf(upper), key: keyOf(lower), anchors });
  if (typeof loaded === "string") return t.fail(loaded);
  t.deepEqual(loaded.intermediates, [lower.certificate, upper.certificate]);
});

test("loadIssuer() finds the earliest expiry of the whole chain", (t) => {
  for (const [lowerEndMs, upperEndMs] of [
    [endMs - 1_000, endMs - 2_000],
    [endMs - 2_000, endMs - 1_000],
  ] as const) {
    const upper = below(root, 1, upperEndMs);
    const lower = below(upper, 0, lowerEndMs);
    const loaded = load({
      certificate: pemOf(lower) + pemOf(upper),
      key: keyOf(lower),
      anchors: pemOf(root),
    });
    t.is(typeof loaded === "string" ? loaded : loaded.notAfterMs, endMs - 2_000);
  }
});

test("loadIssuer() reads what openssl makes, an EC key in its old form included", (t) => {
  using folder = new Folder();
  openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder.file("issuer.key"));
  openssl(
    "req",
    "-x509",
    "-key",
    folder.file("issuer.key"),
    "-subj",
    "/CN=own",
    "-days",
    "10",
    "-out",
    folder.file("ca.crt"),
  );
  folder.write("issuer.crt", folder.read("ca.crt"));
  const loaded = loadIssuer(folder.path);
  t.true(loaded.ok, JSON.stringify(loaded));
});

const leafPair = makeKeyPair();
const leaf = {
  certificate: makeLeaf(issuer, [{ kind: "dns", value: "a" }], leafPair),
  key: leafPair.privateKey,
};
const other = makeAuthority();
const forged = below({ certificate: root.certificate, key: other.root.key }, 0);
const underLeaf = below(leaf, 0);
const gap = below(below(root, 1), 0);
const good = { certificate: pemOf(issuer), key: keyOf(issuer), anchors: pemOf(root) };
for (const [what, files, expected] of [
  [
    "the key of another certificate",
    { ...good, key: keyOf(root) },
    /issuer\.key: use the key of the first/,
  ],
  [
    "a leaf as issuer",
    { ...good, certificate: pemOf(leaf), key: keyOf(leaf) },
    /issuer\.crt: put a CA certificate first/,
  ],
  [
    "an anchor that did not issue it",
    { ...good, anchors: pemOf(other.root) },
    /issuer\.crt: order the chain/,
  ],
  [
    "a chain with a gap",
    { ...good, certificate: pemOf(gap), key: keyOf(gap) },
    /issuer\.crt: order the chain/,
  ],
  [
    "an issuer that names the anchor and was signed by another",
    { ...good, certificate: pemOf(forged), key: keyOf(forged) },
    /issuer\.crt: order the chain/,
  ],
  [
    "an issuer below a leaf",
    {
      ...good,
      certificate: pemOf(underLeaf) + pemOf(leaf) + pemOf(issuer),
      key: keyOf(underLeaf),
    },
    /issuer\.crt: order the chain/,
  ],
  [
    "a chain in the wrong order",
    { ...good, certificate: pemOf(root) + pemOf(issuer) },
    /issuer\.key: use the key of the first/,
  ],
  [
    "a certificate that is not PEM",
    { ...good, certificate: "x" },
    /issuer\.crt: write complete PEM/,
  ],
  ["anchors that are not PEM", { ...good, anchors: "x" }, /ca\.crt: write complete PEM/],
  ["a key that is not PEM", { ...good, key: "x" }, /issuer\.key: put an EC private key/],
  [
    "a missing file",
    { ...good, anchors: undefined as unknown as string },
    /ca\.crt: make the file readable: ENOENT/,
  ],
] as const) {
  test(`loadIssuer() refuses ${what}`, (t) => {
    const loaded = load(files);
    t.regex(typeof loaded === "string" ? loaded : "accepted", expected);
  });
}

for (const [what, args] of [
  ["an RSA key", ["genrsa", "2048"]],
  ["a P-384 key", ["ecparam", "-name", "secp384r1", "-genkey", "-noout"]],
] as const) {
  test(`loadIssuer() refuses ${what} and does not show it`, (t) => {
    const key = openssl(...args);
    const loaded = load({ ...good, key });
    t.regex(String(loaded), /put an EC private key on P-256/);
    t.false(String(loaded).includes(key.split("\n")[1] ?? ""));
  });
}

/** An issuer below another. */
function below(upper: Signer, pathLength: number, notAfterMs = endMs): Signer {
  const pair = makeKeyPair();
  const certificate = issueCertificate({
    issuer: upper,
    name: `below ${new X509Certificate(upper.certificate).subject}`,
    altNames: [],
    publicKey: pair.publicKey,
    serial: randomSerial(),
    notBeforeMs: startMs,
    notAfterMs,
    ca: { pathLength },
  });
  return { certificate, key: pair.privateKey };
}
