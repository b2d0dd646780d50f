/**
 * Kubernetes' structural schemas (OpenAPI v3 with `x-kubernetes-` marks) as JSON Schema for the checker, with one
 * addition: an object that lists its fields takes no others. An API server drops what it does not know; here that is
 * an error, because a policy with a misspelt field does something else than what was meant.
 */
import type { SchemaObject } from "ajv";

export type JsonSchema = SchemaObject;

/** Parts of a schema that say nothing about validity. */
const ignored: ReadonlySet<string> = new Set([
  "description",
  "default",
  "example",
  // Rules in CEL are executed by the parsers of core/resource, which say more about what is wrong.
  "x-kubernetes-validations",
  "x-kubernetes-int-or-string",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "nullable",
]);

/** Below these stand maps from names to schemas, where a name is never a mark. */
const namedSchemas: ReadonlySet<string> = new Set(["properties", "patternProperties"]);

/** Below these stand conditions on an object whose fields are listed elsewhere. */
const conditions: ReadonlySet<string> = new Set(["oneOf", "anyOf", "allOf", "not"]);

export function toStrictSchema(schema: JsonSchema): JsonSchema {
  const strict: JsonSchema = {};
  for (const [key, value] of Object.entries(schema) as [string, unknown][]) {
    if (ignored.has(key)) continue;
    strict[key] = convert(key, value);
  }
  if (schema["x-kubernetes-int-or-string"] === true) strict["type"] = ["integer", "string"];
  if (schema["nullable"] === true) strict["type"] = [strict["type"], "null"].flat();
  if (schema["x-kubernetes-list-type"] === "set") strict["uniqueBy"] = [];
  if (schema["x-kubernetes-list-type"] === "map") {
    strict["uniqueBy"] = schema["x-kubernetes-list-map-keys"];
  }
  const keepsUnknown = schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (schema["properties"] !== undefined && !keepsUnknown) strict["additionalProperties"] ??= false;
  return strict;
}

function convert(key: string, value: unknown): unknown {
  if (conditions.has(key) || typeof value !== "object" || value === null) return value;
  if (namedSchemas.has(key)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, schema]) => [name, toStrictSchema(schema as JsonSchema)]),
    );
  }
  return key === "items" || key === "additionalProperties"
    ? toStrictSchema(value as JsonSchema)
    : value;
}
