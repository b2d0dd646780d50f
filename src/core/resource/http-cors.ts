/** Cross-origin resource sharing as an HTTPRoute writes it (Gateway API HTTPCORSFilter). */
import type { Field } from "./field.ts";
import { readHeaderName } from "./http-header.ts";
import { type HttpMethod, httpMethods } from "./http-match.ts";

/** A `*` stands alone in the first three lists of names. */
export type HttpCors = {
  readonly allowOrigins: readonly string[];
  readonly allowCredentials: boolean;
  readonly allowMethods: readonly (HttpMethod | "*")[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAgeSeconds: number;
};

/** What Gateway API has a browser told when the filter does not say. */
const defaultMaxAgeSeconds = 5;

/** The API's type of the field (int32). */
const maxMaxAgeSeconds = 2_147_483_647;

const methods: readonly (HttpMethod | "*")[] = [...httpMethods, "*"];

export function readCors(field: Field): HttpCors {
  const maxAge = field.at("maxAge").optionalInteger({ min: 1, max: maxMaxAgeSeconds });
  return {
    allowOrigins: aloneIfStar(field.at("allowOrigins"), (item) => item.text()),
    allowCredentials: field.at("allowCredentials").flag(false),
    allowMethods: aloneIfStar(field.at("allowMethods"), (item) => item.choice(methods, "*")),
    allowHeaders: aloneIfStar(field.at("allowHeaders"), readHeaderName),
    exposeHeaders: field.at("exposeHeaders").items().map(readHeaderName),
    maxAgeSeconds: maxAge ?? defaultMaxAgeSeconds,
  };
}

function aloneIfStar<T extends string>(field: Field, read: (item: Field) => T): readonly T[] {
  const values = field.items().map(read);
  if (values.length > 1 && values.some((value) => value === "*")) {
    field.fault('must hold "*" alone or no "*"');
  }
  return values;
}
