import { parseGoDurationMs } from "../std/duration.ts";
import { isToken } from "../std/field.ts";
import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field, isRecord, listChoices, portRange, quote, type Range } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

/** Routes, limits and splits of one Service (Linkerd's ServiceProfile). Its name is the DNS name of the Service. */
export type ServiceProfile = {
  readonly kind: "ServiceProfile";
  readonly group: "linkerd.io";
  readonly meta: ObjectMeta;
  /** The first whose condition holds is taken. */
  readonly routes: readonly ProfileRoute[];
  /** Undefined: the default of the mesh. */
  readonly retryBudget: ProfileRetryBudget | undefined;
  readonly dstOverrides: readonly DstOverride[];
  /** Inclusive. */
  readonly opaquePorts: readonly Range[];
};

type ProfileRoute = {
  readonly name: string;
  readonly condition: RequestCondition;
  readonly isRetryable: boolean;
  /** 0: no limit. */
  readonly timeoutMs: number;
  /** The first whose condition holds speaks. */
  readonly responseClasses: readonly ResponseClass[];
};

type RequestCondition =
  /** A regular expression for the whole path. */
  | { readonly kind: "path"; readonly pattern: string }
  | { readonly kind: "method"; readonly method: string }
  | { readonly kind: "all" | "any"; readonly of: readonly RequestCondition[] }
  | { readonly kind: "not"; readonly of: RequestCondition };

type ResponseClass = {
  readonly condition: ResponseCondition;
  readonly isFailure: boolean;
};

type ResponseCondition =
  /** Inclusive. */
  | { readonly kind: "status"; readonly min: number; readonly max: number }
  | { readonly kind: "all" | "any"; readonly of: readonly ResponseCondition[] }
  | { readonly kind: "not"; readonly of: ResponseCondition };

export type ProfileRetryBudget = {
  /** Retries per request. */
  readonly ratio: number;
  readonly minPerSecond: number;
  readonly ttlMs: number;
};

export type DstOverride = {
  /** With or without a port. */
  readonly authority: string;
  /** In thousandths of what was written. */
  readonly milliWeight: number;
};

/** People nest two or three deep; what is nested deeper than this was not written by people, and would be judged for each request. */
const maxDepth = 8;

const statusRange: Range = { min: 100, max: 599 };
const rateRange: Range = { min: 0, max: 1_000_000 };

export function parseServiceProfile(
  json: unknown,
  known: readonly Fault[] = [],
): Result<ServiceProfile> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  return list.settle({
    kind: "ServiceProfile",
    group: "linkerd.io",
    meta: readMeta(root.at("metadata"), "dns-name"),
    routes: spec.at("routes").items().map(readRoute),
    retryBudget: readBudget(spec.at("retryBudget")),
    dstOverrides: spec.at("dstOverrides").items().map(readOverride),
    opaquePorts: spec.at("opaquePorts").items().map(readPorts),
  });
}

function readRoute(field: Field): ProfileRoute {
  const name = field.at("name").text();
  if (field.at("name").isPresent && name === "") field.at("name").fault("must not be empty");
  return {
    name,
    condition: readCondition(field.at("condition").required(), requestReader, 1),
    isRetryable: field.at("isRetryable").flag(false),
    timeoutMs: readGoDuration(field.at("timeout")) ?? 0,
    responseClasses: field
      .at("responseClasses")
      .items()
      .map((item) => ({
        condition: readCondition(item.at("condition").required(), responseReader, 1),
        isFailure: item.at("isFailure").flag(false),
      })),
  };
}

type Combined<C> =
  | { readonly kind: "all" | "any"; readonly of: readonly C[] }
  | { readonly kind: "not"; readonly of: C };

/** What conditions on requests and on responses have each for themselves. */
type ConditionReader<C> = {
  readonly names: readonly string[];
  readonly read: (field: Field) => readonly C[];
  readonly combine: (combined: Combined<C>) => C;
};

const combinations: readonly string[] = ["all", "any", "not"];

const requestReader: ConditionReader<RequestCondition> = {
  names: ["pathRegex", "method", ...combinations],
  combine: (combined) => combined,
  read: (field) => {
    const pattern = field.at("pathRegex").optionalText() ?? "";
    const method = field.at("method").optionalText() ?? "";
    if (method !== "" && !isToken(method)) {
      field.at("method").fault(`must be a method of HTTP (RFC 9110 §9.1), is ${quote(method)}`);
    }
    return [
      ...(method === "" ? [] : [{ kind: "method", method } as const]),
      ...(pattern === "" ? [] : [{ kind: "path", pattern } as const]),
    ];
  },
};

const responseReader: ConditionReader<ResponseCondition> = {
  names: ["status", ...combinations],
  combine: (combined) => combined,
  read: (field) => {
    const status = field.at("status");
    if (!status.isPresent) return [];
    const min = status.at("min").optionalInteger(statusRange);
    const max = status.at("max").optionalInteger(statusRange);
    if (!status.at("min").isPresent && !status.at("max").isPresent) {
      status.fault("must have at least one of min, max");
    }
    if (min !== undefined && max !== undefined && min > max) {
      status.fault(`must have a min of at most its max, is ${min} to ${max}`);
    }
    return [{ kind: "status", min: min ?? statusRange.min, max: max ?? statusRange.max }];
  },
};

/** Fields beside each other must all hold, as Linkerd reads them. */
function readCondition<C>(field: Field, reader: ConditionReader<C>, depth: number): C {
  const never = reader.combine({ kind: "any", of: [] });
  if (!field.isPresent) return never;
  if (depth > maxDepth) {
    field.fault(`must not be nested deeper than ${maxDepth} conditions`);
    return never;
  }
  refuseUnknown(field, reader.names);
  const nested = (inner: Field): C => readCondition(inner, reader, depth + 1);
  const parts = [...reader.read(field)];
  for (const kind of ["all", "any"] as const) {
    const inner = field.at(kind);
    if (inner.isPresent) parts.push(reader.combine({ kind, of: inner.items().map(nested) }));
  }
  const not = field.at("not");
  if (not.isPresent) parts.push(reader.combine({ kind: "not", of: nested(not) }));
  const [first, ...others] = parts;
  if (first === undefined) {
    field.fault(`must have at least one of ${reader.names.join(", ")}`);
    return never;
  }
  return others.length === 0 ? first : reader.combine({ kind: "all", of: parts });
}

/** No schema reaches down here: a definition cannot contain itself. */
function refuseUnknown(field: Field, names: readonly string[]): void {
  if (!isRecord(field.json)) return;
  for (const name of Object.keys(field.json)) {
    if (!names.includes(name)) {
      field.at(name).fault(`is not a field of a condition: use ${listChoices(names)}`);
    }
  }
}

function readBudget(field: Field): ProfileRetryBudget | undefined {
  if (!field.isPresent) return undefined;
  const ttl = field.at("ttl");
  return {
    ratio: readRatio(field.at("retryRatio").required()),
    minPerSecond: field.at("minRetriesPerSecond").integer(rateRange),
    ttlMs: readGoDuration(ttl.required()) ?? 0,
  };
}

function readRatio(field: Field): number {
  const { json } = field;
  if (typeof json === "number" && Number.isFinite(json) && json >= 0) return json;
  if (field.isPresent) field.fault(`must be a number of at least 0, is ${quote(json)}`);
  return 0;
}

function readGoDuration(field: Field): number | undefined {
  const text = field.optionalText();
  if (text === undefined) return undefined;
  const ms = parseGoDurationMs(text);
  if (ms === undefined) {
    field.fault(
      `must be a duration like "500ms", "1.5s" or "1h30m", not negative, is ${quote(text)}`,
    );
  }
  return ms;
}

function readOverride(field: Field): DstOverride {
  const authority = field.at("authority").text();
  if (field.at("authority").isPresent && authority === "") {
    field.at("authority").fault("must not be empty");
  }
  return { authority, milliWeight: readMilli(field.at("weight").required()) };
}

/** A Kubernetes quantity: a number, or text with `m` for thousandths. */
function readMilli(field: Field): number {
  const { json } = field;
  const [, digits = "", unit = ""] = /^([0-9]{1,7}(?:\.[0-9]{1,3})?)(m?)$/.exec(String(json)) ?? [];
  const isQuantity = (typeof json === "number" || typeof json === "string") && digits !== "";
  // Rounded up, since 0 is no traffic at all.
  if (isQuantity)
    return unit === "m" ? Math.ceil(Number(digits)) : Math.round(Number(digits) * 1_000);
  if (field.isPresent) {
    field.fault(`must be a weight like 10 or "500m", up to 9999999, is ${quote(json)}`);
  }
  return 0;
}

function readPorts(field: Field): Range {
  const text = field.text();
  const [, first = "", last = first] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text) ?? [];
  const range = { min: Number(first), max: Number(last) };
  if (first === "" || range.min < portRange.min || range.max > portRange.max) {
    field.fault(`must be a port or a range like "4000-4999", is ${quote(field.json)}`);
  }
  return range;
}
