import { isDnsName } from "../std/dns-name.ts";
import { unreachable } from "../std/unreachable.ts";
import { type Field, portRange, quote } from "./field.ts";
import { type HttpCors, readCors } from "./http-cors.ts";
import { type HttpExternalAuth, readExternalAuth } from "./http-external-auth.ts";
import { type HttpHeaderModifier, readHeaderModifier } from "./http-header.ts";
import { type BackendRef, readBackendRef, readGroup } from "./reference.ts";
import { readShare, type Share } from "./share.ts";

/** Every filter of Gateway API's HTTPRouteFilter, as written; whether it can be honoured is judged in resolve. */
export type HttpRouteFilter =
  | { readonly type: "RequestHeaderModifier"; readonly requestHeaderModifier: HttpHeaderModifier }
  | { readonly type: "ResponseHeaderModifier"; readonly responseHeaderModifier: HttpHeaderModifier }
  | { readonly type: "RequestRedirect"; readonly requestRedirect: HttpRequestRedirect }
  | { readonly type: "URLRewrite"; readonly urlRewrite: HttpUrlRewrite }
  | { readonly type: "RequestMirror"; readonly requestMirror: HttpRequestMirror }
  | { readonly type: "CORS"; readonly cors: HttpCors }
  | { readonly type: "ExternalAuth"; readonly externalAuth: HttpExternalAuth }
  | { readonly type: "ExtensionRef"; readonly extensionRef: ExtensionRef };

export type FilterType = HttpRouteFilter["type"];

export type HttpPathModifier =
  | { readonly type: "ReplaceFullPath"; readonly replaceFullPath: string }
  | { readonly type: "ReplacePrefixMatch"; readonly replacePrefixMatch: string };

export type HttpRequestRedirect = {
  readonly scheme: "http" | "https" | undefined;
  readonly hostname: string | undefined;
  readonly path: HttpPathModifier | undefined;
  readonly port: number | undefined;
  readonly statusCode: RedirectStatus;
};

type RedirectStatus = 301 | 302 | 303 | 307 | 308;

export type HttpUrlRewrite = {
  readonly hostname: string | undefined;
  readonly path: HttpPathModifier | undefined;
};

/** That share of the requests is copied. */
export type HttpRequestMirror = Share & { readonly backendRef: BackendRef };

/** Always in the namespace of the route. */
export type ExtensionRef = {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
};

/** What differs between the two groups of HTTPRoute. */
export type FilterRules = {
  readonly types: readonly FilterType[];
  /** The namespace of the route, for references that leave theirs out. */
  readonly namespace: string;
  /** Linkerd's group wants the paths of redirects to start with a slash, Gateway API does not say. */
  readonly absolutePaths: boolean;
};

/** The field that carries the payload of each type. */
const payloads: Readonly<Record<FilterType, string>> = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  RequestMirror: "requestMirror",
  CORS: "cors",
  ExternalAuth: "externalAuth",
  ExtensionRef: "extensionRef",
};

const single: readonly FilterType[] = [
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestRedirect",
  "URLRewrite",
  "CORS",
];

const redirectStatuses: readonly RedirectStatus[] = [301, 302, 303, 307, 308];

/** The filters of a rule or of one of its backends, in order. */
export function readFilters(field: Field, rules: FilterRules): readonly HttpRouteFilter[] {
  const filters = field.items().flatMap((item) => readFilter(item, rules) ?? []);
  const types = filters.map(({ type }) => type);
  for (const type of single) {
    const count = types.filter((one) => one === type).length;
    if (count > 1) field.fault(`must have at most one filter of type ${type}, has ${count}`);
  }
  if (types.includes("RequestRedirect") && types.includes("URLRewrite")) {
    field.fault("must not have both RequestRedirect and URLRewrite");
  }
  return filters;
}

function readFilter(field: Field, rules: FilterRules): HttpRouteFilter | undefined {
  const type = field.at("type").required().optionalChoice(rules.types);
  if (type === undefined) return undefined;
  for (const [other, name] of Object.entries(payloads)) {
    const payload = field.at(name);
    if (other === type && !payload.isPresent) payload.fault(`is required for type ${quote(type)}`);
    if (other !== type && payload.isPresent)
      payload.fault(`must be absent for type ${quote(type)}`);
  }
  return readPayload(type, field.at(payloads[type]), rules);
}

function readPayload(type: FilterType, field: Field, rules: FilterRules): HttpRouteFilter {
  switch (type) {
    case "RequestHeaderModifier":
      return { type, requestHeaderModifier: readHeaderModifier(field) };
    case "ResponseHeaderModifier":
      return { type, responseHeaderModifier: readHeaderModifier(field) };
    case "RequestRedirect":
      return { type, requestRedirect: readRedirect(field, rules) };
    case "URLRewrite":
      return { type, urlRewrite: readRewrite(field, rules) };
    case "RequestMirror":
      return { type, requestMirror: readMirror(field, rules.namespace) };
    case "CORS":
      return { type, cors: readCors(field) };
    case "ExternalAuth":
      return { type, externalAuth: readExternalAuth(field, rules.namespace) };
    case "ExtensionRef":
      return { type, extensionRef: readExtensionRef(field) };
    default:
      return unreachable(type);
  }
}

function readRedirect(field: Field, rules: FilterRules): HttpRequestRedirect {
  return {
    scheme: field.at("scheme").optionalChoice(["http", "https"] as const),
    hostname: readHostname(field.at("hostname")),
    path: readPathModifier(field.at("path"), rules),
    port: field.at("port").optionalInteger(portRange),
    statusCode: field.at("statusCode").choice(redirectStatuses, 302),
  };
}

function readRewrite(field: Field, rules: FilterRules): HttpUrlRewrite {
  return {
    hostname: readHostname(field.at("hostname")),
    path: readRewrittenPath(field.at("path"), rules),
  };
}

/** The query of the request stays (Gateway API HTTPPathModifier), so a second one cannot be put before it. */
function readRewrittenPath(field: Field, rules: FilterRules): HttpPathModifier | undefined {
  const path = readPathModifier(field, rules);
  for (const part of [field.at("replaceFullPath"), field.at("replacePrefixMatch")]) {
    if (typeof part.json === "string" && /[?#]/.test(part.json)) {
      part.fault(`must be a path without "?" and "#", is ${quote(part.json)}`);
    }
  }
  return path;
}

function readHostname(field: Field): string | undefined {
  const hostname = field.optionalText();
  if (hostname !== undefined && !isDnsName(hostname)) {
    field.fault(`must be a host name without wildcard, is ${quote(hostname)}`);
  }
  return hostname;
}

function readPathModifier(field: Field, rules: FilterRules): HttpPathModifier | undefined {
  if (!field.isPresent) return undefined;
  const type = field
    .at("type")
    .required()
    .choice(["ReplaceFullPath", "ReplacePrefixMatch"] as const, "ReplaceFullPath");
  const full = field.at("replaceFullPath");
  const prefix = field.at("replacePrefixMatch");
  const [own, other] = type === "ReplaceFullPath" ? [full, prefix] : [prefix, full];
  if (!own.isPresent) own.fault(`is required for type ${quote(type)}`);
  if (other.isPresent) other.fault(`must be absent for type ${quote(type)}`);
  const value = readReplacement(own, rules);
  return type === "ReplaceFullPath"
    ? { type, replaceFullPath: value }
    : { type, replacePrefixMatch: value };
}

/** It ends up in a request line or in a Location header, where a blank or a line break would begin something else. */
function readReplacement(field: Field, rules: FilterRules): string {
  const value = field.optionalText() ?? "";
  if (!/^[!-~]*$/.test(value)) {
    field.fault(`must be visible ASCII without blanks, is ${quote(value)}`);
  }
  if (rules.absolutePaths && field.isPresent && !value.startsWith("/")) {
    field.fault(`must start with "/", is ${quote(value)}`);
  }
  return value;
}

function readMirror(field: Field, namespace: string): HttpRequestMirror {
  const backendRef = readBackendRef(field.at("backendRef").required(), namespace);
  return { backendRef, ...readShare(field) };
}

function readExtensionRef(field: Field): ExtensionRef {
  return {
    group: readGroup(field.at("group").required()) ?? "",
    kind: field.at("kind").text(),
    name: field.at("name").text(),
  };
}
