import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field, type Range } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

/** An answer that a rule gives in place of a backend (kgateway). A filter of the rule refers to it. */
export type DirectResponse = {
  readonly kind: "DirectResponse";
  readonly group: "gateway.kgateway.dev";
  readonly meta: ObjectMeta;
  readonly status: number;
  /** Empty: an answer without a body. */
  readonly body: string;
};

const statusRange: Range = { min: 200, max: 599 };

/** Of kgateway's definition. */
const maxBodyLength = 4_096;

export function parseDirectResponse(
  json: unknown,
  known: readonly Fault[] = [],
): Result<DirectResponse> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  return list.settle({
    kind: "DirectResponse",
    group: "gateway.kgateway.dev",
    meta: readMeta(root.at("metadata"), "dns-name"),
    status: spec.at("status").integer(statusRange),
    body: readBody(spec),
  });
}

function readBody(spec: Field): string {
  const body = spec.at("body");
  const format = spec.at("bodyFormat");
  if (body.isPresent && format.isPresent) {
    spec.fault("must have at most one of body and bodyFormat");
  }
  if (body.isPresent) return readText(body);
  if (!format.isPresent) return "";
  if (format.at("json").isPresent) {
    format.at("json").fault("is not supported: write the body as text");
    return "";
  }
  return readFormat(format.at("text").required());
}

function readText(field: Field): string {
  const text = field.text();
  if (text.length < 1 || text.length > maxBodyLength) {
    field.fault(`must have 1 to ${maxBodyLength} characters, has ${text.length}`);
  }
  return text;
}

/** Envoy's format strings write a percent sign twice; a single one begins an operator, which says something about the request. */
function readFormat(field: Field): string {
  const text = readText(field);
  if (text.replaceAll("%%", "").includes("%")) {
    field.fault('must have no format operators such as "%PATH%": they are not supported');
  }
  return text.replaceAll("%%", "%");
}
