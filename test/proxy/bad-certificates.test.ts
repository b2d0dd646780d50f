/** Clients that come to a sidecar with certificates which must not be believed, by the openssl program. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import test from "ava";
import { issueCertificate, randomSerial } from "../../src/edge/x509/certificate.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { Folder, openssl } from "../edge/x509/openssl.ts";
import { TestCa } from "../harness/certificates.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { admitting, identities, inboundSnapshot } from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const client = "frontend.demo.id";
const dayMs = 86_400_000;
const p256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const forLeaf = "extendedKeyUsage=clientAuth,serverAuth";

/** Files with a key and a certificate. */
type Pair = { readonly crt: string; readonly key: string };
type Shown = Pair & { readonly chain?: string };

type Wishes = {
  readonly issuer: Pair;
  readonly subject?: string;
  readonly extensions: readonly string[];
  readonly newKey?: readonly string[];
  readonly digest?: string;
};

class Zoo implements Disposable {
  readonly folder = new Folder();
  readonly root: Pair;
  #made = 0;

  constructor() {
    this.root = this.selfSigned("root");
  }

  selfSigned(name: string): Pair {
    const pair = this.#files();
    openssl(
      ...["req", "-x509", "-newkey", ...p256, "-nodes", "-subj", `/CN=${name}`, "-days", "2"],
      ...["-keyout", pair.key, "-out", pair.crt],
      ...["-addext", "basicConstraints=critical,CA:TRUE"],
      ...["-addext", "keyUsage=critical,keyCertSign"],
    );
    return pair;
  }

  issue({ issuer, subject = client, extensions, newKey = p256, digest = "sha256" }: Wishes): Pair {
    const pair = this.#files();
    const csr = `${pair.crt}.csr`;
    openssl(
      ...["req", "-new", "-newkey", ...newKey, "-nodes", "-subj", `/CN=${subject}`],
      ...["-keyout", pair.key, "-out", csr],
    );
    const extfile = this.folder.write(`${this.#made}.ext`, extensions.join("\n"));
    openssl(
      ...["x509", "-req", "-in", csr, "-CA", issuer.crt, "-CAkey", issuer.key, "-days", "1"],
      ...["-set_serial", String(this.#made), "-extfile", extfile, `-${digest}`, "-out", pair.crt],
    );
    return pair;
  }

  named(san: string, extensions: readonly string[] = [forLeaf]): Pair {
    return this.issue({ issuer: this.root, extensions: [`subjectAltName=${san}`, ...extensions] });
  }

  /** From `fromMs` to `toMs`, counted from now. */
  valid(fromMs: number, toMs: number): Pair {
    const ca = new TestCa("dates");
    const { publicKey, privateKey } = makeKeyPair();
    const nowMs = Date.now();
    const leaf = issueCertificate({
      issuer: ca.signer,
      name: client,
      altNames: [{ kind: "dns", value: client }],
      publicKey,
      notBeforeMs: nowMs + fromMs,
      notAfterMs: nowMs + toMs,
      serial: randomSerial(),
    });
    this.#otherRoots.push(ca.pem);
    const { crt, key } = this.#files();
    this.folder.write(
      key.split("/").at(-1) ?? "",
      privateKey.export({ format: "pem", type: "pkcs8" }),
    );
    this.folder.write(crt.split("/").at(-1) ?? "", certificateToPem(leaf));
    return { crt, key };
  }

  /** Issuers below each other, and a leaf below the last. */
  deep(length: number, pathLength: string): Shown {
    let issuer = this.root;
    const chain: string[] = [];
    for (let at = 0; at < length; at++) {
      const constraints = `basicConstraints=critical,CA:TRUE${pathLength}`;
      const extensions = [constraints, "keyUsage=critical,keyCertSign"];
      issuer = this.issue({ issuer, subject: `issuer ${at}`, extensions });
      chain.push(this.folder.read(issuer.crt.split("/").at(-1) ?? "").toString());
    }
    const leaf = this.issue({ issuer, extensions: [`subjectAltName=DNS:${client}`, forLeaf] });
    return { ...leaf, chain: this.folder.write(`chain-${length}`, chain.toReversed().join("")) };
  }

  readonly #otherRoots: string[] = [];

  get anchors(): string {
    const root = this.folder.read(this.root.crt.split("/").at(-1) ?? "").toString();
    return [root, ...this.#otherRoots].join("");
  }

  #files(): Pair {
    this.#made++;
    const base = this.folder.file(String(this.#made));
    return { crt: `${base}.crt`, key: `${base}.key` };
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

/** What `openssl s_client` gets for one request. */
async function askWith(port: number, shown: Shown): Promise<string> {
  const chain = shown.chain === undefined ? [] : ["-cert_chain", shown.chain];
  const child = spawn("openssl", [
    ...["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "web.demo.id", "-tls1_3"],
    // So that it is the sidecar that has something against weak keys.
    ...["-quiet", "-cipher", "DEFAULT@SECLEVEL=0", "-cert", shown.crt, "-key", shown.key, ...chain],
  ]);
  child.stdin.on("error", () => {});
  child.stdin.write("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
  const ended = once(child, "close");
  const output = await text(child.stdout);
  await ended;
  return output;
}

async function meet(make: (zoo: Zoo) => Shown): Promise<{ answer: string; asked: number }> {
  using zoo = new Zoo();
  const shown = make(zoo);
  await using origin = await EchoOrigin.start("app");
  await using shard = await withPort((port) =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
      forwards: [{ port, host: "127.0.0.1", hostPort: origin.port }],
      snapshots: [
        { ...new TestCa().issue(["web.demo.id"]), trustAnchors: zoo.anchors },
        inboundSnapshot(port, admitting(identities(client))),
      ],
    }),
  );
  const answer = await askWith(shard.port(), shown);
  return { answer, asked: origin.seen.length };
}

const good: Readonly<Record<string, (zoo: Zoo) => Shown>> = {
  "the root's own": (zoo) => zoo.named(`DNS:${client}`),
  "two issuers below the root": (zoo) => zoo.deep(2, ""),
  "dates around now": (zoo) => zoo.valid(-dayMs, dayMs),
};
for (const [name, make] of Object.entries(good)) {
  test(`MeshServer believes a client's certificate with ${name}`, async (t) => {
    const { answer, asked } = await meet(make);
    t.regex(answer, /^HTTP\/1\.1 200 /);
    t.is(asked, 1);
  });
}

const bad: Readonly<Record<string, (zoo: Zoo) => Shown>> = {
  "that is over": (zoo) => zoo.valid(-2 * dayMs, -1_000),
  "that is not valid yet": (zoo) => zoo.valid(3_600_000, dayMs),
  "with two names": (zoo) => zoo.named(`DNS:${client},DNS:admin.demo.id`),
  "with a DNS name and a URI": (zoo) => zoo.named(`DNS:${client},URI:spiffe://demo/admin`),
  "with an IP address as its name": (zoo) => zoo.named("IP:127.0.0.1"),
  "with a mail address as its name": (zoo) => zoo.named(`email:a@${client}`),
  "with a wildcard": (zoo) => zoo.named("DNS:*.demo.id"),
  "with a common name only": (zoo) => zoo.issue({ issuer: zoo.root, extensions: [forLeaf] }),
  "for servers only": (zoo) => zoo.named(`DNS:${client}`, ["extendedKeyUsage=serverAuth"]),
  "for code only": (zoo) => zoo.named(`DNS:${client}`, ["extendedKeyUsage=codeSigning"]),
  "with a weak RSA key": (zoo) =>
    zoo.issue({
      issuer: zoo.root,
      extensions: [`subjectAltName=DNS:${client}`, forLeaf],
      newKey: ["rsa:1024"],
    }),
  "signed with SHA-1": (zoo) =>
    zoo.issue({
      issuer: zoo.root,
      extensions: [`subjectAltName=DNS:${client}`, forLeaf],
      digest: "sha1",
    }),
  "of another root": (zoo) =>
    zoo.issue({
      issuer: zoo.selfSigned("root"),
      extensions: [`subjectAltName=DNS:${client}`, forLeaf],
    }),
  "of a leaf that plays the issuer": (zoo) =>
    zoo.issue({
      issuer: zoo.named("DNS:admin.demo.id"),
      extensions: [`subjectAltName=DNS:${client}`, forLeaf],
    }),
  "of an issuer that may not have one below it": (zoo) => zoo.deep(2, ",pathlen:0"),
  "whose chain is longer than any mesh's": (zoo) => zoo.deep(12, ""),
};
for (const [name, make] of Object.entries(bad)) {
  test(`MeshServer refuses a client's certificate ${name}`, async (t) => {
    const { answer, asked } = await meet(make);
    t.is(answer, "");
    t.is(asked, 0);
  });
}

test("a certificate on a weak curve is none, because TLS 1.3 has no signatures on it", async (t) => {
  const { answer, asked } = await meet((zoo) =>
    zoo.issue({
      issuer: zoo.root,
      extensions: [`subjectAltName=DNS:${client}`, forLeaf],
      newKey: ["ec", "-pkeyopt", "ec_paramgen_curve:secp160r1"],
    }),
  );
  t.regex(answer, /^HTTP\/1\.1 403 .*\r\n.*without a client certificate/);
  t.is(asked, 0);
});

test("a certificate of another trust domain is a stranger's, whatever its first labels are", async (t) => {
  const { answer, asked } = await meet((zoo) => zoo.named(`DNS:${client}.evil.example`));
  t.regex(answer, /^HTTP\/1\.1 403 /);
  t.is(asked, 0);
});
