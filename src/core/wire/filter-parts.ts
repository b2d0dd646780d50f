/** What the filters of the contract and those of `weft.v1` are made of. */
import { type Filter, failAlways, type PathModifier } from "../model/filter.ts";
import { report, type Trace } from "./decode.ts";

/** A filter that cannot be read answers for its requests: Gateway API HTTPRouteFilter forbids to skip it. */
export function brokenFilter(trace: Trace, reason: string): Filter {
  return failAlways(500, report(trace, reason));
}

/** The contract wants a slash in front; for a prefix it makes no difference, and a full path without it is none. */
export function toWireReplacement({ kind, value }: PathModifier): {
  case: "full" | "prefix";
  value: string;
} {
  return { case: kind, value: withSlash(value) };
}

type Replacement =
  | { readonly case: "full" | "prefix"; readonly value: string }
  | { readonly case: undefined; readonly value?: undefined };

export function fromWireReplacement(replacement: Replacement): PathModifier | undefined {
  if (replacement.case === undefined || !replacement.value.startsWith("/")) return undefined;
  return isUrlText(replacement.value)
    ? { kind: replacement.case, value: replacement.value }
    : undefined;
}

export function withSlash(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}

/** What goes into a request line or a Location must not end it. */
export function isUrlText(text: string): boolean {
  return /^[\u0021-\u007e]*$/.test(text);
}
