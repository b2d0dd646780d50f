import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field } from "./field.ts";
import { type ObjectMeta, readClusterMeta } from "./object-meta.ts";

export type Namespace = {
  readonly kind: "Namespace";
  readonly group: "";
  readonly meta: ObjectMeta;
};

export function parseNamespace(json: unknown, known: readonly Fault[] = []): Result<Namespace> {
  const list = new FaultList(known);
  const meta = readClusterMeta(new Field(json, list).at("metadata"), "dns-label");
  return list.settle({ kind: "Namespace", group: "", meta });
}
