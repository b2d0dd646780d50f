/** Filters that Linkerd's contract lacks (`weft.v1`). Only outbound rules have fields for them. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  Cors,
  Delay,
  DirectResponse,
  ExternalAuth,
  Filter,
  Mirror,
  UrlRewrite,
} from "../model/filter.ts";
import { isFieldValue, isToken } from "../std/field.ts";
import { unreachable } from "../std/unreachable.ts";
import { fromWireBackend, toWireBackend } from "./backend.ts";
import { type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import {
  brokenFilter,
  fromWireReplacement,
  isUrlText,
  toWireReplacement,
  withSlash,
} from "./filter-parts.ts";
import type {
  HttpRoute_ExternalAuth,
  HttpRoute_ExternalAuthSchema,
  HttpRoute_Filter,
  HttpRoute_FilterSchema,
  HttpRoute_Mirror,
  HttpRoute_MirrorSchema,
} from "./gen/linkerd/outbound_pb.ts";
import type {
  CorsSchema,
  DelaySchema,
  DirectResponseSchema,
  UrlRewriteSchema,
  Cors as WireCors,
  Delay as WireDelay,
  DirectResponse as WireDirectResponse,
  UrlRewrite as WireUrlRewrite,
} from "./gen/weft/extensions_pb.ts";
import { toUint32 } from "./uint32.ts";

export type ExtensionFilter = Extract<
  Filter,
  { kind: "url-rewrite" | "mirror" | "cors" | "external-auth" | "direct-response" | "delay" }
>;

/** What people call these filters, for those who are told that they cannot have one. */
export const extensionFilterNames: Readonly<Record<ExtensionFilter["kind"], string>> = {
  "url-rewrite": "URLRewrite",
  mirror: "RequestMirror",
  cors: "CORS",
  "external-auth": "ExternalAuth",
  "direct-response": "DirectResponse",
  delay: "HTTPFault.delay",
};

export function isExtensionFilter(filter: Filter): filter is ExtensionFilter {
  return Object.hasOwn(extensionFilterNames, filter.kind);
}

export function toWireExtensionFilter(
  filter: ExtensionFilter,
): MessageInitShape<typeof HttpRoute_FilterSchema> {
  switch (filter.kind) {
    case "url-rewrite":
      return { kind: { case: "urlRewrite", value: toWireRewrite(filter.rewrite) } };
    case "mirror":
      return { kind: { case: "mirror", value: toWireMirror(filter.mirror) } };
    case "cors":
      return { kind: { case: "cors", value: toWireCors(filter.cors) } };
    case "external-auth":
      return { kind: { case: "externalAuth", value: toWireAuth(filter.auth) } };
    case "direct-response":
      return { kind: { case: "directResponse", value: toWireDirectResponse(filter.response) } };
    case "delay":
      return { kind: { case: "delay", value: toWireDelay(filter.delay) } };
    default:
      return unreachable(filter);
  }
}

export type WireExtension = Extract<
  HttpRoute_Filter["kind"],
  { case: "urlRewrite" | "mirror" | "cors" | "externalAuth" | "directResponse" | "delay" }
>;

export function fromWireExtensionFilter(kind: WireExtension, trace: Trace): Filter {
  switch (kind.case) {
    case "urlRewrite":
      return fromWireRewrite(kind.value, trace);
    case "mirror":
      return fromWireMirror(kind.value, trace);
    case "cors":
      return fromWireCors(kind.value, trace);
    case "externalAuth":
      return fromWireAuth(kind.value, trace);
    case "directResponse":
      return fromWireDirectResponse(kind.value, trace);
    case "delay":
      return fromWireDelay(kind.value, trace);
  }
}

function toWireRewrite({ host, path }: UrlRewrite): MessageInitShape<typeof UrlRewriteSchema> {
  return { host, ...(path === undefined ? {} : { path: toWireReplacement(path) }) };
}

function fromWireRewrite({ host, path }: WireUrlRewrite, trace: Trace): Filter {
  // A host with one of these would be read as more than a host.
  if (!isUrlText(host) || /[/?#@\\]/.test(host)) return brokenFilter(trace, "has no usable host");
  if (path.case === undefined) return { kind: "url-rewrite", rewrite: { host, path: undefined } };
  const replacement = fromWireReplacement(path);
  return replacement === undefined
    ? brokenFilter(trace, "has a path without a replacement that begins with /")
    : { kind: "url-rewrite", rewrite: { host, path: replacement } };
}

function toWireMirror({
  backend,
  numerator,
  denominator,
}: Mirror): MessageInitShape<typeof HttpRoute_MirrorSchema> {
  return { backend: toWireBackend(backend), numerator, denominator };
}

/** Gateway API drops a mirror whose backend is none, with a status; that is for the control plane to do, where somebody can see it. */
function fromWireMirror(
  { backend, numerator, denominator }: HttpRoute_Mirror,
  trace: Trace,
): Filter {
  const read = fromWireBackend(backend, under(trace, "backend"));
  if (read.refusal !== undefined) return brokenFilter(trace, "has no backend that can be used");
  if (denominator === 0) return brokenFilter(trace, "has a denominator of 0");
  return { kind: "mirror", mirror: { backend: read.backend, numerator, denominator } };
}

function toWireCors(cors: Cors): MessageInitShape<typeof CorsSchema> {
  return {
    origins: [...cors.origins],
    credentials: cors.credentials,
    methods: [...cors.methods],
    headers: [...cors.headers],
    exposed: [...cors.exposed],
    maxAgeSeconds: toUint32(cors.maxAgeSeconds),
  };
}

/** Names go into headers of responses; `*` is a token too. */
function fromWireCors(message: WireCors, trace: Trace): Filter {
  const { origins, credentials, methods, headers, exposed, maxAgeSeconds } = message;
  if (!origins.every((origin) => origin !== "" && isUrlText(origin))) {
    return brokenFilter(trace, "has an origin that is none");
  }
  if (![...methods, ...headers, ...exposed].every(isToken)) {
    return brokenFilter(trace, "has a method or the name of a header that is none");
  }
  return {
    kind: "cors",
    cors: { origins, credentials, methods, headers: lowerCase(headers), exposed, maxAgeSeconds },
  };
}

function toWireAuth(auth: ExternalAuth): MessageInitShape<typeof HttpRoute_ExternalAuthSchema> {
  return {
    backend: toWireBackend(auth.backend),
    grpc: auth.protocol === "grpc",
    pathPrefix: auth.pathPrefix === "" ? "" : withSlash(auth.pathPrefix),
    requestHeaders: [...auth.requestHeaders],
    responseHeaders: [...auth.responseHeaders],
    maxBodyBytes: toUint32(auth.maxBodyBytes),
  };
}

function fromWireAuth(message: HttpRoute_ExternalAuth, trace: Trace): Filter {
  const { grpc, pathPrefix, requestHeaders, responseHeaders, maxBodyBytes } = message;
  const { backend, refusal } = fromWireBackend(message.backend, under(trace, "backend"));
  if (refusal !== undefined) return brokenFilter(trace, "has no backend that can be used");
  if (pathPrefix !== "" && !(pathPrefix.startsWith("/") && isUrlText(pathPrefix))) {
    return brokenFilter(trace, "has a path prefix that does not begin with /");
  }
  if (![...requestHeaders, ...responseHeaders].every(isToken)) {
    return brokenFilter(trace, "has the name of a header that is none");
  }
  return {
    kind: "external-auth",
    auth: {
      protocol: grpc ? "grpc" : "http",
      backend,
      pathPrefix,
      requestHeaders: lowerCase(requestHeaders),
      responseHeaders: lowerCase(responseHeaders),
      maxBodyBytes,
    },
  };
}

function toWireDirectResponse({
  status,
  body,
  contentType,
}: DirectResponse): MessageInitShape<typeof DirectResponseSchema> {
  return { status, body, contentType };
}

function fromWireDirectResponse(message: WireDirectResponse, trace: Trace): Filter {
  const { status, body, contentType } = message;
  if (status < 200 || status > 599) return brokenFilter(trace, `has no usable status (${status})`);
  if (!isFieldValue(contentType)) return brokenFilter(trace, "has no usable content type");
  return { kind: "direct-response", response: { status, body, contentType } };
}

function toWireDelay({
  delayMs,
  numerator,
  denominator,
}: Delay): MessageInitShape<typeof DelaySchema> {
  return { delay: toWireDuration(delayMs), numerator, denominator };
}

function fromWireDelay({ delay, numerator, denominator }: WireDelay, trace: Trace): Filter {
  const delayMs = delay && fromWireDuration(delay);
  if (delayMs === undefined) return brokenFilter(trace, "has a delay that is missing or negative");
  if (denominator === 0) return brokenFilter(trace, "has a denominator of 0");
  return { kind: "delay", delay: { delayMs, numerator, denominator } };
}

function lowerCase(names: readonly string[]): readonly string[] {
  return names.map((name) => name.toLowerCase());
}
