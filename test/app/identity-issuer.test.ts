import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import test from "ava";
import { CertifyRequestSchema, Identity } from "../../src/core/wire/gen/linkerd/identity_pb.ts";
import { callUnary, openChannel } from "../../src/edge/grpc/client.ts";
import { makeCsr } from "../../src/edge/x509/csr.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { signServiceAccountToken } from "../../src/edge/x509/token-signer.ts";
import { Folder, tryOpenssl } from "../edge/x509/openssl.ts";

const file = fileURLToPath(new URL("../../src/app/identity-issuer.ts", import.meta.url));
const script = `
  import { runIdentityIssuer } from ${JSON.stringify(file)};
  process.exitCode = await runIdentityIssuer(process.env);
`;
const tokenPair = makeKeyPair();
const identity = "frontend.mesh.serviceaccount.identity.weft.cluster.local";

type Line = Readonly<Record<string, unknown>>;

class Process implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown[]>;
  readonly lines: Line[] = [];
  readonly #input: AsyncIterator<string>;

  constructor(environment: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
      env: environment,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.exited = once(this.child, "exit");
    if (this.child.stderr === null) throw new Error("Started without a pipe");
    this.#input = createInterface(this.child.stderr)[Symbol.asyncIterator]();
  }

  /** Reads the log up to an event, or to its end. */
  async until(event: string): Promise<Line> {
    for (;;) {
      const next = await this.#input.next();
      if (next.done === true)
        throw new Error(`Ended without "${event}": ${JSON.stringify(this.lines)}`);
      const line: Line = JSON.parse(next.value);
      this.lines.push(line);
      if (line["event"] === event) return line;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

function settings(
  folder: Folder,
  change: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const pem = tokenPair.publicKey.export({ format: "pem", type: "spki" }).toString();
  return {
    WEFT_IDENTITY_LISTEN_ADDR: "127.0.0.1:0",
    WEFT_ADMIN_LISTEN_ADDR: "127.0.0.1:0",
    WEFT_IDENTITY_ISSUER_DIR: folder.file("ca"),
    WEFT_IDENTITY_TOKEN_KEYS_FILE: folder.write("keys.pem", pem),
    ...change,
  };
}

test("runIdentityIssuer() makes an issuer, serves Certify and the admin port, and ends with 0 on SIGTERM", async (t) => {
  using folder = new Folder();
  await using issuer = new Process(settings(folder));
  const serving = await issuer.until("serving");
  t.deepEqual(
    issuer.lines.map((line) => line["event"]),
    ["issuer_made", "serving"],
  );
  t.is((await fetch(`http://${String(serving["admin"])}/live`)).status, 200);
  t.is((await fetch(`http://${String(serving["admin"])}/ready`)).status, 200);

  const keyPair = makeKeyPair();
  const token = signServiceAccountToken({
    key: tokenPair.privateKey,
    namespace: "mesh",
    serviceAccount: "frontend",
    audience: "identity.l5d.io",
    lifetimeSeconds: 600,
    nowSeconds: Math.floor(Date.now() / 1_000),
  });
  const channel = openChannel(String(serving["identity"]));
  const request = create(CertifyRequestSchema, {
    identity,
    token: Buffer.from(token),
    certificateSigningRequest: makeCsr(keyPair, identity),
  });
  const answer = await callUnary(channel, Identity.method.certify, request, { deadlineMs: 30_000 });
  channel.close();
  if (!answer.ok) return t.fail(answer.failure.message);
  const leaf = folder.write("leaf.pem", certificateToPem(answer.value.leafCertificate));
  const chain = folder.write(
    "chain.pem",
    answer.value.intermediateCertificates.map(certificateToPem).join(""),
  );
  const checked = tryOpenssl(
    "verify",
    "-x509_strict",
    "-CAfile",
    `${folder.file("ca")}/ca.crt`,
    "-untrusted",
    chain,
    leaf,
  );
  t.is(checked.code, 0, checked.output);

  issuer.child.kill("SIGTERM");
  t.deepEqual(await issuer.exited, [0, null]);
  await issuer.until("stopped");
});

test("runIdentityIssuer() goes on with the issuer that it made before", async (t) => {
  using folder = new Folder();
  const anchors: string[] = [];
  for (const event of ["issuer_made", "issuer_loaded"]) {
    await using issuer = new Process(settings(folder));
    await issuer.until(event);
    await issuer.until("serving");
    anchors.push(readFileSync(`${folder.file("ca")}/ca.crt`, "utf8"));
    issuer.child.kill("SIGINT");
    t.deepEqual(await issuer.exited, [0, null]);
  }
  t.is(anchors[0], anchors[1]);
});

for (const [what, change, event, expected] of [
  [
    "every bad variable",
    { WEFT_IDENTITY_LISTEN_ADDR: "x", WEFT_CONTROL_NAMESPACE: "y.z" },
    "config_invalid",
    /WEFT_IDENTITY_LISTEN_ADDR.*WEFT_CONTROL_NAMESPACE/,
  ],
  [
    "token keys that are none",
    { WEFT_IDENTITY_TOKEN_KEYS_FILE: file },
    "token_keys_invalid",
    /add a public key/,
  ],
  [
    "a broken issuer",
    { WEFT_IDENTITY_ISSUER_DIR: fileURLToPath(new URL(".", import.meta.url)) },
    "issuer_invalid",
    /issuer\.crt/,
  ],
] as const) {
  test(`runIdentityIssuer() ends with 64 and names ${what}`, async (t) => {
    using folder = new Folder();
    await using issuer = new Process(settings(folder, change));
    t.regex(String((await issuer.until(event))["faults"]), expected);
    t.deepEqual(await issuer.exited, [64, null]);
  });
}

for (const [variable, event] of [
  ["WEFT_IDENTITY_LISTEN_ADDR", "identity_not_served"],
  ["WEFT_ADMIN_LISTEN_ADDR", "admin_not_served"],
] as const) {
  test(`runIdentityIssuer() ends with 1 when the address in ${variable} is taken`, async (t) => {
    using folder = new Folder();
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    await using issuer = new Process(settings(folder, { [variable]: `127.0.0.1:${port}` }));
    t.regex(JSON.stringify(await issuer.until(event)), /EADDRINUSE|No address added/);
    t.deepEqual(await issuer.exited, [1, null]);
    taken.close();
  });
}
