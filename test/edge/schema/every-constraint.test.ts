/** Each constraint of each definition, broken one at a time in an object that has every field. */
import test from "ava";
import { joinPath, splitPath } from "../../../src/core/resource/field.ts";
import { type KindVersion, readDefinitions } from "../../../src/edge/schema/crd.ts";
import { metadataSchema } from "../../../src/edge/schema/metadata-schema.ts";
import type { JsonSchema } from "../../../src/edge/schema/strict-schema.ts";
import { definitionSchemas, definitionsDir } from "./definitions-folder.ts";

/** One text that matches, for patterns that "a" does not. */
const matching: Readonly<Record<string, string>> = {
  duration: "10s",
  origin: "https://a.example:8443",
  account: "123456789012",
};

function textFor(schema: JsonSchema): string {
  const pattern = schema["pattern"] as string | undefined;
  if (schema["format"] === "date-time") return "2024-01-01T00:00:00Z";
  const candidates = ["a", ...Object.values(matching)];
  const found = candidates.find(
    (text) => pattern === undefined || new RegExp(pattern, "u").test(text),
  );
  if (found === undefined) throw new Error(`Expected a text for ${String(pattern)}`);
  return found;
}

function propertiesOf(schema: JsonSchema): [string, JsonSchema][] {
  const branches = (schema["oneOf"] ?? []) as { required: string[] }[];
  const left = new Set(branches.slice(1).flatMap(({ required }) => required));
  return Object.entries((schema["properties"] ?? {}) as Record<string, JsonSchema>).filter(
    ([name]) => !left.has(name),
  );
}

/** An object with every field; of a oneOf, the first branch. */
function full(schema: JsonSchema): unknown {
  if (schema["x-kubernetes-int-or-string"] === true) return 80;
  if (schema["enum"] !== undefined) return (schema["enum"] as unknown[])[0];
  switch (schema["type"]) {
    case "string":
      return textFor(schema);
    case "integer":
    case "number":
      return (schema["minimum"] as number | undefined) ?? 1;
    case "boolean":
      return true;
    case "array":
      return [full(schema["items"] as JsonSchema)];
    default:
      return Object.fromEntries([
        ...propertiesOf(schema).map(([name, inner]) => [name, full(inner)]),
        ...(schema["additionalProperties"] === undefined
          ? []
          : [["key", full(schema["additionalProperties"] as JsonSchema)]]),
      ]);
  }
}

type Break = {
  readonly path: string;
  readonly value: unknown;
  readonly at: string;
  readonly reason: RegExp;
};

const absent = Symbol("absent");

function* breaksOf(schema: JsonSchema, path: string): Generator<Break> {
  const here = (value: unknown, reason: RegExp): Break => ({ path, value, at: path, reason });
  const good = full(schema);
  const wrong = typeof good === "object" ? 7 : {};
  yield here(wrong, /^must be .*, is (7|an object)$/);
  yield here(null, /is null: give it a value or remove the field$/);
  if (schema["enum"] !== undefined) yield here("Q", /^must be .*, is "Q"$/);
  if (schema["pattern"] !== undefined) yield here("\u0000", /^must .*, is "\\u0000"$/);
  if (schema["format"] === "date-time") yield here("soon", /^must be a time like .*, is "soon"$/);
  const { minLength, maxLength, minimum, maximum, minItems, maxItems } = schema as Record<
    string,
    number | undefined
  >;
  if (minLength !== undefined) yield here("", /^must not be empty$/);
  if (maxLength !== undefined) {
    yield here(
      "a".repeat(maxLength + 1),
      new RegExp(`^must have at most ${maxLength} characters, has ${maxLength + 1}$`),
    );
  }
  if (minimum !== undefined)
    yield here(minimum - 1, new RegExp(`^must be at least ${minimum}, is`));
  if (maximum !== undefined) yield here(maximum + 1, new RegExp(`^must be at most ${maximum}, is`));
  if (schema["format"] === "int32")
    yield here(2 ** 31, /^must (fit into int32|be at most \d+), is/);
  if (minItems !== undefined) yield here([], /^must have at least one entry$/);
  yield* breaksOfList(schema, path, maxItems);
  yield* breaksOfObject(schema, path);
}

function* breaksOfList(
  schema: JsonSchema,
  path: string,
  maxItems: number | undefined,
): Generator<Break> {
  if (schema["type"] !== "array") return;
  const item = full(schema["items"] as JsonSchema);
  if (maxItems !== undefined) {
    const many = Array.from({ length: maxItems + 1 }, () => item);
    yield {
      path,
      value: many,
      at: path,
      reason: new RegExp(`^must have at most ${maxItems} entries, has ${maxItems + 1}$`),
    };
  }
  if (["set", "map"].includes(schema["x-kubernetes-list-type"] as string)) {
    yield {
      path,
      value: [item, item],
      at: path,
      reason: /^must not repeat an entry, .* stands twice$/,
    };
  }
  yield* breaksOf(schema["items"] as JsonSchema, `${path}[0]`);
}

function* breaksOfObject(schema: JsonSchema, path: string): Generator<Break> {
  if (schema["type"] !== "object") return;
  const additional = schema["additionalProperties"] as JsonSchema | undefined;
  if (additional !== undefined) yield* breaksOf(additional, joinPath(path, "key"));
  if (schema["properties"] === undefined) return;
  const unknown = joinPath(path, "zzz");
  yield {
    path: unknown,
    value: 1,
    at: unknown,
    reason: /^is not a known field: (known are|there are none)/,
  };
  for (const name of (schema["required"] ?? []) as string[]) {
    const at = joinPath(path, name);
    yield { path: at, value: absent, at, reason: /^is required$/ };
  }
  const branches = (schema["oneOf"] ?? []) as { required: string[] }[];
  for (const [index, { required }] of branches.entries()) {
    const name = joinPath(path, required[0] ?? "");
    const inner = (schema["properties"] as Record<string, JsonSchema>)[required[0] ?? ""] ?? {};
    const value = index === 0 ? absent : full(inner);
    yield { path: name, value, at: path, reason: /^must have exactly one of \w+ and \w+$/ };
  }
  for (const [name, inner] of propertiesOf(schema)) yield* breaksOf(inner, joinPath(path, name));
}

function spoil(json: unknown, path: string, value: unknown): unknown {
  const copy = structuredClone(json);
  const steps = [...splitPath(path)];
  const last = steps.pop() ?? "";
  const parent = steps.reduce((at, step) => (at as Record<string | number, unknown>)[step], copy);
  const target = parent as Record<string | number, unknown>;
  if (value === absent) delete target[last];
  else target[last] = value;
  return copy;
}

/** What every object says of itself, around the parts that are under test. */
function objectOf(one: KindVersion): Record<string, unknown> {
  const object = full(one.schema) as Record<string, unknown>;
  return {
    ...object,
    apiVersion: `${one.group}/${one.version}`,
    kind: one.kind,
    metadata: { name: "a" },
  };
}

const schemas = definitionSchemas();

for (const one of readDefinitions(definitionsDir)) {
  test(`each constraint of ${one.group}/${one.version} ${one.kind} refuses something`, (t) => {
    const object = objectOf(one);
    const refused = schemas.check(object).filter(({ severity }) => severity === "refused");
    t.deepEqual(refused, []);
    let count = 0;
    const properties = one.schema["properties"] as Record<string, JsonSchema>;
    for (const part of ["spec", "status"]) {
      for (const { path, value, at, reason } of breaksOf(properties[part] ?? {}, part)) {
        if (properties[part] === undefined) break;
        const faults = schemas.check(spoil(object, path, value));
        const found = faults.some((fault) => fault.path === at && reason.test(fault.reason));
        t.true(found, `${path} ${reason}: ${JSON.stringify(faults)}`);
        count++;
      }
    }
    t.true(count > 10, `${count} constraints`);
  });
}

test("each constraint of metadata refuses something", (t) => {
  const [one] = readDefinitions(definitionsDir);
  if (one === undefined) return t.fail();
  const object = {
    ...objectOf(one),
    metadata: full({ ...metadataSchema, properties: withoutLists() }),
  };
  t.deepEqual(schemas.check(object), []);
  let count = 0;
  const schema = { ...metadataSchema, properties: withoutLists() };
  for (const { path, value, at, reason } of breaksOf(schema, "metadata")) {
    // Nothing but the name has to be there, and null is the same as absent.
    if (value === null && !["metadata", "metadata.name"].includes(path)) continue;
    const faults = schemas.check(spoil(object, path, value));
    const found = faults.some((fault) => fault.path === at && reason.test(fault.reason));
    t.true(found, `${path} ${reason}: ${JSON.stringify(faults)}`);
    count++;
  }
  t.true(count > 15, `${count} constraints`);
});

/** Lists that the API server alone writes are not looked into. */
function withoutLists(): Record<string, JsonSchema> {
  const all = Object.entries(metadataSchema["properties"] as Record<string, JsonSchema>);
  return Object.fromEntries(all.filter(([, schema]) => schema["type"] !== "array"));
}
