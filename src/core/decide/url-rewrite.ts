/** What a request asks its backend for (Gateway API HTTPURLRewriteFilter). Text is cut and joined, never decoded, so `%2F` stays `%2F`. */
import type { UrlRewrite } from "../model/filter.ts";
import { modifyPath } from "./apply-filters.ts";

/**
 * Path and query towards the backend. The query stays whatever happens to the path. `matchedPrefix` is the prefix by which the rule took the request.
 * Undefined: a prefix is to be replaced where none matched, which is answered with 500.
 */
export function rewriteTarget(
  { path: modifier }: UrlRewrite,
  matchedPrefix: string | undefined,
  path: string,
  query: string,
): string | undefined {
  const changed = modifier === undefined ? path : modifyPath(modifier, path, matchedPrefix);
  if (changed === undefined) return undefined;
  // RFC 9112 §3.2.1: a target in origin form begins with a slash. The API server takes replacements without one.
  const absolute = modifier === undefined || changed.startsWith("/") ? changed : `/${changed}`;
  return query === "" ? absolute : `${absolute}?${query}`;
}

/** The Host towards the backend. The filter's replaces the whole value, port included. */
export function rewriteHost({ host }: UrlRewrite, authority: string): string {
  return host === "" ? authority : host;
}
