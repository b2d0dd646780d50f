import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type FailureInjector,
  type Filter,
  failAlways,
  type HeaderModifier,
  type HeaderValue,
  type Redirect,
} from "../model/filter.ts";
import { isFieldValue, isToken } from "../std/field.ts";
import { unreachable } from "../std/unreachable.ts";
import { report, type Trace } from "./decode.ts";
import {
  extensionFilterNames,
  fromWireExtensionFilter,
  isExtensionFilter,
  toWireExtensionFilter,
} from "./filter-extension.ts";
import { brokenFilter, fromWireReplacement, isUrlText, toWireReplacement } from "./filter-parts.ts";
import type {
  HttpFailureInjector,
  HttpFailureInjectorSchema,
  RequestHeaderModifier,
  RequestHeaderModifierSchema,
  RequestRedirect,
  RequestRedirectSchema,
  ResponseHeaderModifier,
} from "./gen/linkerd/http_route_pb.ts";
import {
  type Headers,
  type HeadersSchema,
  type Scheme,
  Scheme_Registered,
  type SchemeSchema,
} from "./gen/linkerd/http_types_pb.ts";
import type {
  HttpRoute_Filter as InboundFilter,
  HttpRoute_FilterSchema as InboundFilterSchema,
} from "./gen/linkerd/inbound_pb.ts";
import type {
  HttpRoute_Filter as OutboundFilter,
  HttpRoute_FilterSchema as OutboundFilterSchema,
} from "./gen/linkerd/outbound_pb.ts";
import { fromOctets, toOctets } from "./octets.ts";

export function toWireOutboundFilter(
  filter: Filter,
): MessageInitShape<typeof OutboundFilterSchema> {
  if (isExtensionFilter(filter)) return toWireExtensionFilter(filter);
  return filter.kind === "response-headers"
    ? { kind: { case: "responseHeaderModifier", value: toWireModifier(filter.modifier) } }
    : toWireSharedFilter(filter);
}

/** Inbound routes of the contract have few filters; a rule that needs another fails instead of losing it. */
export function toWireInboundFilter(filter: Filter): MessageInitShape<typeof InboundFilterSchema> {
  if (isExtensionFilter(filter)) return refuseInbound(extensionFilterNames[filter.kind]);
  return filter.kind === "response-headers"
    ? refuseInbound("ResponseHeaderModifier")
    : toWireSharedFilter(filter);
}

function refuseInbound(name: string): SharedInit {
  const message = `${name} is not supported on inbound routes`;
  const value = toWireFailure({ status: 500, message, numerator: 1, denominator: 1 });
  return { kind: { case: "failureInjector", value } };
}

export function fromWireFilter({ kind }: OutboundFilter | InboundFilter, trace: Trace): Filter {
  switch (kind.case) {
    case "failureInjector":
      return fromWireFailure(kind.value, trace);
    case "redirect":
      return fromWireRedirect(kind.value, trace);
    case "requestHeaderModifier":
      return fromWireModifier(kind.value, "request-headers", trace);
    case "responseHeaderModifier":
      return fromWireModifier(kind.value, "response-headers", trace);
    case undefined:
      return brokenFilter(trace, "is of no known kind");
    case "urlRewrite":
    case "mirror":
    case "cors":
    case "externalAuth":
    case "directResponse":
    case "delay":
      return fromWireExtensionFilter(kind, trace);
  }
}

type SharedInit = {
  readonly kind:
    | { case: "failureInjector"; value: MessageInitShape<typeof HttpFailureInjectorSchema> }
    | { case: "redirect"; value: MessageInitShape<typeof RequestRedirectSchema> }
    | {
        case: "requestHeaderModifier";
        value: MessageInitShape<typeof RequestHeaderModifierSchema>;
      };
};

function toWireSharedFilter(
  filter: Extract<Filter, { kind: "failure" | "redirect" | "request-headers" }>,
): SharedInit {
  switch (filter.kind) {
    case "failure":
      return { kind: { case: "failureInjector", value: toWireFailure(filter.failure) } };
    case "redirect":
      return { kind: { case: "redirect", value: toWireRedirect(filter.redirect) } };
    case "request-headers":
      return { kind: { case: "requestHeaderModifier", value: toWireModifier(filter.modifier) } };
    default:
      return unreachable(filter);
  }
}

function toWireFailure({
  status,
  message,
  numerator,
  denominator,
}: FailureInjector): MessageInitShape<typeof HttpFailureInjectorSchema> {
  return { status, message, ratio: { numerator, denominator } };
}

/** A share that cannot be computed is everything; a status that cannot be sent is 500. */
function fromWireFailure({ status, message, ratio }: HttpFailureInjector, trace: Trace): Filter {
  const { numerator = 1, denominator = 1 } = ratio ?? {};
  if (status < 200 || status > 599) return brokenFilter(trace, `has no usable status (${status})`);
  if (denominator === 0) {
    report(trace, "has a denominator of 0, so every request is failed");
    return failAlways(status, message);
  }
  return { kind: "failure", failure: { status, message, numerator, denominator } };
}

function toWireRedirect({
  scheme,
  host,
  port,
  path,
  status,
}: Redirect): MessageInitShape<typeof RequestRedirectSchema> {
  return {
    host,
    port,
    status,
    ...(scheme === "" ? {} : { scheme: toWireScheme(scheme) }),
    ...(path === undefined ? {} : { path: { replace: toWireReplacement(path) } }),
  };
}

function fromWireRedirect(redirect: RequestRedirect, trace: Trace): Filter {
  const scheme = redirect.scheme === undefined ? "" : fromWireScheme(redirect.scheme);
  if (scheme === undefined) return brokenFilter(trace, "has no usable scheme");
  const path = redirect.path === undefined ? "" : fromWireReplacement(redirect.path.replace);
  if (path === undefined)
    return brokenFilter(trace, "has a path without a replacement that begins with /");
  const status = redirect.status === 0 ? 301 : redirect.status;
  if (status < 300 || status > 399) return brokenFilter(trace, `has no usable status (${status})`);
  if (redirect.port > 65_535) return brokenFilter(trace, `has no usable port (${redirect.port})`);
  if (!isUrlText(redirect.host)) return brokenFilter(trace, "has no usable host");
  return {
    kind: "redirect",
    redirect: {
      scheme,
      host: redirect.host,
      port: redirect.port,
      path: path === "" ? undefined : path,
      status,
    },
  };
}

function toWireScheme(scheme: string): MessageInitShape<typeof SchemeSchema> {
  switch (scheme) {
    case "http":
      return { type: { case: "registered", value: Scheme_Registered.HTTP } };
    case "https":
      return { type: { case: "registered", value: Scheme_Registered.HTTPS } };
    default:
      return { type: { case: "unregistered", value: scheme } };
  }
}

function fromWireScheme({ type }: Scheme): string | undefined {
  if (type.case === "unregistered") return isToken(type.value) ? type.value : undefined;
  if (type.value === Scheme_Registered.HTTP) return "http";
  return type.value === Scheme_Registered.HTTPS ? "https" : undefined;
}

export function toWireModifier({ set, add, remove }: HeaderModifier): {
  readonly set: MessageInitShape<typeof HeadersSchema>;
  readonly add: MessageInitShape<typeof HeadersSchema>;
  remove: string[];
} {
  return { set: toWireHeaders(set), add: toWireHeaders(add), remove: [...remove] };
}

export function fromWireModifier(
  modifier: RequestHeaderModifier | ResponseHeaderModifier,
  kind: "request-headers" | "response-headers",
  trace: Trace,
): Filter {
  const set = fromWireHeaders(modifier.set);
  const add = fromWireHeaders(modifier.add);
  if (set === undefined || add === undefined || !modifier.remove.every(isToken)) {
    return brokenFilter(trace, "has a name or a value that cannot stand in a header");
  }
  return { kind, modifier: { set, add, remove: modifier.remove } };
}

function toWireHeaders(headers: readonly HeaderValue[]): MessageInitShape<typeof HeadersSchema> {
  return { headers: headers.map(({ name, value }) => ({ name, value: toOctets(value) })) };
}

function fromWireHeaders(message: Headers | undefined): readonly HeaderValue[] | undefined {
  const headers = (message?.headers ?? []).map(({ name, value }) => ({
    name,
    value: fromOctets(value),
  }));
  const isUsable = headers.every(({ name, value }) => isToken(name) && isFieldValue(value));
  return isUsable ? headers : undefined;
}
