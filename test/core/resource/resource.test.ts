import test from "ava";
import fc from "fast-check";
import { scopeOf } from "../../../src/core/resource/broken.ts";
import { describeKey, keyOf, parseResource, typeOf } from "../../../src/core/resource/resource.ts";
import { edit, everyManifest, faultsOf, nameOf, namespace, parsed, server } from "./manifests.ts";

for (const manifest of everyManifest) {
  test(`parseResource() finds the parser of ${nameOf(manifest)}`, (t) => {
    const resource = parsed(parseResource(manifest));
    t.is(resource.kind as unknown, manifest["kind"]);
    t.is(parsed(keyOf(manifest)).group, resource.group);
    t.deepEqual(parsed(keyOf(manifest)).name, resource.meta.name);
    t.deepEqual(parsed(keyOf(manifest)).namespace, resource.meta.namespace);
  });
}

for (const [json, faults] of [
  [
    { apiVersion: "apps/v1", kind: "Deployment" },
    ['kind: must be a kind known to Weft, is "Deployment"'],
  ],
  [
    { apiVersion: "other.example/v1", kind: "Server" },
    ['kind: must be a kind known to Weft, is "Server"'],
  ],
  [
    { apiVersion: "v1", kind: "constructor" },
    ['kind: must be a kind known to Weft, is "constructor"'],
  ],
  [{ kind: "Server" }, ["apiVersion: is required"]],
  [{}, ["apiVersion: is required", "kind: is required"]],
  [[], [": must be an object, is a list"]],
  ["text", [': must be an object, is "text"']],
] as const) {
  test(`parseResource() refuses ${JSON.stringify(json)}`, (t) => {
    t.deepEqual(faultsOf(parseResource(json)), faults);
  });
}

test("parseResource() refuses an object with faults that a schema found", (t) => {
  const known = [{ path: "spec.x", reason: "is not a known field" }];
  t.deepEqual(faultsOf(parseResource(server, known)), ["spec.x: is not a known field"]);
});

test("parseResource() does not repeat what a schema found", (t) => {
  const known = [{ path: "spec.port", reason: "is missing" }];
  t.deepEqual(faultsOf(parseResource(edit(server, "spec.port", undefined), known)), [
    "spec.port: is missing",
  ]);
});

test("keyOf() wants a name, and nothing else of the object", (t) => {
  t.deepEqual(parsed(keyOf({ ...server, spec: 7 })), {
    kind: "Server",
    group: "policy.linkerd.io",
    namespace: "demo",
    name: "web-http",
  });
  t.deepEqual(faultsOf(keyOf(edit(server, "metadata.name", undefined))), [
    "metadata.name: is required",
  ]);
});

test("typeOf() splits the group from the version", (t) => {
  t.deepEqual(parsed(typeOf(server)), {
    group: "policy.linkerd.io",
    version: "v1beta3",
    kind: "Server",
  });
  t.deepEqual(parsed(typeOf(namespace)), { group: "", version: "v1", kind: "Namespace" });
});

test("describeKey() names the namespace where there is one", (t) => {
  t.is(describeKey(parsed(keyOf(server))), "Server demo/web-http");
  t.is(describeKey(parsed(keyOf(namespace))), "Namespace demo");
});

const anyJson = fc.jsonValue({ maxDepth: 4 });

test("parseResource() answers for any JSON in place of any part of any object", (t) => {
  const paths = ["metadata", "spec", "status", "endpoints", "ports"];
  fc.assert(
    fc.property(
      fc.constantFrom(...everyManifest),
      fc.constantFrom(...paths),
      anyJson,
      (one, path, json) => {
        const spoilt = edit(one, path, json);
        t.is(typeof parseResource(spoilt).ok, "boolean");
        scopeOf(spoilt);
      },
    ),
    { numRuns: 500 },
  );
});

/** Every path of an object, with lists by their positions. */
function pathsOf(json: unknown, path = ""): readonly string[] {
  if (Array.isArray(json)) return json.flatMap((item, index) => pathsOf(item, `${path}[${index}]`));
  if (typeof json !== "object" || json === null) return [path];
  return Object.entries(json).flatMap(([key, value]) => {
    const inner = path === "" ? key : `${path}["${key}"]`;
    return [inner, ...pathsOf(value, inner)];
  });
}

test("parseResource() answers for any JSON in place of any field", (t) => {
  const places = everyManifest.flatMap((one) => pathsOf(one).map((path) => [one, path] as const));
  fc.assert(
    fc.property(fc.constantFrom(...places), anyJson, ([one, path], json) => {
      const spoilt = edit(one, path, json);
      t.is(typeof parseResource(spoilt).ok, "boolean");
      scopeOf(spoilt);
    }),
    { numRuns: 1000 },
  );
});

test("parseResource() answers for any JSON at all", (t) => {
  fc.assert(fc.property(anyJson, (json) => t.false(parseResource(json).ok)));
});
