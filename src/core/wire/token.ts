import type { MessageInitShape } from "@bufbuild/protobuf";
import type { KeySource, TokenPlace, TokenRule } from "../model/token.ts";
import { isToken } from "../std/field.ts";
import { unreachable } from "../std/unreachable.ts";
import { report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import type { TokenRuleSchema, TokenRule as WireTokenRule } from "./gen/weft/extensions_pb.ts";
import { fromWireMeta, toWireMeta } from "./meta.ts";

export function toWireToken(rule: TokenRule): MessageInitShape<typeof TokenRuleSchema> {
  const { meta, issuer, audiences, keys, claims, place, forward } = rule;
  return {
    metadata: toWireMeta(meta),
    issuer,
    audiences: [...audiences],
    ...toWireKeys(keys),
    claims: claims.map(({ name, values }) => ({ name, values: [...values] })),
    place: { case: place.in, value: place.name },
    strip: !forward,
  };
}

function toWireKeys(
  keys: KeySource,
): Pick<MessageInitShape<typeof TokenRuleSchema>, "keys" | "maxAge"> {
  switch (keys.from) {
    case "inline":
      return { keys: { case: "inline", value: keys.jwks } };
    case "file":
    case "url":
      return {
        keys: { case: keys.from, value: keys.location },
        maxAge: toWireDuration(keys.maxAgeMs),
      };
    default:
      return unreachable(keys);
  }
}

/** Undefined: something of it cannot be read, so that nobody can be known by it. Whatever is missing would ask for less than was meant. */
export function fromWireToken(message: WireTokenRule, trace: Trace): TokenRule | undefined {
  const broken = (reason: string): undefined => {
    report(trace, `${reason}; the authorization is dropped`);
    return undefined;
  };
  const { issuer, audiences, claims, strip } = message;
  if (issuer === "") return broken("has no issuer");
  if (audiences.length === 0 || audiences.includes("")) return broken("has no usable audiences");
  if (claims.some(({ name, values }) => name === "" || values.length === 0)) {
    return broken("has a claim without name or values");
  }
  const keys = fromWireKeys(message);
  if (keys === undefined) return broken("has no usable keys");
  const place = fromWirePlace(message);
  if (place === undefined) return broken("has no usable place");
  return {
    meta: fromWireMeta(message.metadata, under(trace, "metadata")),
    issuer,
    audiences,
    keys,
    claims: claims.map(({ name, values }) => ({ name, values })),
    place,
    forward: !strip,
  };
}

function fromWireKeys({ keys, maxAge }: WireTokenRule): KeySource | undefined {
  if (keys.case === undefined || keys.value === "") return undefined;
  if (keys.case === "inline") return { from: "inline", jwks: keys.value };
  const maxAgeMs = maxAge === undefined ? undefined : fromWireDuration(maxAge);
  return maxAgeMs === undefined ? undefined : { from: keys.case, location: keys.value, maxAgeMs };
}

function fromWirePlace({ place }: WireTokenRule): TokenPlace | undefined {
  if (place.case === undefined || !isToken(place.value)) return undefined;
  return place.case === "header"
    ? { in: "header", name: place.value.toLowerCase() }
    : { in: "cookie", name: place.value };
}
