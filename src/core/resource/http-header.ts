/** Header names and modifiers as an HTTPRoute writes them (Gateway API HTTPHeaderFilter). */
import { type Field, quote } from "./field.ts";

type HttpHeader = { readonly name: string; readonly value: string };

/** Names in lower case, each once per list: of equal names Gateway API counts the first. */
export type HttpHeaderModifier = {
  readonly set: readonly HttpHeader[];
  readonly add: readonly HttpHeader[];
  readonly remove: readonly string[];
};

/** RFC 9110 §5.6.2. */
const token = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/;

/** RFC 9110 §5.5, visible ASCII only. A line break in a value would let a route write headers of its own making. */
const headerValue = /^[!-~]+([\t ]+[!-~]+)*$/;

export function readHeaderModifier(field: Field): HttpHeaderModifier {
  return {
    set: readHeaders(field.at("set")),
    add: readHeaders(field.at("add")),
    remove: [...new Set(field.at("remove").items().map(readHeaderName))],
  };
}

/** In lower case, because header names are compared without case. */
export function readHeaderName(field: Field): string {
  const name = field.text();
  if (field.isPresent && !token.test(name)) {
    field.fault(`must be a header name (RFC 9110 §5.6.2 token), is ${quote(field.json)}`);
  }
  return name.toLowerCase();
}

function readHeaders(field: Field): readonly HttpHeader[] {
  const byName = new Map<string, HttpHeader>();
  for (const item of field.items()) {
    const name = readHeaderName(item.at("name"));
    const value = item.at("value").text();
    if (item.at("value").isPresent && !headerValue.test(value)) {
      item
        .at("value")
        .fault(`must be visible ASCII with blanks only in between, is ${quote(value)}`);
    }
    if (!byName.has(name)) byName.set(name, { name, value });
  }
  return [...byName.values()];
}
