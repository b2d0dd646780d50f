import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import test from "ava";
import type { Explanation } from "../../src/explain/explanation.ts";

const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));
const examples = fileURLToPath(new URL("../../examples", import.meta.url));

type Result = { readonly code: number; readonly out: string; readonly err: string };

async function weft(...words: readonly string[]): Promise<Result> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", main, "explain", ...words],
    { stdio: ["ignore", "pipe", "pipe"], env: {} },
  );
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  return { code: Number(code), out, err };
}

/** The example mesh with all of its steps. */
class Folder implements Disposable {
  readonly dir: string = mkdtempSync(path.join(os.tmpdir(), "weft-explain-"));

  constructor() {
    for (const part of ["mesh", "steps"]) {
      cpSync(path.join(examples, part), this.dir, { recursive: true });
    }
  }

  write(name: string, content: string): void {
    writeFileSync(path.join(this.dir, name), content);
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const toA = ["--from", "demo/frontend", "--to", "backend-a.demo:8080"];

test("weft explain tells that a request gets to its backend, and ends with 0", async (t) => {
  const { code, out, err } = await weft("-f", path.join(examples, "mesh"), ...toA, "/env");
  t.is(code, 0);
  t.is(err, "");
  t.regex(out, /\n {2}100 % gets to Service demo\/backend-a:8080\n$/);
  t.false(out.includes("\u001b"));
});

test("weft explain -o json gives the same as data", async (t) => {
  using folder = new Folder();
  const { code, out } = await weft(
    ...["-f", folder.dir, ...toA, "POST", "/echo"],
    ...["-H", "x-request-id: alternative", "-o", "json"],
  );
  t.is(code, 0);
  const explanation: Explanation = JSON.parse(out);
  t.deepEqual(Object.keys(explanation), [
    "question",
    "verdict",
    "outbound",
    "inbound",
    "conditions",
    "refusedDocuments",
    "notes",
  ]);
  t.like(explanation.outbound?.winner, { route: "HTTPRoute demo/alternative", rule: 0 });
  t.is(explanation.verdict.fates[0]?.by, "Service demo/backend-b:8080");
});

test("weft explain ends with 1 when the Server of the pod refuses the caller", async (t) => {
  using folder = new Folder();
  const { code, out } = await weft(
    ...["-f", folder.dir, "--from", "demo/backend-b", "http://backend-a.demo:8080/env"],
  );
  t.is(code, 1);
  t.regex(out, /refused with 403 by server backend-a-http .* is not among the identities of /);
});

test("weft explain names a refused document and what follows from it", async (t) => {
  using folder = new Folder();
  folder.write(
    "broken.yaml",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: broken, namespace: demo }\nspec: { parentRefs: [{ group: '', kind: Service, name: backend-b }], rules: 3 }\n",
  );
  const { code, out } = await weft(
    ...["-f", folder.dir, "--from", "demo/frontend", "--to", "backend-b:8080", "/"],
  );
  t.is(code, 1);
  t.regex(out, /\nRefused documents\n {2}broken\.yaml, document 1, line 4: HTTPRoute demo\/broken/);
  t.regex(out, /refused with 500 by HTTPRoute demo\/broken rule 0: .* cannot be read/);
});

const everything = `
apiVersion: v1
kind: Secret
metadata: { name: keys, namespace: demo }
stringData: { accessKey: AKIDSHOWN, secretKey: SECRETSHOWN, sessionToken: TOKENSHOWN }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: function, namespace: demo }
spec:
  type: AWS
  aws:
    accountId: "000000000000"
    region: us-east-1
    auth: { type: Secret, secretRef: { name: keys } }
    lambda: { functionName: hello, invocationMode: Sync }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: everything, namespace: demo }
spec:
  parentRefs: [{ group: "", kind: Service, name: backend-b }]
  rules:
    - matches: [{ path: { type: PathPrefix, value: /function } }]
      filters:
        - type: URLRewrite
          urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: / } }
        - type: RequestMirror
          requestMirror: { backendRef: { name: backend-a, port: 8080 }, percent: 10 }
      timeouts: { request: 10s, backendRequest: 2s }
      retry: { codes: [503, 500], attempts: 2, backoff: 100ms }
      sessionPersistence: { sessionName: sid, type: Cookie }
      backendRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: function }]
`;

test("weft explain tells filters, limits and functions, and never their keys", async (t) => {
  using folder = new Folder();
  folder.write("everything.yaml", everything);
  const words = [
    "-f",
    folder.dir,
    "--from",
    "demo/frontend",
    "http://backend-b.demo:8080/function/x?y",
  ];
  const { code, out } = await weft(...words);
  t.is(code, 0);
  for (const line of [
    "url-rewrite: asks for /x?y at backend-b.demo:8080",
    "mirror: sends a copy of 10 % of requests to Service demo/backend-a:8080",
    "timeouts: request 10s, each try 2s",
    "retries: 2, on 503, 500, after 100ms or more, for up to 20 % of requests",
    "sessions: kept by the cookie sid",
    "100 % gets to Backend demo/function",
  ]) {
    t.true(out.includes(`\n  ${line}\n`), line);
  }
  const json = await weft(...words, "-o", "json");
  t.regex(json.out, /"to": "hello:\$LATEST in us-east-1"/);
  t.notRegex(out + json.out, /SHOWN/);
});

test("weft explain ends with 64 and names everything that is wrong with its words", async (t) => {
  const { code, out, err } = await weft(
    ...["-f", "/nonexistent", "--from", "demo", "--to", "a", "/", "-o", "yaml"],
  );
  t.is(code, 64);
  t.is(out, "");
  t.deepEqual(
    err.split("\n").map((line) => line.split(":").slice(0, 2).join(":")),
    [
      "weft explain: --from",
      "weft explain: -f",
      "weft explain: -o",
      'Run "weft explain --help" for examples.',
      "",
    ],
  );
  t.is((await weft("-f", examples, "/")).code, 64);
});

test("weft explain --help has examples and the exit codes", async (t) => {
  const { code, out } = await weft("--help");
  t.is(code, 0);
  t.regex(out, /Examples:\n {2}weft explain -f examples\/mesh/);
  t.regex(out, /Exit codes: 0 .*; 1 .*; 64 /);
});

test("weft explain --token reads a token from a file, and does not print it", async (t) => {
  using folder = new Folder();
  folder.write("token", "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ1cyJ9.AAAA\n");
  const file = path.join(folder.dir, "token");
  const { code, out } = await weft("-f", folder.dir, ...toA, "--token", file, "/env");
  t.is(code, 0);
  t.regex(out, /authorization: \(not shown\)/);
  t.false(out.includes("eyJ"));
  const missing = await weft("-f", folder.dir, ...toA, "--token", `${file}s`, "/env");
  t.is(missing.code, 64);
  t.regex(missing.err, /--token: name a file with a token: ENOENT/);
});
