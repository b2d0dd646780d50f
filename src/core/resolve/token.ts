import type { KeySource, TokenRule } from "../model/token.ts";
import type { JwtAuthentication, JwtKeys } from "../resource/jwt-authentication.ts";
import { unreachable } from "../std/unreachable.ts";
import { metaOf } from "./object-meta.ts";

export function resolveToken(authentication: JwtAuthentication): TokenRule {
  const { issuer, audiences, claims, token, forward } = authentication;
  return {
    meta: metaOf(authentication),
    issuer,
    audiences,
    keys: keySource(authentication.keys),
    claims,
    place: token,
    forward,
  };
}

function keySource(keys: JwtKeys): KeySource {
  switch (keys.from) {
    case "inline":
      return keys;
    case "file":
      return { from: "file", location: keys.path, maxAgeMs: keys.maxAgeMs };
    case "url":
      return { from: "url", location: keys.url, maxAgeMs: keys.maxAgeMs };
    default:
      return unreachable(keys);
  }
}
