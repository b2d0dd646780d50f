import type { Filter, PathModifier, Redirect } from "../model/filter.ts";
import type {
  HttpPathModifier,
  HttpRequestRedirect,
  HttpRouteFilter,
} from "../resource/http-filter.ts";
import { unreachable } from "../std/unreachable.ts";

/** Which way a route points: the filters that a sidecar can honour are not the same on both sides. */
export type Direction = "outbound" | "inbound";

/** One filter as the data plane runs it, or undefined for one that it cannot honour. */
export function resolveFilter(filter: HttpRouteFilter, direction: Direction): Filter | undefined {
  switch (filter.type) {
    case "RequestHeaderModifier":
      return { kind: "request-headers", modifier: filter.requestHeaderModifier };
    case "ResponseHeaderModifier":
      // The inbound contract has no member for it (inbound.HttpRoute.Filter).
      return direction === "inbound"
        ? undefined
        : { kind: "response-headers", modifier: filter.responseHeaderModifier };
    case "RequestRedirect":
      return { kind: "redirect", redirect: redirect(filter.requestRedirect) };
    case "URLRewrite":
    case "RequestMirror":
    case "CORS":
    case "ExternalAuth":
    case "ExtensionRef":
      return undefined;
    default:
      return unreachable(filter);
  }
}

function redirect(from: HttpRequestRedirect): Redirect {
  return {
    scheme: from.scheme ?? "",
    host: from.hostname ?? "",
    port: from.port ?? 0,
    path: from.path === undefined ? undefined : pathModifier(from.path),
    status: from.statusCode,
  };
}

/** Gateway API asks for no leading slash, the wire contract does; with or without it the replacement means the same. */
function pathModifier(from: HttpPathModifier): PathModifier {
  const [kind, value] =
    from.type === "ReplaceFullPath"
      ? (["full", from.replaceFullPath] as const)
      : (["prefix", from.replacePrefixMatch] as const);
  return { kind, value: value.startsWith("/") ? value : `/${value}` };
}
