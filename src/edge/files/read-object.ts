/** One object of a document: checked by its schema, parsed, and told apart by how much of it can be used. */
import { type Scope, scopeOf, scopeOfResource } from "../../core/resource/broken.ts";
import { faultsOfRules } from "../../core/resource/http-route.ts";
import {
  describeKey,
  keyOf,
  type ObjectKey,
  parseResource,
  type Resource,
  typeOf,
} from "../../core/resource/resource.ts";
import type { Fault } from "../../core/std/result.ts";
import type { SchemaFault, SchemaSet } from "../schema/schema-set.ts";

export type ObjectReading = {
  /** Path, reason and severity of everything that should be said about the object. */
  readonly faults: readonly SchemaFault[];
  /** For people: `HTTPRoute demo/alternative`; as much as can be told. */
  readonly title: string;
} & (
  | {
      readonly state: "good";
      readonly key: ObjectKey;
      readonly scope: Scope;
      readonly resource: Resource;
    }
  | { readonly state: "broken"; readonly key: ObjectKey; readonly scope: Scope | undefined }
  /** Meant for us, but it does not say which object it is. */
  | { readonly state: "nameless" }
  /** A kind of somebody else. */
  | { readonly state: "foreign" }
);

export function readObject(json: unknown, schemas: SchemaSet): ObjectReading {
  const faults = schemas.check(json);
  const key = keyOf(json);
  if (faults.some(({ severity }) => severity === "ignored" || severity === "unserved")) {
    return { state: "foreign", faults, title: titleOf(json) };
  }
  if (!key.ok) return { state: "nameless", faults, title: titleOf(json) };
  const title = describeKey(key.value);
  const refused = faults.filter(({ severity }) => severity === "refused");
  const warnings = faults.filter(({ severity }) => severity === "warning");
  const parsed = parseResource(json, refused);
  if (!parsed.ok) {
    const all = [...parsed.faults.map(toRefusal), ...warnings];
    return { state: "broken", key: key.value, scope: scopeOf(json), faults: all, title };
  }
  return {
    state: "good",
    key: key.value,
    scope: scopeOfResource(parsed.value),
    resource: parsed.value,
    faults: [...faultsInside(parsed.value).map(toRefusal), ...warnings],
    title,
  };
}

/** A route is in force with the rules that are good, and says what is wrong with the others. */
function faultsInside(resource: Resource): readonly Fault[] {
  const { kind } = resource;
  return kind === "HTTPRoute" || kind === "GRPCRoute" ? faultsOfRules(resource.rules) : [];
}

function toRefusal(fault: Fault): SchemaFault {
  return { path: fault.path, reason: fault.reason, severity: "refused" };
}

function titleOf(json: unknown): string {
  const type = typeOf(json);
  return type.ok ? type.value.kind : "";
}
