/** What a filter does, in a line for people, whatever the request. `explain/walk-filters.ts` says what it does to one request. */
import type { Backend } from "../model/backend.ts";
import type { Filter, HeaderModifier, PathModifier, Redirect } from "../model/filter.ts";
import { describeMeta } from "../model/meta.ts";
import { formatDurationMs } from "../std/duration.ts";
import type { FilterEntry } from "../table/outbound.ts";
import type { Ratio } from "./apply-filters.ts";
import { filterFault } from "./filter-fault.ts";

/** A filter of an outbound table names its backend by its place there, one of an inbound table has it with it. */
export type AnyFilter = FilterEntry | Filter;

export function describeFilter(filter: AnyFilter, nameOf: (backend: number) => string): string {
  const fault = filterFault(filter);
  if (fault !== undefined) return `answers every request with 500: ${fault}`;
  switch (filter.kind) {
    case "request-headers":
      return describeModifier("request", filter.modifier);
    case "response-headers":
      return describeModifier("response", filter.modifier);
    case "redirect":
      return redirectText(filter.redirect);
    case "failure": {
      const { status, message } = filter.failure;
      return `answers ${describeRatio(filter.failure)} with ${status}: ${message}`;
    }
    case "url-rewrite": {
      const { host, path } = filter.rewrite;
      const parts = [...(path === undefined ? [] : [pathText(path)]), ...named("host", host)];
      return `rewrites ${parts.length === 0 ? "nothing" : parts.join(", ")}`;
    }
    case "mirror": {
      const to = backendName(filter.mirror, nameOf);
      return `sends a copy of ${describeRatio(filter.mirror)} to ${to}`;
    }
    case "cors":
      return `lets pages of ${filter.cors.origins.join(", ") || "no origin"} read answers`;
    case "external-auth":
      return `asks ${backendName(filter.auth, nameOf)} first, which may refuse the request`;
    case "direct-response":
      return `answers every request with ${filter.response.status}`;
    case "delay":
      return `makes ${describeRatio(filter.delay)} wait ${formatDurationMs(filter.delay.delayMs)}`;
  }
}

export function describeModifier(
  of: "request" | "response",
  { remove, set, add }: HeaderModifier,
): string {
  const parts = [
    ...remove.map((name) => `removes ${name}`),
    ...set.map(({ name, value }) => `sets ${name}: ${value}`),
    ...add.map(({ name, value }) => `adds ${name}: ${value}`),
  ];
  return `${of}: ${parts.length === 0 ? "changes nothing" : parts.join(", ")}`;
}

/** As isHit() counts: what cannot be computed is everything. */
export function shareOf({ numerator, denominator }: Ratio): number {
  return denominator <= 0 ? 1 : Math.min(1, Math.max(0, numerator / denominator));
}

export function describeRatio(ratio: Ratio): string {
  return describeShare(shareOf(ratio));
}

export function describeShare(share: number): string {
  return share === 1 ? "every request" : `${toPercent(share)} % of requests`;
}

/** Two digits after the point are enough for people, and for a weight of 1 in 10,000. */
export function toPercent(share: number): number {
  return Math.round(share * 10_000) / 100;
}

export function backendName(
  { backend }: { readonly backend: number | Backend },
  nameOf: (backend: number) => string,
): string {
  return typeof backend === "number" ? nameOf(backend) : describeMeta(backend.meta);
}

function redirectText({ status, scheme, host, port, path }: Redirect): string {
  const parts = [
    ...named("scheme", scheme),
    ...named("host", host),
    ...named("port", port === 0 ? "" : `${port}`),
    ...(path === undefined ? [] : [pathText(path)]),
  ];
  const where = parts.length === 0 ? "the same place" : parts.join(", ");
  return `redirects every request with ${status} to ${where}`;
}

function pathText({ kind, value }: PathModifier): string {
  return kind === "full" ? `the path to ${value}` : `the matched prefix to ${value}`;
}

function named(what: string, value: string): readonly string[] {
  return value === "" ? [] : [`${what} ${value}`];
}
