/** The definitions that the chart brings, as files and as schemas. */
import { fileURLToPath } from "node:url";
import { loadSchemas, type SchemaSet } from "../../../src/edge/schema/schema-set.ts";

export const definitionsDir: string = fileURLToPath(
  new URL("../../../chart/crds/", import.meta.url),
);

export function definitionSchemas(): SchemaSet {
  return loadSchemas(definitionsDir);
}
