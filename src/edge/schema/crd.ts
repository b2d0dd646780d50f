/** CustomResourceDefinitions: which kinds and versions they define, and by which schema. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { FaultList, Field } from "../../core/resource/field.ts";
import { describeFaults, type Result } from "../../core/std/result.ts";
import type { JsonSchema } from "./strict-schema.ts";

/** One version of one kind that can be checked. */
export type KindVersion = {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** OpenAPI v3, as the definition has it. */
  readonly schema: JsonSchema;
  /** What to tell people who still use this version; empty when it is not deprecated. */
  readonly deprecation: string;
};

/** Throws when the folder cannot be read or holds anything but definitions: it is part of the program. */
export function readDefinitions(dir: string): readonly KindVersion[] {
  const files = readdirSync(dir).filter((name) => name.endsWith(".yaml"));
  if (files.length === 0) {
    throw new Error(`Cannot check resources: no definitions (*.yaml) in ${JSON.stringify(dir)}`);
  }
  return files.toSorted().flatMap((name) => {
    const path = join(dir, name);
    const definition = parseDefinition(parse(readFileSync(path, "utf8"), { uniqueKeys: false }));
    if (definition.ok) return definition.value;
    throw new Error(`Cannot read definition ${path}: ${describeFaults(definition.faults)}`);
  });
}

function parseDefinition(json: unknown): Result<readonly KindVersion[]> {
  const list = new FaultList();
  const root = new Field(json, list);
  root.at("kind").required().choice(["CustomResourceDefinition"], "CustomResourceDefinition");
  const spec = root.at("spec").required();
  const group = spec.at("group").text();
  const kind = spec.at("names").at("kind").text();
  const versions = spec
    .at("versions")
    .required()
    .items()
    .filter((item) => item.at("served").flag(false))
    .map((item) => ({ group, kind, ...readVersion(item, `${group} ${kind}`) }));
  return list.settle(versions);
}

function readVersion(
  field: Field,
  title: string,
): Pick<KindVersion, "version" | "schema" | "deprecation"> {
  const version = field.at("name").text();
  const warning = field.at("deprecationWarning").optionalText();
  const isDeprecated = field.at("deprecated").flag(false);
  const schema = field.at("schema").at("openAPIV3Schema").required().json;
  return {
    version,
    // The schema itself is not ours to check: its compiler does that.
    schema: schema as JsonSchema,
    deprecation: isDeprecated ? (warning ?? `${title} ${version} is deprecated`) : "",
  };
}
