import { symlinkSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { maxFileBytes } from "../../../src/edge/files/read-file.ts";
import { readFolder } from "../../../src/edge/files/read-folder.ts";
import { definitionSchemas } from "../schema/definitions-folder.ts";
import { serverYaml, summaryOf, TemporaryFolder } from "./folder.ts";

const schemas = definitionSchemas();

async function read(folder: TemporaryFolder, maxFiles?: number) {
  return readFolder({ dir: folder.path, schemas, ...(maxFiles === undefined ? {} : { maxFiles }) });
}

test("readFolder() reads every document of every manifest, in folders too", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("b.yaml", `${serverYaml("one")}---\n${serverYaml("two")}`);
  folder.write("a/deep/c.yml", serverYaml("three"));
  folder.write("a/d.json", '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"demo"}}');
  folder.write("README.md", "# not a manifest");
  folder.write(".hidden.yaml", "a: [");
  folder.write("..data/x.yaml", "a: [");
  const snapshot = await read(folder);
  t.deepEqual(summaryOf(snapshot), {
    good: ["Namespace demo", "Server three", "Server one", "Server two"],
    broken: [],
    reports: [],
  });
  t.false(snapshot.unreadableAtStart);
  t.is(snapshot.revision, 1);
});

test("readFolder() reports file, document, line, object, path and reason", async (t) => {
  using folder = new TemporaryFolder();
  folder.write(
    "routes/web.yaml",
    `${serverYaml("one")}---\n${serverYaml("two", "eighty and more")}`,
  );
  const snapshot = await read(folder);
  t.deepEqual(snapshot.reports, [
    {
      file: "routes/web.yaml",
      document: 2,
      line: 21,
      object: "Server demo/two",
      path: "spec.port",
      reason:
        'must be a port number from 1 to 65535 or a port name (1 to 15 of a-z, 0-9 and -, at least one letter), is "eighty and more"',
      severity: "refused",
    },
  ]);
  t.deepEqual(summaryOf(snapshot), {
    good: ["Server one"],
    broken: ["Server two (routes/web.yaml#2)"],
    reports: [
      'refused: routes/web.yaml, document 2, line 21: Server demo/two: spec.port: must be a port number from 1 to 65535 or a port name (1 to 15 of a-z, 0-9 and -, at least one letter), is "eighty and more"',
    ],
  });
});

test("readFolder() gives a broken object its faults and what is left of its scope", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", serverYaml("one").replace("port: 80", "port: 80\n  accessPolicy: open"));
  const { broken } = await read(folder);
  t.deepEqual(broken, [
    {
      kind: "Server",
      group: "policy.linkerd.io",
      namespace: "demo",
      name: "one",
      faults: [
        {
          path: "spec.accessPolicy",
          reason:
            'must be "deny", "audit", "all-unauthenticated", "all-authenticated", "cluster-unauthenticated" or "cluster-authenticated", is "open"',
        },
      ],
      scope: {
        type: "workloads",
        workload: "pods",
        labels: { matchLabels: new Map([["app", "one"]]), matchExpressions: [] },
        port: 80,
      },
      source: "a.yaml#1",
    },
  ]);
});

test("readFolder() keeps a route in force whose rules are bad in part", async (t) => {
  using folder = new TemporaryFolder();
  folder.write(
    "route.yaml",
    `apiVersion: policy.linkerd.io/v1beta2
kind: HTTPRoute
metadata: {name: r, namespace: demo}
spec:
  parentRefs: [{group: core, kind: Service, name: web, port: 80}]
  rules:
  - matches: [{path: {value: a}}]
  - backendRefs: [{name: web, port: 80, wieght: 1}]
  - backendRefs: [{name: web, port: 80}]
`,
  );
  const snapshot = await read(folder);
  t.deepEqual(summaryOf(snapshot), {
    good: ["HTTPRoute r"],
    broken: [],
    reports: [
      'refused: route.yaml, document 1, line 7: HTTPRoute demo/r: spec.rules[0].matches[0].path.value: must start with "/", is "a"',
      'refused: route.yaml, document 1, line 8: HTTPRoute demo/r: spec.rules[1].backendRefs[0].wieght: is not a known field: did you mean "weight"?',
    ],
  });
  const [route] = snapshot.resources;
  t.deepEqual(route?.kind === "HTTPRoute" && route.rules.map(({ state }) => state), [
    "broken",
    "broken",
    "valid",
  ]);
});

test("readFolder() ignores kinds of others, and says so", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("app.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n");
  const { good, broken, reports } = summaryOf(await read(folder));
  t.deepEqual([good, broken], [[], []]);
  t.is(reports.length, 1);
  t.true(
    reports[0]?.startsWith(
      'ignored: app.yaml, document 1, line 1: Deployment: kind "Deployment" of "apps/v1" is not known to Weft, which knows ',
    ),
  );
});

test("readFolder() finds faults inside a List at their place", async (t) => {
  using folder = new TemporaryFolder();
  folder.write(
    "list.yaml",
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    nam: b\n",
  );
  t.deepEqual(summaryOf(await read(folder)), {
    good: ["Namespace a"],
    broken: [],
    reports: [
      "refused: list.yaml, document 1, line 9: Namespace: items[1].metadata.name: is required",
      'refused: list.yaml, document 1, line 10: Namespace: items[1].metadata.nam: is not a known field: did you mean "name"?',
    ],
  });
});

test("readFolder() counts the first of two objects of one name, and names both places", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("b.yaml", serverYaml("one", 81));
  folder.write("a.yaml", `${serverYaml("other")}---\n${serverYaml("one", 80)}`);
  folder.write("c.yaml", serverYaml("one").replace("v1beta3", "v1beta2"));
  const snapshot = await read(folder);
  t.deepEqual(summaryOf(snapshot), {
    good: ["Server other", "Server one"],
    broken: [],
    reports: [
      "refused: b.yaml, document 1, line 1: Server demo/one: is the second of its name, the first is in a.yaml#2, which counts: remove one",
      "refused: c.yaml, document 1, line 1: Server demo/one: is the second of its name, the first is in a.yaml#2, which counts: remove one",
    ],
  });
  const one = snapshot.resources.find(({ meta }) => meta.name === "one");
  t.is(one?.kind === "Server" && one.port, 80);
});

test("readFolder() tells routes of the two groups apart", async (t) => {
  using folder = new TemporaryFolder();
  for (const apiVersion of ["policy.linkerd.io/v1beta3", "gateway.networking.k8s.io/v1"]) {
    folder.write(
      `${apiVersion.replace("/", "-")}.yaml`,
      `apiVersion: ${apiVersion}\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {}\n`,
    );
  }
  t.deepEqual(summaryOf(await read(folder)), {
    good: ["HTTPRoute r", "HTTPRoute r"],
    broken: [],
    reports: [],
  });
});

test("readFolder() knows that nobody knows what an unreadable document held", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", `${serverYaml("one")}---\nkind: {\n`);
  const snapshot = await read(folder);
  t.true(snapshot.unreadableAtStart);
  t.deepEqual(summaryOf(snapshot).good, ["Server one"]);
  t.regex(
    summaryOf(snapshot).reports[0] ?? "",
    /^refused: a\.yaml, document 2, line 13: flow map /,
  );
});

test("readFolder() refuses a file that is too large, or is no text", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("big.yaml", `# ${"x".repeat(maxFileBytes)}`);
  folder.write("fits.yaml", `# ${"x".repeat(maxFileBytes - 2)}`);
  folder.write("bytes.yaml", Uint8Array.of(0x61, 0xff));
  const snapshot = await read(folder);
  t.true(snapshot.unreadableAtStart);
  t.deepEqual(summaryOf(snapshot).reports, [
    "refused: big.yaml: has 4194306 bytes, more than 4194304: split it",
    "refused: bytes.yaml: is not UTF-8 text: save it in that encoding",
  ]);
});

test("readFolder() refuses more files than its limit, and reads those below it", async (t) => {
  using folder = new TemporaryFolder();
  for (const name of ["a", "b", "c"]) folder.write(`${name}.yaml`, serverYaml(name));
  t.deepEqual(summaryOf(await read(folder, 3)).reports, []);
  const snapshot = await read(folder, 2);
  t.deepEqual(summaryOf(snapshot), {
    good: ["Server a", "Server b"],
    broken: [],
    reports: ['refused: .: holds 3 manifests, more than 2: those from "c.yaml" on are not read'],
  });
  t.true(snapshot.unreadableAtStart);
});

test("readFolder() follows links inside the folder, as a mounted ConfigMap has them, and no others", async (t) => {
  using folder = new TemporaryFolder();
  using outside = new TemporaryFolder();
  folder.write("..2024/web.yaml", serverYaml("web"));
  symlinkSync("..2024", join(folder.path, "..data"));
  symlinkSync("..data/web.yaml", join(folder.path, "web.yaml"));
  symlinkSync(outside.write("secret.yaml", serverYaml("secret")), join(folder.path, "secret.yaml"));
  symlinkSync(outside.path, join(folder.path, "elsewhere"));
  symlinkSync("nothing.yaml", join(folder.path, "dangling.yaml"));
  t.deepEqual(summaryOf(await read(folder)), {
    good: ["Server web"],
    broken: [],
    reports: [
      "ignored: elsewhere: is a link to a folder, which is not followed: copy the folder here",
      "ignored: secret.yaml: is a link out of the folder, which is not followed: copy the file",
    ],
  });
});

test("readFolder() says that the folder does not exist", async (t) => {
  using folder = new TemporaryFolder();
  const snapshot = await readFolder({ dir: join(folder.path, "none"), schemas });
  t.deepEqual(summaryOf(snapshot), {
    good: [],
    broken: [],
    reports: ["refused: .: does not exist: make the folder"],
  });
  t.false(snapshot.unreadableAtStart);
});

test("readFolder() knows that nobody knows what lies in a folder it cannot read", async (t) => {
  using folder = new TemporaryFolder();
  // Permissions would hide nothing from root, a file in the place of a folder hides it from everybody.
  const snapshot = await readFolder({ dir: folder.write("file", "x"), schemas });
  t.deepEqual(summaryOf(snapshot).reports, ["refused: .: cannot be read: ENOTDIR"]);
  t.true(snapshot.unreadableAtStart);
});

test("readFolder() reports what does not look at the object but at the text", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", serverYaml("one").replace("app: one", "app: on"));
  t.deepEqual(summaryOf(await read(folder)), {
    good: ["Server one"],
    broken: [],
    reports: [
      "warning: a.yaml, document 1, line 9: reads on as text, kubectl as true or false: quote it",
    ],
  });
});

test("readFolder() cuts the reports of one file short", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", "text\n---\n".repeat(1000));
  const { reports } = summaryOf(await read(folder));
  t.is(reports.length, 201);
  t.is(reports.at(-1), "refused: a.yaml: has 800 more reports");
});
