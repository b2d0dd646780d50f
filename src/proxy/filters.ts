/**
 * Filters of a rule or of a backend in the form in which requests meet them, in their order: names in lower case, values as
 * octets, backends looked up.
 */
import type { HeadEdit } from "../codec/http1-write.ts";
import { filterFault } from "../core/decide/filter-fault.ts";
import {
  type Cors,
  type Delay,
  type DirectResponse,
  type ExternalAuth,
  type FailureInjector,
  type Filter,
  failAlways,
  type HeaderModifier,
  type HeaderValue,
  type Mirror,
  type PathModifier,
  type Redirect,
  type UrlRewrite,
} from "../core/model/filter.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { ExternalAuthEntry, FilterEntry, MirrorEntry } from "../core/table/outbound.ts";
import type { TargetGroup } from "./exchange.ts";
import type { SpokenProtocol } from "./loaded.ts";
import type { MirrorCounts } from "./mirror-counts.ts";

export type PreparedFilters = readonly FilterStep[];

/** One filter. */
export type FilterStep =
  | { readonly kind: "request-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "response-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "redirect"; readonly redirect: Redirect }
  | { readonly kind: "failure"; readonly failure: FailureInjector }
  | { readonly kind: "url-rewrite"; readonly rewrite: UrlRewrite }
  | { readonly kind: "mirror"; readonly mirror: PreparedMirror }
  | { readonly kind: "cors"; readonly cors: Cors }
  | { readonly kind: "external-auth"; readonly auth: PreparedAuth }
  | { readonly kind: "direct-response"; readonly response: DirectResponse }
  | { readonly kind: "delay"; readonly delay: Delay };

export type PreparedMirror = Omit<MirrorEntry, "backend"> & {
  /** Undefined: the backend leads nowhere. */
  readonly group: TargetGroup | undefined;
  readonly protocol: SpokenProtocol;
  readonly counts: MirrorCounts;
};

export type PreparedAuth = Omit<ExternalAuth, "backend"> & {
  /** Undefined: the backend leads nowhere. */
  readonly group: TargetGroup | undefined;
};

/** What filters that refer to backends need; `backend` is an index into the table's. */
export type FilterContext = {
  readonly groupOf: (backend: number) => TargetGroup | undefined;
  readonly protocolOf: (backend: number) => SpokenProtocol;
  readonly mirrorCounts: (backend: number) => MirrorCounts;
};

/**
 * A filter that cannot be carried out fails its own requests, and says so: it is neither skipped nor done by half. Without
 * `context` (on the inbound side, where a request has one way to go) that holds for filters that refer to a backend.
 */
export function prepareFilters(
  filters: readonly (Filter | FilterEntry)[],
  context?: FilterContext,
): PreparedFilters {
  return filters.map((filter) => prepareFilter(filter, context));
}

/** In the order remove, set, add. */
export function applyModifiers(edit: HeadEdit, modifiers: readonly HeaderModifier[]): void {
  for (let at = 0; at < modifiers.length; at++) {
    applyModifier(edit, modifiers[at] as HeaderModifier);
  }
}

export function applyModifier(edit: HeadEdit, { remove, set, add }: HeaderModifier): void {
  for (const name of remove) edit.remove(name);
  for (const { name, value } of set) edit.set(name, value);
  for (const { name, value } of add) edit.add(name, value);
}

function prepareFilter(
  filter: Filter | FilterEntry,
  context: FilterContext | undefined,
): FilterStep {
  const fault = filterFault(filter);
  if (fault !== undefined) return broken(fault);
  switch (filter.kind) {
    case "request-headers":
    case "response-headers":
      return { kind: filter.kind, modifier: prepareModifier(filter.modifier) };
    case "redirect": {
      const { redirect } = filter;
      const path = redirect.path && preparePath(redirect.path);
      return { kind: "redirect", redirect: { ...redirect, host: octets(redirect.host), path } };
    }
    case "mirror":
      return prepareMirror(filter.mirror, context);
    case "direct-response":
      return prepareResponse(filter.response);
    case "external-auth":
      return prepareAuth(filter.auth, context);
    case "url-rewrite":
    case "cors":
    case "failure":
    case "delay":
      return filter;
    default:
      return unreachable(filter);
  }
}

function broken(fault: string): FilterStep {
  const filter = failAlways(500, fault);
  if (filter.kind !== "failure") throw new Error("Made a failure that is not one");
  return filter;
}

function prepareMirror(
  { backend, numerator, denominator }: Mirror | MirrorEntry,
  context: FilterContext | undefined,
): FilterStep {
  if (context === undefined || typeof backend !== "number") {
    return broken("a filter sends copies where there is no other backend");
  }
  const group = context.groupOf(backend);
  const protocol = context.protocolOf(backend);
  const counts = context.mirrorCounts(backend);
  return { kind: "mirror", mirror: { numerator, denominator, group, protocol, counts } };
}

function prepareAuth(
  auth: ExternalAuth | ExternalAuthEntry,
  context: FilterContext | undefined,
): FilterStep {
  const { backend, ...asked } = auth;
  if (context === undefined || typeof backend !== "number") {
    return broken("a filter asks for authorization where there is no other backend");
  }
  return { kind: "external-auth", auth: { ...asked, group: context.groupOf(backend) } };
}

/** RFC 9110 §15.3.6: 205 has no content. Without content its type means nothing. */
function prepareResponse({ status, body: text, contentType }: DirectResponse): FilterStep {
  const body = status === 205 ? "" : text;
  const response = { status, body, contentType: body === "" ? "" : octets(contentType) };
  return { kind: "direct-response", response };
}

function prepareModifier({ set, add, remove }: HeaderModifier): HeaderModifier {
  return {
    set: set.map(prepareValue),
    add: add.map(prepareValue),
    remove: remove.map((name) => name.toLowerCase()),
  };
}

function prepareValue({ name, value }: HeaderValue): HeaderValue {
  return { name: name.toLowerCase(), value: octets(value) };
}

/** A URI is ASCII; what else comes in a policy is written as RFC 3987 §3.1 says. */
function preparePath({ kind, value }: PathModifier): PathModifier {
  const escaped = (octet: string): string => `%${octet.charCodeAt(0).toString(16).toUpperCase()}`;
  return { kind, value: octets(value).replaceAll(/[\u0080-\u00ff]/g, escaped) };
}

/** Values travel as UTF-8; a head is written as one octet for each character. */
function octets(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
