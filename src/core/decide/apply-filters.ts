/** What filters do, as plans: the proxy carries them out. Header modifiers need no plan; they are read from the model (remove, set, add). */
import type { Delay, FailureInjector, PathModifier, Redirect } from "../model/filter.ts";
import { trimPrefix } from "../table/http-route.ts";
import type { RequestView } from "./find-route.ts";

/** A request as a redirect sees it. `scheme` is what the client used: a sidecar's own mutual TLS does not count. */
export type RedirectView = Pick<RequestView, "path" | "query" | "authority"> & {
  readonly scheme: "http" | "https";
};

export type Redirection = { readonly status: number; readonly location: string };

/**
 * Gateway API HTTPRequestRedirectFilter. `matchedPrefix` is the prefix by which the rule took the request, undefined when it was not by a prefix.
 * `listenerPort` is the port that the client dialed; in a mesh that of the Service. Undefined: a prefix is to be replaced where none matched, which
 * is answered with 500.
 */
export function redirectLocation(
  redirect: Redirect,
  request: RedirectView,
  matchedPrefix: string | undefined,
  listenerPort: number,
): Redirection | undefined {
  const path =
    redirect.path === undefined
      ? request.path
      : modifyPath(redirect.path, request.path, matchedPrefix);
  if (path === undefined) return undefined;
  const scheme = redirect.scheme === "" ? request.scheme : redirect.scheme;
  const host = redirect.host === "" ? withoutPort(request.authority) : redirect.host;
  const port = portText(scheme, redirectPort(redirect, listenerPort));
  const query = request.query === "" ? "" : `?${request.query}`;
  return { status: redirect.status, location: `${scheme}://${host}${port}${path}${query}` };
}

/** A share of the requests. */
export type Ratio = Pick<FailureInjector, "numerator" | "denominator">;

/** Whether a request is among the share that is failed, held back or mirrored. `random01` is from 0 to 1, without 1. A share that cannot be computed is everything. */
export function isHit({ numerator, denominator }: Ratio, random01: number): boolean {
  return denominator <= 0 || random01 * denominator < numerator;
}

export function failureHits(failure: FailureInjector, random01: number): boolean {
  return isHit(failure, random01);
}

/** How long a request is held back before it goes on; 0 for those that are not among the share. */
export function delayFor(delay: Delay, random01: number): number {
  return isHit(delay, random01) ? delay.delayMs : 0;
}

/** Gateway API HTTPPathModifier: the slashes at the end of the prefix and of its replacement do not count, and a path is never empty. */
export function modifyPath(
  modifier: PathModifier,
  path: string,
  matchedPrefix: string | undefined,
): string | undefined {
  if (modifier.kind === "full") return modifier.value;
  if (matchedPrefix === undefined) return undefined;
  const rest = path.slice(trimPrefix(matchedPrefix).length);
  return `${trimPrefix(modifier.value)}${rest}` || "/";
}

const wellKnownPorts: ReadonlyMap<string, number> = new Map([
  ["http", 80],
  ["https", 443],
]);

/** The filter's own, else the well-known one of the filter's scheme, else the one that was dialed. */
function redirectPort({ scheme, port }: Redirect, listenerPort: number): number {
  if (port !== 0) return port;
  return wellKnownPorts.get(scheme) ?? listenerPort;
}

function portText(scheme: string, port: number): string {
  return wellKnownPorts.get(scheme) === port ? "" : `:${port}`;
}

function withoutPort(authority: string): string {
  return authority.replace(/:[0-9]*$/, "");
}
