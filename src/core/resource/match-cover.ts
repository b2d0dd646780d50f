/**
 * What is left of matches that cannot be read: every part of them that can be. They take at least the requests that were meant, so a broken rule refuses those, and as
 * few others as can be told.
 */
import type { Fault } from "../std/result.ts";
import { FaultList, type Field, isWithin } from "./field.ts";
import {
  asWritten,
  everyRequest,
  everyValue,
  type HttpRouteMatch,
  type HttpValueMatch,
  httpMethods,
  lowerCase,
  readPath,
  readValue,
} from "./http-match.ts";

type Reading = { readonly known: readonly Fault[]; readonly strict: boolean };

/** `known` are the faults that a schema found. Never empty. */
export function coverMatches(field: Field, reading: Reading): readonly HttpRouteMatch[] {
  const items = field.apart(new FaultList()).items();
  return items.length === 0 ? [everyRequest] : items.map((item) => coverMatch(item, reading));
}

function coverMatch(item: Field, reading: Reading): HttpRouteMatch {
  const { known, strict } = reading;
  const path = readable(item.at("path"), known, (field) => readPath(field, strict));
  return {
    path: path ?? everyRequest.path,
    headers: coverValues(item.at("headers"), known, lowerCase),
    queryParams: coverValues(item.at("queryParams"), known, asWritten),
    method: readable(item.at("method"), known, (field) => field.optionalChoice(httpMethods)),
  };
}

/** One whose value cannot be read takes every value, which keeps its place in the order of precedence; one without a name is left out. */
function coverValues(
  field: Field,
  known: readonly Fault[],
  canonical: (name: string) => string,
): readonly HttpValueMatch[] {
  const byName = new Map<string, HttpValueMatch>();
  for (const item of field.items()) {
    const name = readable(item.at("name"), known, (one) => canonical(one.text()));
    if (name === undefined || byName.has(name)) continue;
    const whole = readable(item, known, (one) => readValue(one, canonical));
    byName.set(name, whole ?? { type: "RegularExpression", name, value: everyValue });
  }
  return [...byName.values()];
}

function readable<T>(
  field: Field,
  known: readonly Fault[],
  read: (field: Field) => T,
): T | undefined {
  const list = new FaultList(known.filter(({ path }) => isWithin(path, field.path)));
  const found = list.settle(read(field.apart(list)));
  return found.ok ? found.value : undefined;
}
