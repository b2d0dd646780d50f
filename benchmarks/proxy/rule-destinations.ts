/** Destinations with 1 and with 1,000 rules of the kinds that occur most, and what a request says that only the last rule takes. */
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";

export const ruleCounts = [1, 1_000] as const;

export const ruleKinds = ["exact", "prefix", "header"] as const;

export type RuleKind = (typeof ruleKinds)[number];

export function destinationName(kind: RuleKind, count: number): string {
  return `${kind}-${count}.demo`;
}

export function ruleDestinations(): ReadonlyMap<string, readonly HttpMatch[]> {
  return new Map(
    ruleKinds.flatMap((kind) =>
      ruleCounts.map((count) => [
        destinationName(kind, count),
        Array.from({ length: count }, (_, at) => matchOf(kind, at)),
      ]),
    ),
  );
}

export function pathFor(count: number): string {
  return `/api/v1/thing-${count - 1}`;
}

export function tenantFor(count: number): string {
  return `tenant-${count - 1}`;
}

function matchOf(kind: RuleKind, at: number): HttpMatch {
  if (kind === "header") {
    const header = { name: "x-tenant", kind: "exact", value: tenantFor(at + 1) } as const;
    return { ...everyRequest, headers: [header] };
  }
  return { ...everyRequest, path: { kind, value: pathFor(at + 1) } };
}
