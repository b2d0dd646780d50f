/** The definitions themselves: valid for an API server (structural schemas), alike where they should be, complete. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import test from "ava";
import { parse } from "yaml";
import { type KindVersion, readDefinitions } from "../../../src/edge/schema/crd.ts";
import { patternWords } from "../../../src/edge/schema/pattern-words.ts";
import { type JsonSchema, toStrictSchema } from "../../../src/edge/schema/strict-schema.ts";
import { definitionsDir } from "./definitions-folder.ts";

type Definition = {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string; readonly plural: string; readonly listKind: string };
    readonly versions: readonly { readonly name: string; readonly storage: boolean }[];
  };
};

const files = readdirSync(definitionsDir);
const versions = readDefinitions(definitionsDir);

test("readDefinitions() knows each kind and version", (t) => {
  t.deepEqual(
    versions.map(({ group, version, kind }) => `${group}/${version} ${kind}`),
    [
      "gateway.kgateway.dev/v1alpha1 Backend",
      "gateway.kgateway.dev/v1alpha1 DirectResponse",
      "gateway.networking.k8s.io/v1alpha2 GRPCRoute",
      "gateway.networking.k8s.io/v1 GRPCRoute",
      "gateway.networking.k8s.io/v1beta1 HTTPRoute",
      "gateway.networking.k8s.io/v1 HTTPRoute",
      "gateway.networking.k8s.io/v1alpha2 TCPRoute",
      "gateway.networking.k8s.io/v1 TCPRoute",
      "gateway.networking.k8s.io/v1alpha2 TLSRoute",
      "gateway.networking.k8s.io/v1alpha3 TLSRoute",
      "gateway.networking.k8s.io/v1 TLSRoute",
      "gateway.networking.x-k8s.io/v1alpha1 XBackendTrafficPolicy",
      "linkerd.io/v1alpha2 ServiceProfile",
      "policy.linkerd.io/v1alpha1 AuthorizationPolicy",
      "policy.linkerd.io/v1alpha1 EgressNetwork",
      "policy.linkerd.io/v1alpha1 HTTPLocalRateLimitPolicy",
      "policy.linkerd.io/v1alpha1 HTTPRoute",
      "policy.linkerd.io/v1beta1 HTTPRoute",
      "policy.linkerd.io/v1beta2 HTTPRoute",
      "policy.linkerd.io/v1beta3 HTTPRoute",
      "policy.linkerd.io/v1alpha1 MeshTLSAuthentication",
      "policy.linkerd.io/v1alpha1 NetworkAuthentication",
      "policy.linkerd.io/v1alpha1 ServerAuthorization",
      "policy.linkerd.io/v1beta1 ServerAuthorization",
      "policy.linkerd.io/v1alpha1 Server",
      "policy.linkerd.io/v1beta1 Server",
      "policy.linkerd.io/v1beta2 Server",
      "policy.linkerd.io/v1beta3 Server",
      "weft.dev/v1alpha1 HTTPFault",
      "weft.dev/v1alpha1 JWTAuthentication",
    ],
  );
});

test("readDefinitions() refuses a folder without definitions", (t) => {
  const dir = join(definitionsDir, "..", "..", "src", "core", "std");
  t.throws(() => readDefinitions(dir), { message: /no definitions \(\*\.yaml\) in/ });
});

for (const file of files) {
  const text = readFileSync(join(definitionsDir, file), "utf8");

  test(`${file} has no anchors, which not every tool takes`, (t) => {
    t.notRegex(text, /(^|\s)[&*][A-Za-z]\w*(\s|$)/m);
  });

  test(`${file} is named as Kubernetes wants it, with one version that is stored`, (t) => {
    const { metadata, spec } = parse(text) as Definition;
    t.is(metadata.name, `${spec.names.plural}.${spec.group}`);
    t.is(file, `${spec.group}_${spec.names.plural}.yaml`);
    t.is(spec.names.plural.toLowerCase(), spec.names.plural);
    t.is(spec.names.listKind, `${spec.names.kind}List`);
    t.is(spec.versions.filter(({ storage }) => storage).length, 1);
  });
}

function schemaOf(name: string): JsonSchema {
  const found = versions.find((one) => titleOf(one) === name);
  if (found === undefined) throw new Error(`Expected a definition of ${name}`);
  return found.schema;
}

function titleOf(one: KindVersion): string {
  return `${one.group}/${one.version} ${one.kind}`;
}

for (const [group, first, ...others] of [
  ["policy.linkerd.io", "v1beta3", "v1alpha1", "v1beta1", "v1beta2"],
  ["gateway.networking.k8s.io", "v1", "v1beta1"],
] as const) {
  for (const version of others) {
    test(`${group} HTTPRoute ${version} says what ${first} says`, (t) => {
      t.deepEqual(
        schemaOf(`${group}/${version} HTTPRoute`),
        schemaOf(`${group}/${first} HTTPRoute`),
      );
    });
  }
}

/** Every schema inside a schema, with its path. */
function* walk(schema: JsonSchema, path: string): Generator<[string, JsonSchema]> {
  yield [path, schema];
  const properties = (schema["properties"] ?? {}) as Record<string, JsonSchema>;
  for (const [name, inner] of Object.entries(properties)) yield* walk(inner, `${path}.${name}`);
  if (schema["items"] !== undefined) yield* walk(schema["items"] as JsonSchema, `${path}[]`);
  if (typeof schema["additionalProperties"] === "object") {
    yield* walk(schema["additionalProperties"] as JsonSchema, `${path}{}`);
  }
}

/** https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ (structural schema). */
for (const one of versions) {
  const schemas = [...walk(one.schema, "")];

  test(`${titleOf(one)} is a structural schema`, (t) => {
    for (const [path, schema] of schemas) {
      const isIntOrString = schema["x-kubernetes-int-or-string"] === true;
      t.is(typeof schema["type"], isIntOrString ? "undefined" : "string", path);
      for (const banned of [
        "$ref",
        "definitions",
        "dependencies",
        "uniqueItems",
        "patternProperties",
      ]) {
        t.false(banned in schema, `${path} ${banned}`);
      }
      t.false("properties" in schema && "additionalProperties" in schema, path);
      for (const branch of (schema["oneOf"] ?? []) as JsonSchema[]) {
        t.deepEqual(Object.keys(branch), ["required"], path);
      }
      for (const name of (schema["required"] ?? []) as string[]) {
        t.true(Object.hasOwn(schema["properties"] as object, name), `${path}.${name}`);
      }
      if (schema["x-kubernetes-list-type"] === "map") {
        const item = schema["items"] as JsonSchema;
        for (const key of schema["x-kubernetes-list-map-keys"] as string[]) {
          t.true((item["required"] as string[]).includes(key), `${path} ${key}`);
        }
      }
    }
    t.true(schemas.length > 8);
  });

  test(`${titleOf(one)} has defaults that pass their own schema`, (t) => {
    const ajv = new Ajv({
      strict: false,
      formats: { int32: true, int64: true, "date-time": true },
    });
    ajv.addKeyword({ keyword: "uniqueBy" });
    for (const [path, schema] of schemas) {
      if (!("default" in schema)) continue;
      t.true(ajv.validate(toStrictSchema(schema), schema["default"]), path);
    }
    t.pass();
  });

  test(`${titleOf(one)} has rules with messages, and patterns with words`, (t) => {
    for (const [path, schema] of schemas) {
      for (const rule of (schema["x-kubernetes-validations"] ?? []) as Record<string, string>[]) {
        t.true((rule["rule"] ?? "").includes("self"), path);
        t.true((rule["message"] ?? "").length > 10, path);
      }
      const pattern = schema["pattern"] as string | undefined;
      if (pattern !== undefined) t.not(patternWords(pattern), undefined, `${path} ${pattern}`);
    }
    t.pass();
  });
}
