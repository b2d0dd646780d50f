/**
 * Filters of a rule in the form in which requests meet them: names in lower case, values as octets, header changes apart
 * from what answers in place of a backend.
 */
import type { HeadEdit } from "../codec/http1-write.ts";
import {
  type FailureInjector,
  type Filter,
  failAlways,
  type HeaderModifier,
  type HeaderValue,
  type Redirect,
} from "../core/model/filter.ts";
import { isFieldValue, isToken } from "../core/std/field.ts";
import { isPrivateName } from "./private-fields.ts";

export type PreparedFilters = {
  readonly request: readonly HeaderModifier[];
  readonly response: readonly HeaderModifier[];
  /** In order; the first that answers ends the request. */
  readonly answers: readonly AnswerFilter[];
};

type AnswerFilter =
  | { readonly kind: "redirect"; readonly redirect: Redirect }
  | { readonly kind: "failure"; readonly failure: FailureInjector };

/**
 * Fields that say where a message ends or what the connection does next (RFC 9110 §7.6.1, RFC 9112 §6). They belong to the
 * proxy; a filter that could change them could hide a request inside another.
 */
const ownNames: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A modifier that cannot be carried out fails its own requests, and says so: it is neither skipped nor done by half. */
export function prepareFilters(filters: readonly Filter[]): PreparedFilters {
  const request: HeaderModifier[] = [];
  const response: HeaderModifier[] = [];
  const answers: AnswerFilter[] = [];
  for (const filter of filters) {
    if (filter.kind === "redirect" || filter.kind === "failure") {
      answers.push(filter);
      continue;
    }
    const fault = faultOf(filter.modifier);
    const modifiers = filter.kind === "request-headers" ? request : response;
    if (fault === undefined) modifiers.push(prepareModifier(filter.modifier));
    else answers.push(broken(fault));
  }
  return { request, response, answers };
}

/** In the order remove, set, add. */
export function applyModifiers(edit: HeadEdit, modifiers: readonly HeaderModifier[]): void {
  for (const { remove, set, add } of modifiers) {
    for (const name of remove) edit.remove(name);
    for (const { name, value } of set) edit.set(name, value);
    for (const { name, value } of add) edit.add(name, value);
  }
}

function broken(fault: string): AnswerFilter {
  const filter = failAlways(500, fault);
  if (filter.kind !== "failure") throw new Error("Made a failure that is not one");
  return filter;
}

function faultOf({ set, add, remove }: HeaderModifier): string | undefined {
  for (const name of [...remove, ...set.map(nameOf), ...add.map(nameOf)]) {
    const fault = nameFault(name);
    if (fault !== undefined) return fault;
  }
  // RFC 9112 §3.2: exactly one Host. It may be replaced, not doubled or left out.
  if ([...remove, ...add.map(nameOf)].some((name) => name.toLowerCase() === "host")) {
    return "a filter may set the header 'host', but not add or remove it";
  }
  const bad = [...set, ...add].find(({ value }) => !isFieldValue(value));
  return bad === undefined ? undefined : `a filter gives the header '${bad.name}' a bad value`;
}

function nameFault(name: string): string | undefined {
  if (!isToken(name)) return "a filter names a header that is not a token";
  const lower = name.toLowerCase();
  if (!isPrivateName(lower) && !ownNames.has(lower)) return undefined;
  return `a filter may not change the header '${lower}'`;
}

function nameOf({ name }: HeaderValue): string {
  return name;
}

function prepareModifier({ set, add, remove }: HeaderModifier): HeaderModifier {
  return {
    set: set.map(prepareValue),
    add: add.map(prepareValue),
    remove: remove.map((name) => name.toLowerCase()),
  };
}

/** Values travel as UTF-8; a head is written as one octet for each character. */
function prepareValue({ name, value }: HeaderValue): HeaderValue {
  return { name: name.toLowerCase(), value: Buffer.from(value, "utf8").toString("latin1") };
}
