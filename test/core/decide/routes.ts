/** Short forms for tests of routing: routes by their matches, requests by their target. */
import type { RequestView } from "../../../src/core/decide/find-route.ts";
import { type LoadedRoutes, loadHttpRoutes } from "../../../src/core/decide/find-route.ts";
import {
  everyRequest,
  type HostMatch,
  type HttpMatch,
  type PathMatch,
  type ValueMatch,
} from "../../../src/core/model/match.ts";
import { resourceMeta } from "../../../src/core/model/meta.ts";
import { compileHttpRoutes, type RouteSource } from "../../../src/core/table/http-route.ts";

export function match(parts: Partial<HttpMatch>): HttpMatch {
  return { ...everyRequest, ...parts };
}

export function exact(value: string): PathMatch {
  return { kind: "exact", value };
}

export function prefix(value: string): PathMatch {
  return { kind: "prefix", value };
}

export function regex(value: string): PathMatch {
  return { kind: "regex", value };
}

export function is(name: string, value: string): ValueMatch {
  return { name, kind: "exact", value };
}

export function like(name: string, value: string): ValueMatch {
  return { name, kind: "regex", value };
}

/** One rule for each list of matches. */
export function route(
  name: string,
  rules: readonly (readonly HttpMatch[])[],
  hosts: readonly HostMatch[] = [],
): RouteSource {
  return {
    meta: resourceMeta({
      group: "gateway.networking.k8s.io",
      kind: "HTTPRoute",
      namespace: "demo",
      name,
    }),
    hosts,
    rules: rules.map((matches) => ({ matches })),
  };
}

export function load(...routes: readonly RouteSource[]): LoadedRoutes {
  return loadHttpRoutes(compileHttpRoutes(routes));
}

export type RequestParts = {
  readonly method?: string;
  readonly authority?: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** `target` is a path with or without a query. */
export function request(target: string, parts: RequestParts = {}): RequestView {
  const [path = "", query = ""] = target.split("?");
  const headers = new Map(Object.entries(parts.headers ?? {}));
  return {
    method: parts.method ?? "GET",
    path,
    query,
    authority: parts.authority ?? "a.demo",
    header: (name) => headers.get(name),
  };
}
