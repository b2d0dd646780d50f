import { type Field, quote } from "./field.ts";

/** What one match of an HTTPRoute rule asks (Gateway API HTTPRouteMatch). All parts must hold. */
export type HttpRouteMatch = {
  readonly path: HttpPathMatch;
  /** Lower-case names, each once: of equal names Gateway API counts the first. */
  readonly headers: readonly HttpValueMatch[];
  /** Case-sensitive names, each once. */
  readonly queryParams: readonly HttpValueMatch[];
  /** Undefined: any. */
  readonly method: HttpMethod | undefined;
  /** Of a GRPCRoute: what stands in place of path and method. */
  readonly rpc?: GrpcMethodMatch;
};

/** Gateway API GRPCMethodMatch. An empty name is any. */
export type GrpcMethodMatch = {
  readonly type: "Exact" | "RegularExpression";
  readonly service: string;
  readonly method: string;
};

export type HttpPathMatch = {
  readonly type: HttpPathMatchType;
  readonly value: string;
};

type HttpPathMatchType = "Exact" | "PathPrefix" | "RegularExpression";

export type HttpValueMatch = {
  readonly type: "Exact" | "RegularExpression";
  readonly name: string;
  readonly value: string;
};

export type HttpMethod =
  | "GET"
  | "HEAD"
  | "POST"
  | "PUT"
  | "DELETE"
  | "CONNECT"
  | "OPTIONS"
  | "TRACE"
  | "PATCH";

export const httpMethods: readonly HttpMethod[] = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
];

const pathTypes: readonly HttpPathMatchType[] = ["Exact", "PathPrefix", "RegularExpression"];

/** What Gateway API forbids in a path that is compared as text: none of it can stand in a canonical request path. */
const forbiddenInPath: readonly string[] = ["//", "/./", "/../", "%2f", "%2F", "#"];
const forbiddenAtEnd: readonly string[] = ["/..", "/."];
/** RFC 3986 §3.3: pchar and slashes. */
const pathCharacters = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/;

/** Gateway API: a rule without matches takes every request. */
export const everyRequest: HttpRouteMatch = {
  path: { type: "PathPrefix", value: "/" },
  headers: [],
  queryParams: [],
  method: undefined,
};

/**
 * Stands in for a value that cannot be used. The rule it belongs to answers 500, so taking every value keeps the place of
 * the match in the order of precedence and lets no request slip to a rule that ranks below.
 */
export const everyValue = "(?s).*";

/** `strict` applies Gateway API's rules for paths; the routes of Linkerd's group ask for no more than a leading slash. */
export function readMatches(field: Field, strict: boolean): readonly HttpRouteMatch[] {
  const items = field.items();
  return items.length === 0 ? [everyRequest] : items.map((item) => readMatch(item, strict));
}

export function readHeaders(field: Field): readonly HttpValueMatch[] {
  return readValues(field, lowerCase);
}

function readMatch(field: Field, strict: boolean): HttpRouteMatch {
  return {
    path: readPath(field.at("path"), strict),
    headers: readHeaders(field.at("headers")),
    queryParams: readValues(field.at("queryParams"), asWritten),
    method: field.at("method").optionalChoice(httpMethods),
  };
}

export function readPath(field: Field, strict: boolean): HttpPathMatch {
  const type = field.at("type").choice(pathTypes, "PathPrefix");
  const valueField = field.at("value");
  const value = valueField.optionalText() ?? "/";
  if (type === "RegularExpression") return { type, value };
  if (!value.startsWith("/")) valueField.fault(`must start with "/", is ${quote(value)}`);
  else if (strict) checkPath(valueField, value);
  return { type, value };
}

function checkPath(field: Field, value: string): void {
  for (const part of forbiddenInPath) {
    if (value.includes(part)) field.fault(`must not contain ${quote(part)}, is ${quote(value)}`);
  }
  for (const end of forbiddenAtEnd) {
    if (value.endsWith(end)) field.fault(`must not end in ${quote(end)}, is ${quote(value)}`);
  }
  if (!pathCharacters.test(value.replaceAll("#", ""))) {
    field.fault(`must hold only characters of a URL path (RFC 3986 §3.3), is ${quote(value)}`);
  }
}

/** Of entries with one name the first counts (Gateway API HTTPHeaderMatch, HTTPQueryParamMatch). */
function readValues(field: Field, canonical: (name: string) => string): readonly HttpValueMatch[] {
  const byName = new Map<string, HttpValueMatch>();
  for (const item of field.items()) {
    const one = readValue(item, canonical);
    if (!byName.has(one.name)) byName.set(one.name, one);
  }
  return [...byName.values()];
}

export function readValue(field: Field, canonical: (name: string) => string): HttpValueMatch {
  return {
    type: field.at("type").choice(["Exact", "RegularExpression"] as const, "Exact"),
    name: canonical(field.at("name").text()),
    value: field.at("value").text(),
  };
}

export function lowerCase(name: string): string {
  return name.toLowerCase();
}

export function asWritten(name: string): string {
  return name;
}
