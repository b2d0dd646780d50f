/** What a user of the mesh meets: curl, openssl, promtool, and raw bytes, against real processes. */
import { readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import test from "ava";
import { CertifyRequestSchema, Identity } from "../../src/core/wire/gen/linkerd/identity_pb.ts";
import { podIdentity } from "../../src/demo/mesh.ts";
import { callUnary, openChannel } from "../../src/edge/grpc/client.ts";
import { makeCsr } from "../../src/edge/x509/csr.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { adminUrl, eventually, getText, run, startTestMesh, type TestMesh } from "./test-mesh.ts";

// One mesh for the file: each test builds on the policies of the one before.
let mesh: TestMesh;

test.serial("a mesh of three pods starts", async (t) => {
  // Held by the test that ends last, which tears it down.
  mesh = await startTestMesh({ ...t, teardown: (end) => teardowns.push(end) } as typeof t, {
    workers: 2,
  });
  t.is(mesh.mesh.processes.size, 8);
});

const teardowns: (() => unknown)[] = [];
test.after.always(async () => {
  for (const end of teardowns.toReversed()) await end();
});

const url = "http://backend-a.demo:8080/env";

function curl(...args: string[]): Promise<{ code: number; out: string }> {
  return run("curl", ["-s", "-i", "--max-time", "5", ...args]);
}

test.serial("curl -x through a sidecar reaches the Service that the URL names", async (t) => {
  const { out } = await curl("-x", `http://${mesh.ip("frontend")}:4140`, url);
  t.regex(out, /^HTTP\/1\.1 200/);
  t.regex(out, /PODINFO_UI_MESSAGE=A backend/);
  t.regex(out, /caller=frontend\.demo\.serviceaccount\.identity\.weft\.cluster\.local/);
});

test.serial("the Host header names the destination as well", async (t) => {
  const { out } = await curl(
    "-H",
    "Host: backend-b.demo:8080",
    `http://${mesh.ip("frontend")}:4140/env`,
  );
  t.regex(out, /PODINFO_UI_MESSAGE=B backend/);
});

test.serial("an unknown destination is refused with its name", async (t) => {
  const { out } = await curl(
    "-x",
    `http://${mesh.ip("frontend")}:4140`,
    "http://nobody.demo:8080/",
  );
  t.regex(out, /^HTTP\/1\.1 502/);
  t.regex(out, /l5d-proxy-error: no such destination "nobody\.demo\.svc\.cluster\.local:8080"/);
});

test.serial("a dropped HTTPRoute is in force within a second", async (t) => {
  mesh.drop("2-route.yaml");
  const through = `http://${mesh.ip("frontend")}:4140`;
  const { tookMs } = await eventually(
    () => curl("-x", through, "-H", "x-request-id: alternative", url),
    ({ out }) => out.includes("PODINFO_UI_MESSAGE=B backend"),
    1_000,
  );
  t.log(`in force after ${Math.round(tookMs)} ms, seen through curl`);
  const plain = await curl("-x", through, url);
  t.regex(plain.out, /PODINFO_UI_MESSAGE=A backend/);
});

test.serial(
  "a broken rule is reported with file, document, path and reason, and answers 500",
  async (t) => {
    const file = path.join(mesh.mesh.policyFolder, "2-route.yaml");
    const good = readFileSync(file, "utf8");
    writeFileSync(file, good.replace("name: backend-b", "name: backend-b\n          weight: many"));
    const through = `http://${mesh.ip("frontend")}:4140`;
    const { value } = await eventually(
      () => curl("-x", through, "-H", "x-request-id: alternative", url),
      ({ out }) => out.startsWith("HTTP/1.1 500"),
      2_000,
    );
    t.regex(value.out, /l5d-proxy-error: .*weight/);
    const status = await getText(`http://${mesh.mesh.layout.controlIp}:9990/status`);
    t.regex(status, /2-route\.yaml/);
    t.regex(status, /spec\.rules\[0\]\.backendRefs\[0\]\.weight/);
    const untouched = await curl(
      "-x",
      `http://${mesh.ip("frontend")}:4140`,
      "http://backend-b.demo:8080/env",
    );
    t.regex(untouched.out, /PODINFO_UI_MESSAGE=B backend/);
    writeFileSync(file, good);
    await eventually(
      () => curl("-x", through, "-H", "x-request-id: alternative", url),
      ({ out }) => out.includes("PODINFO_UI_MESSAGE=B backend"),
      2_000,
    );
  },
);

test.serial(
  "a Server with an AuthorizationPolicy admits one identity and tells the others why",
  async (t) => {
    mesh.drop("3-authorization.yaml");
    const direct = `http://${mesh.ip("backend-a")}:8080/env`;
    const { value } = await eventually(
      () => curl(direct),
      ({ out }) => out.startsWith("HTTP/1.1 403"),
      1_000,
    );
    t.regex(value.out, /l5d-proxy-error: .*mutual TLS/i);
    const right = await curl("-x", `http://${mesh.ip("frontend")}:4140`, url);
    t.regex(right.out, /^HTTP\/1\.1 200/);
    const wrong = await curl("-x", `http://${mesh.ip("backend-b")}:4140`, url);
    t.regex(wrong.out, /^HTTP\/1\.1 403/);
    t.regex(
      wrong.out,
      /l5d-proxy-error: .*backend-b\.demo\.serviceaccount.*backend-a-admits-frontend/,
    );
    const unrouted = await curl(
      "-x",
      `http://${mesh.ip("frontend")}:4140`,
      "http://backend-a.demo:8080/admin",
    );
    t.regex(unrouted.out, /^HTTP\/1\.1 404/);
  },
);

test.serial(
  "openssl s_client finds TLS 1.3, the right name, and its client certificate honoured",
  async (t) => {
    const anchors = path.join(mesh.workFolder, "identity", "ca.crt");
    const backend = mesh.mesh.layout.pods[1];
    t.truthy(backend);
    if (backend === undefined) return;
    const name = podIdentity(backend);
    const base = [
      "s_client",
      "-connect",
      `${backend.ip}:8080`,
      "-servername",
      name,
      "-CAfile",
      anchors,
    ];
    base.push("-verify_hostname", name, "-verify_return_error", "-quiet", "-no_ign_eof");
    const asked = `GET /env HTTP/1.1\r\nHost: ${backend.ip}:8080\r\nConnection: close\r\n\r\n`;

    const anonymous = await talk(base, asked);
    t.regex(anonymous, /HTTP\/1\.1 403/);
    const frontend = await clientCertificate("frontend");
    const admitted = await talk([...base, ...frontend], asked);
    t.regex(admitted, /HTTP\/1\.1 200/);
    t.regex(admitted, /caller=frontend\.demo/);
    const other = await clientCertificate("backend-b");
    t.regex(await talk([...base, ...other], asked), /HTTP\/1\.1 403[\s\S]*backend-b\.demo/);

    const details = await run("openssl", [
      ...["s_client", "-connect", `${backend.ip}:8080`, "-servername", name, "-CAfile", anchors],
      ...["-brief", "-verify_return_error"],
    ]);
    t.regex(details.out, /TLSv1\.3/);
    const old = await run("openssl", [
      ...["s_client", "-connect", `${backend.ip}:8080`, "-servername", name, "-CAfile", anchors],
      ...["-tls1_2", "-brief"],
    ]);
    t.not(old.code, 0, "TLS 1.2 must be refused");
  },
);

/** s_client reads what the server says until it closes. */
async function talk(args: readonly string[], asked: string): Promise<string> {
  const filtered = args.filter((arg) => arg !== "-no_ign_eof");
  const { out } = await run("openssl", [...filtered, "-ign_eof"], asked);
  return out;
}

async function clientCertificate(pod: string): Promise<string[]> {
  const found = mesh.mesh.layout.pods.find(({ name }) => name === pod);
  if (found === undefined) throw new Error(`No pod ${pod}`);
  const keys = makeKeyPair();
  const channel = openChannel(`${mesh.mesh.layout.controlIp}:8080`);
  const answer = await callUnary(
    channel,
    Identity.method.certify,
    create(CertifyRequestSchema, {
      identity: podIdentity(found),
      token: readFileSync(path.join(mesh.workFolder, "tokens", `${pod}.jwt`)),
      certificateSigningRequest: makeCsr(keys, podIdentity(found)),
    }),
    { deadlineMs: 5_000 },
  );
  channel.close();
  if (!answer.ok) throw new Error(JSON.stringify(answer.failure));
  const file = path.join(mesh.workFolder, `${pod}.pem`);
  const chain = [answer.value.leafCertificate, ...answer.value.intermediateCertificates];
  writeFileSync(file, chain.map((der) => certificateToPem(Buffer.from(der))).join(""));
  const keyFile = path.join(mesh.workFolder, `${pod}.key`);
  writeFileSync(keyFile, keys.privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  return ["-cert", file, "-cert_chain", file, "-key", keyFile];
}

test.serial("promtool accepts /metrics, but for Linkerd's name in milliseconds", async (t) => {
  const pages = [
    adminUrl(mesh.ip("frontend"), "metrics"),
    adminUrl(mesh.ip("backend-a"), "metrics"),
    `http://${mesh.mesh.layout.controlIp}:9990/metrics`,
  ];
  for (const page of pages) {
    const text = await getText(page);
    const { code, out } = await run("promtool", ["check", "metrics"], text);
    if (code !== 0) t.is(code, 3, out);
    const lint = out
      .split("\n")
      .filter((line) => line !== "" && !line.includes("response_latency_ms"));
    t.deepEqual(lint, [], page);
  }
  const inbound = await getText(adminUrl(mesh.ip("backend-a"), "metrics"));
  t.regex(inbound, /inbound_http_authz_allow_total\{[^}]*authz_name="backend-a-admits-frontend"/);
  t.regex(inbound, /inbound_http_authz_deny_total\{[^}]*srv_name="backend-a-http"/);
});

test.serial("/policy shows what is enforced, with revision and age", async (t) => {
  const page: {
    inbound: { port: number; revision: number; ageSeconds: number }[];
    outbound: { target: string }[];
  } = JSON.parse(await getText(adminUrl(mesh.ip("backend-a"), "policy")));
  t.is(page.inbound[0]?.port, 8080);
  t.true((page.inbound[0]?.revision ?? 0) >= 2);
  t.true((page.inbound[0]?.ageSeconds ?? -1) >= 0);
});

const ambiguous: readonly (readonly [string, string])[] = [
  [
    "Content-Length and Transfer-Encoding",
    "POST /env HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  [
    "two Content-Lengths",
    "POST /env HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
  ],
  ["a folded line", "GET /env HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"],
  ["a bare line feed", "GET /env HTTP/1.1\nHost: x\n\n"],
  ["a space before the colon", "GET /env HTTP/1.1\r\nHost : x\r\n\r\n"],
  ["two Hosts", "GET /env HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"],
  ["a Host that is not the target's", "GET http://a/env HTTP/1.1\r\nHost: b\r\n\r\n"],
  [
    "a chunk size with a sign",
    "POST /env HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
  ],
];

for (const [name, bytes] of ambiguous) {
  test.serial(`both directions refuse ${name} with 400 and close`, async (t) => {
    for (const [host, port] of [
      [mesh.ip("backend-b"), 8080],
      [mesh.ip("frontend"), 4140],
    ] as const) {
      const text = await sendRaw(
        host,
        port,
        bytes.replaceAll("Host: x", "Host: backend-b.demo:8080"),
      );
      t.regex(text, /^HTTP\/1\.1 400 /, `${host}:${port}`);
      t.regex(text, /connection: close/i);
    }
  });
}

/** Sends bytes and reads until the other side closes. */
function sendRaw(host: string, port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port }, () => socket.write(bytes));
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("close", () => {
      resolve(text);
    });
    socket.on("error", reject);
    socket.setTimeout(5_000, () => socket.destroy(new Error(`not closed after: ${text}`)));
  });
}
