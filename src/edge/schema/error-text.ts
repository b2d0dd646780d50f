/** Errors of the schema checker in plain words: where, what is wanted, what is there, and the likely mistake. */
import type { ErrorObject } from "ajv";
import { isRecord, joinPath, listChoices, quote } from "../../core/resource/field.ts";
import { type Fault, fault } from "../../core/std/result.ts";
import { patternWords } from "./pattern-words.ts";
import type { JsonSchema } from "./strict-schema.ts";
import { suggest } from "./suggestion.ts";

const typeNames: Readonly<Record<string, string>> = {
  string: "text",
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
};

/** Undefined for an error that another one of the same object already tells in full. */
export function toFault(error: ErrorObject, schema: JsonSchema, root: unknown): Fault | undefined {
  // Branches of a oneOf fail one by one; the oneOf itself is what people understand. A field may bear one of these names.
  if (/(?<!\/properties)\/(oneOf|anyOf|not)\//.test(error.schemaPath)) return undefined;
  if (error.keyword === "oneOf" && !isRecord(error.data)) return undefined;
  const steps = stepsOf(error.instancePath, root);
  const path = pathOf(steps);
  switch (error.keyword) {
    case "required":
      return fault(joinPath(path, String(error.params["missingProperty"])), "is required");
    case "additionalProperties": {
      const name = String(error.params["additionalProperty"]);
      return fault(joinPath(path, name), describeUnknown(name, { error, schema, steps }));
    }
    case "type":
      return fault(path, describeType(error));
    default:
      return fault(path, describeValue(error));
  }
}

function describeUnknown(
  name: string,
  context: {
    readonly error: ErrorObject;
    readonly schema: JsonSchema;
    readonly steps: readonly (string | number)[];
  },
): string {
  const own = fieldsOf(context.error.parentSchema);
  const near = suggest(name, own);
  if (near !== undefined) return `is not a known field: did you mean "${near}"?`;
  const home = homeOf(name, context.schema, context.steps);
  if (home !== undefined) {
    const where = home === "" ? "the object itself" : `"${home}"`;
    return `is not a known field here, it is one of ${where}: check the indentation`;
  }
  const known = own.length === 0 ? "there are none here" : `known are ${own.join(", ")}`;
  return `is not a known field: ${known}`;
}

/** The nearest enclosing object that has such a field. */
function homeOf(
  name: string,
  schema: JsonSchema,
  steps: readonly (string | number)[],
): string | undefined {
  let home: string | undefined;
  let at: JsonSchema | undefined = schema;
  for (const [depth, step] of steps.entries()) {
    if (at === undefined) break;
    if (typeof step === "string" && fieldsOf(at).includes(name))
      home = pathOf(steps.slice(0, depth));
    at = below(at, step);
  }
  return home;
}

function below(schema: JsonSchema, step: string | number): JsonSchema | undefined {
  if (typeof step === "number") return schema["items"] as JsonSchema | undefined;
  const properties = schema["properties"] as Readonly<Record<string, JsonSchema>> | undefined;
  return properties?.[step];
}

function fieldsOf(schema: Readonly<Record<string, unknown>> | undefined): readonly string[] {
  return Object.keys((schema?.["properties"] as object | undefined) ?? {});
}

function describeType(error: ErrorObject): string {
  const wanted = [error.params["type"] as string | readonly string[]].flat();
  const names = wanted.filter((type) => type !== "null").map((type) => typeNames[type] ?? type);
  const text = `must be ${names.join(" or ")}, is ${quote(error.data)}`;
  if (error.data === null) return `${text}: give it a value or remove the field`;
  const isScalar = typeof error.data === "number" || typeof error.data === "boolean";
  if (isScalar && wanted.includes("string")) {
    return `${text}: put it in quotes ("${String(error.data)}")`;
  }
  const isQuotedNumber = typeof error.data === "string" && /^-?\d+$/.test(error.data);
  if (isQuotedNumber && wanted.includes("integer")) return `${text}: remove the quotes`;
  return text;
}

function describeValue(error: ErrorObject): string {
  const is = `is ${quote(error.data)}`;
  const limit = String(error.params["limit"]);
  switch (error.keyword) {
    case "enum":
      return describeChoice(
        error.params["allowedValues"] as readonly (string | number)[],
        error.data,
      );
    case "pattern":
      return `must ${describePattern(String(error.params["pattern"]))}, ${is}`;
    case "format":
      return error.params["format"] === "date-time"
        ? `must be a time like "2006-01-02T15:04:05Z" (RFC 3339), ${is}`
        : `must fit into ${String(error.params["format"])}, ${is}`;
    case "minimum":
      return `must be at least ${limit}, ${is}`;
    case "maximum":
      return `must be at most ${limit}, ${is}`;
    case "minLength":
      return limit === "1" ? "must not be empty" : `must have at least ${limit} characters, ${is}`;
    case "maxLength":
      return `must have at most ${limit} characters, has ${lengthOf(error.data)}`;
    case "minItems":
      return limit === "1"
        ? "must have at least one entry"
        : `must have at least ${limit} entries, has ${lengthOf(error.data)}`;
    case "maxItems":
      return `must have at most ${limit} entries, has ${lengthOf(error.data)}`;
    case "uniqueBy":
      return `must not repeat an entry, ${quote(error.params["repeated"])} stands twice`;
    case "oneOf":
      return describeOneOf(error.schema as readonly JsonSchema[]);
    default:
      return `${error.message ?? "is not valid"}, ${is}`;
  }
}

function describePattern(pattern: string): string {
  return patternWords(pattern) ?? `match ${pattern}`;
}

function describeChoice(allowed: readonly (string | number)[], value: unknown): string {
  const near = typeof value === "string" ? suggest(value, allowed.map(String)) : undefined;
  const hint = near === undefined ? "" : `: did you mean "${near}"?`;
  return `must be ${listChoices(allowed)}, is ${quote(value)}${hint}`;
}

/** Structural schemas use oneOf only to choose between fields. */
function describeOneOf(branches: readonly JsonSchema[]): string {
  const fields = branches.flatMap(
    (branch) => (branch["required"] as readonly string[] | undefined) ?? [],
  );
  return `must have exactly one of ${fields.join(" and ")}`;
}

function lengthOf(data: unknown): number {
  return typeof data === "string" || Array.isArray(data) ? data.length : 0;
}

/** A JSON pointer (RFC 6901) as steps, with list positions as numbers. */
function stepsOf(pointer: string, root: unknown): readonly (string | number)[] {
  let at = root;
  return pointer
    .split("/")
    .slice(1)
    .map((raw) => {
      const name = raw.replaceAll("~1", "/").replaceAll("~0", "~");
      if (Array.isArray(at)) {
        at = at[Number(name)] as unknown;
        return Number(name);
      }
      at = isRecord(at) ? at[name] : undefined;
      return name;
    });
}

function pathOf(steps: readonly (string | number)[]): string {
  return steps.reduce<string>(
    (path, step) => (typeof step === "number" ? `${path}[${step}]` : joinPath(path, step)),
    "",
  );
}
