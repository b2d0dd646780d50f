/** Checks objects against the schemas of their kinds: those of the definitions in a folder, and those every cluster has. */
import { Ajv, type ErrorObject, type SchemaValidateFunction, type ValidateFunction } from "ajv";
import { isRecord, quote } from "../../core/resource/field.ts";
import { keyOf, typeOf } from "../../core/resource/resource.ts";
import { type Fault, fault } from "../../core/std/result.ts";
import { coreKinds } from "./core-kinds.ts";
import { type KindVersion, readDefinitions } from "./crd.ts";
import { toFault } from "./error-text.ts";
import { metadataSchema } from "./metadata-schema.ts";
import { type JsonSchema, toStrictSchema } from "./strict-schema.ts";
import { suggest } from "./suggestion.ts";
import { insteadOf } from "./unserved-kinds.ts";

/** What a fault means for the object: it is not in force, it is of a kind that others serve and we do not, it is none of ours, or it works but should be changed. */
export type Severity = "refused" | "unserved" | "ignored" | "warning";

export type SchemaFault = Fault & { readonly severity: Severity };

/** More help nobody who made so many mistakes; and a hostile file must not fill the memory with reports. */
export const maxFaultsPerObject = 50;

export function loadSchemas(dir: string): SchemaSet {
  return new SchemaSet([...readDefinitions(dir), ...coreKinds]);
}

type Prepared = { readonly strict: JsonSchema; readonly validate: ValidateFunction };

export class SchemaSet {
  readonly #ajv: Ajv;
  readonly #versions: ReadonlyMap<string, KindVersion>;
  /** By the text of the schema, because versions of a kind often share it and compiling is what costs. */
  readonly #compiled = new Map<string, Prepared>();
  /** Even the text takes a millisecond to make, and a folder may hold ten thousand objects of one version. */
  readonly #prepared = new Map<KindVersion, Prepared>();

  constructor(versions: readonly KindVersion[]) {
    this.#ajv = makeAjv();
    this.#versions = new Map(versions.map((one) => [keyOfVersion(one), one]));
  }

  /** Kinds as `policy.linkerd.io/v1beta3 Server`. */
  get known(): readonly string[] {
    return [...this.#versions.keys()];
  }

  /** Never throws, whatever the object is. */
  check(object: unknown): readonly SchemaFault[] {
    const type = typeOf(object);
    if (!type.ok) return type.faults.map(refused);
    const version = this.#versions.get(keyOfVersion(type.value));
    if (version === undefined) return [this.#describeUnknown(type.value)];
    const faults = this.#validate(object, version).map(refused);
    if (version.deprecation === "") return faults;
    return [...faults, { ...fault("apiVersion", version.deprecation), severity: "warning" }];
  }

  #validate(object: unknown, version: KindVersion): readonly Fault[] {
    const { strict, validate } = this.#prepare(version);
    const isValid = validate(object);
    const faults = isValid ? [] : readErrors(validate.errors ?? [], strict, object);
    return [...faults, ...identityFaults(object, faults)];
  }

  #prepare(version: KindVersion): Prepared {
    const known = this.#prepared.get(version);
    if (known !== undefined) return known;
    const strict = strictSchemaOf(version);
    const text = JSON.stringify(strict);
    const prepared = this.#compiled.get(text) ?? { strict, validate: this.#ajv.compile(strict) };
    this.#compiled.set(text, prepared);
    this.#prepared.set(version, prepared);
    return prepared;
  }

  /**
   * A kind of somebody else is none of our business. A version we cannot read of a kind of ours is: the object was
   * meant to be in force; and so is a kind that is ours but for a slip.
   */
  #describeUnknown(type: {
    readonly group: string;
    readonly version: string;
    readonly kind: string;
  }): SchemaFault {
    const apiVersion = apiVersionOf(type);
    const all = [...this.#versions.values()];
    const sameKind = all.filter(({ group, kind }) => group === type.group && kind === type.kind);
    if (sameKind.length > 0) {
      const versions = sameKind.map(apiVersionOf).join(", ");
      const reason = `is a version of ${type.kind} that is not known to Weft: use one of ${versions}`;
      return { ...fault("apiVersion", reason), severity: "refused" };
    }
    const instead = insteadOf(type.group, type.kind);
    if (instead !== undefined) {
      const what = `kind ${quote(type.kind)} of ${quote(apiVersion)} is not served by Weft`;
      return { ...fault("", `${what}: ${instead}`), severity: "unserved" };
    }
    const subject = `kind ${quote(type.kind)} of ${quote(apiVersion)} is not known to Weft`;
    const kinds = [...new Set(all.map(({ kind }) => kind))];
    // One slip at most: TCPRoute is two away from HTTPRoute, and no misspelling of it.
    const near = suggest(type.kind, kinds, 1);
    if (near !== undefined && near !== type.kind) {
      return { ...fault("", `${subject}: did you mean "${near}"?`), severity: "refused" };
    }
    return { ...fault("", `${subject}, which knows ${kinds.join(", ")}`), severity: "ignored" };
  }
}

function readErrors(
  errors: readonly ErrorObject[],
  schema: JsonSchema,
  object: unknown,
): readonly Fault[] {
  const found = new Map<string, Fault>();
  for (const [index, error] of errors.entries()) {
    if (found.size === maxFaultsPerObject) {
      const rest = fault("", `has about ${errors.length - index} more faults`);
      return [...found.values(), rest];
    }
    const one = toFault(error, schema, object);
    if (one !== undefined) found.set(`${one.path}\n${one.reason}`, one);
  }
  return [...found.values()];
}

function makeAjv(): Ajv {
  const ajv = new Ajv({
    allErrors: true,
    verbose: true,
    // Structural schemas use marks and combinations that the strict mode warns about.
    strict: false,
    formats: {
      "date-time": /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
      int32: { type: "number", validate: (value: number) => Math.abs(value) <= 2 ** 31 - 1 },
      int64: { type: "number", validate: (value: number) => Number.isSafeInteger(value) },
    },
  });
  ajv.addKeyword({
    keyword: "uniqueBy",
    type: "array",
    schemaType: "array",
    validate: checkUnique,
  });
  return ajv;
}

/** Kubernetes' lists of type set (no keys) and map (some keys): no two entries may agree on them. */
const checkUnique: SchemaValidateFunction = (
  keys: readonly string[],
  items: readonly unknown[],
): boolean => {
  const seen = new Set<string>();
  for (const item of items) {
    const value = uniquePartOf(item, keys);
    // An entry without its key is a fault of its own.
    if (value === undefined) continue;
    const text = JSON.stringify(value);
    if (seen.has(text)) {
      checkUnique.errors = [{ keyword: "uniqueBy", params: { repeated: value } }];
      return false;
    }
    seen.add(text);
  }
  return true;
};

function uniquePartOf(item: unknown, keys: readonly string[]): unknown {
  if (keys.length === 0 || !isRecord(item)) return item;
  const [first = "", ...others] = keys;
  return others.length === 0 ? item[first] : keys.map((key) => item[key]);
}

function strictSchemaOf(version: KindVersion): JsonSchema {
  const strict = toStrictSchema(version.schema);
  const properties = { ...strict["properties"], metadata: toStrictSchema(metadataSchema) };
  return {
    ...strict,
    required: [...new Set(["metadata", ...(strict["required"] ?? [])])],
    properties,
  };
}

/** Names that DNS cannot carry (RFC 1123), where the schema has not found the field to be of a wrong type already. */
function identityFaults(object: unknown, found: readonly Fault[]): readonly Fault[] {
  const key = keyOf(object);
  if (key.ok) return [];
  const paths = new Set(found.map(({ path }) => path));
  return key.faults.filter(({ path }) => path.startsWith("metadata") && !paths.has(path));
}

function refused(one: Fault): SchemaFault {
  return { ...one, severity: "refused" };
}

function keyOfVersion(one: Pick<KindVersion, "group" | "version" | "kind">): string {
  return `${apiVersionOf(one)} ${one.kind}`;
}

function apiVersionOf(one: Pick<KindVersion, "group" | "version">): string {
  return one.group === "" ? one.version : `${one.group}/${one.version}`;
}
