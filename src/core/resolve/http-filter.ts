/**
 * Filters of a rule or of a backend as the data plane runs them, in the order in which they were written. A filter that cannot be honoured is never skipped: its
 * requests are refused. Only a mirror that leads nowhere is dropped, because nobody waits for its answer.
 */
import type { Backend } from "../model/backend.ts";
import type { Cors, ExternalAuth, Filter, PathModifier, Redirect } from "../model/filter.ts";
import type { HttpCors } from "../resource/http-cors.ts";
import type { HttpExternalAuth } from "../resource/http-external-auth.ts";
import type {
  HttpPathModifier,
  HttpRequestMirror,
  HttpRequestRedirect,
  HttpRouteFilter,
  HttpUrlRewrite,
} from "../resource/http-filter.ts";
import type { BackendRef } from "../resource/reference.ts";
import { unreachable } from "../std/unreachable.ts";
import { type BackendContext, findBackend } from "./backend.ts";
import { resolveExtension } from "./extension-filter.ts";
import { type Problem, unresolved, unsupported } from "./problem.ts";

/** Which way a route points: the filters that a sidecar can honour are not the same on both sides. */
export type Direction = "outbound" | "inbound";

export type ResolvedFilters = {
  readonly filters: readonly Filter[];
  /** For these, every request is refused that the filters were for. */
  readonly fatal: readonly Problem[];
  /** What was left out, while requests go on. */
  readonly dropped: readonly Problem[];
};

/** What one filter becomes. */
export type Outcome =
  | { readonly kind: "filters"; readonly filters: readonly Filter[] }
  | { readonly kind: "fatal"; readonly problem: Problem }
  | { readonly kind: "dropped"; readonly problem: Problem };

export type FilterPlace = "rule" | "backend";

export function resolveFilters(
  context: BackendContext,
  filters: readonly HttpRouteFilter[],
  place: FilterPlace,
): ResolvedFilters {
  return collect(filters.map((filter) => resolveFilter(context, filter, place)));
}

/** A route to a Server ends at the application, so what needs another destination, or ours to answer for, is the client side's. */
export function resolveInboundFilters(filters: readonly HttpRouteFilter[]): ResolvedFilters {
  return collect(filters.map(resolveInboundFilter));
}

function collect(outcomes: readonly Outcome[]): ResolvedFilters {
  const problemsOf = (kind: "fatal" | "dropped"): readonly Problem[] =>
    outcomes.flatMap((outcome) => (outcome.kind === kind ? [outcome.problem] : []));
  return {
    filters: outcomes.flatMap((one) => (one.kind === "filters" ? one.filters : [])),
    fatal: problemsOf("fatal"),
    dropped: problemsOf("dropped"),
  };
}

function resolveInboundFilter(filter: HttpRouteFilter): Outcome {
  switch (filter.type) {
    case "RequestHeaderModifier":
      return single({ kind: "request-headers", modifier: filter.requestHeaderModifier });
    case "RequestRedirect":
      return single({ kind: "redirect", redirect: redirect(filter.requestRedirect) });
    case "ResponseHeaderModifier":
    case "URLRewrite":
    case "RequestMirror":
    case "CORS":
    case "ExternalAuth":
    case "ExtensionRef":
      return fatal(unsupported(`filter ${filter.type} is not supported on a route to a Server`));
    default:
      return unreachable(filter);
  }
}

function resolveFilter(
  context: BackendContext,
  filter: HttpRouteFilter,
  place: FilterPlace,
): Outcome {
  switch (filter.type) {
    case "RequestHeaderModifier":
      return single({ kind: "request-headers", modifier: filter.requestHeaderModifier });
    case "ResponseHeaderModifier":
      return single({ kind: "response-headers", modifier: filter.responseHeaderModifier });
    case "RequestRedirect":
      return single({ kind: "redirect", redirect: redirect(filter.requestRedirect) });
    case "URLRewrite":
      return single({ kind: "url-rewrite", rewrite: rewrite(filter.urlRewrite) });
    case "RequestMirror":
      return mirror(context, filter.requestMirror);
    case "CORS":
      return single({ kind: "cors", cors: cors(filter.cors) });
    case "ExternalAuth":
      return externalAuth(context, filter.externalAuth);
    case "ExtensionRef":
      return resolveExtension(context, filter.extensionRef, place);
    default:
      return unreachable(filter);
  }
}

function single(filter: Filter): Outcome {
  return { kind: "filters", filters: [filter] };
}

function fatal(problem: Problem): Outcome {
  return { kind: "fatal", problem };
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

function rewrite(from: HttpUrlRewrite): { host: string; path: PathModifier | undefined } {
  const path = from.path === undefined ? undefined : pathModifier(from.path);
  return { host: from.hostname ?? "", path };
}

/** Gateway API asks for no leading slash, the wire contract does; with or without it the replacement means the same. */
function pathModifier(from: HttpPathModifier): PathModifier {
  const [kind, value] =
    from.type === "ReplaceFullPath"
      ? (["full", from.replaceFullPath] as const)
      : (["prefix", from.replacePrefixMatch] as const);
  return { kind, value: value.startsWith("/") ? value : `/${value}` };
}

/** Gateway API HTTPRequestMirrorFilter: without a backend the mirror is left out, and the status says so. */
function mirror(
  context: BackendContext,
  { backendRef, numerator, denominator }: HttpRequestMirror,
): Outcome {
  const found = findAside(context, backendRef, "a mirror");
  return "problem" in found
    ? { kind: "dropped", problem: found.problem }
    : single({ kind: "mirror", mirror: { backend: found.backend, numerator, denominator } });
}

function cors(from: HttpCors): Cors {
  return {
    origins: from.allowOrigins,
    credentials: from.allowCredentials,
    methods: from.allowMethods,
    headers: from.allowHeaders,
    exposed: from.exposeHeaders,
    maxAgeSeconds: from.maxAgeSeconds,
  };
}

/** Whoever cannot be asked has not allowed anything. */
function externalAuth(context: BackendContext, from: HttpExternalAuth): Outcome {
  const found = findAside(context, from.backendRef, "external authorization");
  if ("problem" in found) return fatal(found.problem);
  const common = {
    backend: found.backend,
    requestHeaders: from.allowedHeaders,
    maxBodyBytes: from.forwardBodyMaxBytes,
  };
  const auth: ExternalAuth =
    from.protocol === "GRPC"
      ? { ...common, protocol: "grpc", pathPrefix: "", responseHeaders: [] }
      : {
          ...common,
          protocol: "http",
          pathPrefix: pathPrefix(from.path),
          responseHeaders: from.allowedResponseHeaders,
        };
  return single({ kind: "external-auth", auth });
}

/** The path of the request follows, which begins with a slash of its own. */
function pathPrefix(path: string): string {
  const bare = path.replace(/^\/+|\/+$/g, "");
  return bare === "" ? "" : `/${bare}`;
}

/** A backend that is sent something beside the request. A function of Lambda is paid by the call and answers in no form of HTTP. */
function findAside(
  context: BackendContext,
  ref: BackendRef,
  use: string,
): { readonly backend: Backend } | { readonly problem: Problem } {
  const found = findBackend(context, ref);
  if ("problem" in found || found.backend.dispatch.kind !== "lambda") return found;
  const message = `Backend ${ref.name} is a function of AWS Lambda, which cannot be ${use}`;
  return { problem: unresolved("InvalidKind", message) };
}
