import test from "ava";
import {
  findTokenFault,
  severalTokens,
  tokenIn,
  tokenLeewaySeconds,
} from "../../../src/core/decide/token.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import type { TokenRule } from "../../../src/core/model/token.ts";

const rule: TokenRule = {
  meta: defaultMeta("a"),
  issuer: "https://login.example",
  audiences: ["web", "api"],
  keys: { from: "inline", jwks: "" },
  claims: [
    { name: "groups", values: ["admin", "ops"] },
    { name: "level", values: ["3", "true"] },
  ],
  place: { in: "header", name: "authorization" },
  forward: true,
};

const nowSeconds = 1_700_000_000;
const good = {
  iss: "https://login.example",
  aud: "web",
  exp: nowSeconds + 60,
  groups: ["guest", "ops"],
  level: 3,
};

for (const [title, change, fault] of [
  ["takes a token that fits", {}, undefined],
  ["takes one of several audiences", { aud: ["other", "api"] }, undefined],
  ["takes a claim that is a truth value", { level: true }, undefined],
  ["takes a claim that is no list", { groups: "admin" }, undefined],
  ["refuses another issuer", { iss: "https://login.example/" }, "the token is of another issuer"],
  ["refuses a token without issuer", { iss: undefined }, "the token is of another issuer"],
  ["refuses another audience", { aud: ["other"] }, "the token is for another audience"],
  ["refuses a token without audience", { aud: undefined }, "the token is for another audience"],
  [
    "refuses a claim of another value",
    { groups: ["guest"] },
    "claim groups has none of the required values",
  ],
  [
    "refuses a claim that is an object",
    { level: { 3: 3 } },
    "claim level has none of the required values",
  ],
  [
    "refuses a claim that is a list of lists",
    { groups: [["admin"]] },
    "claim groups has none of the required values",
  ],
  [
    "refuses a token without a missing claim",
    { groups: undefined },
    "claim groups has none of the required values",
  ],
  [
    "refuses a token without an end",
    { exp: undefined },
    "the token has no time at which it expires",
  ],
  [
    "refuses an end that is text",
    { exp: `${nowSeconds + 60}` },
    "the token has no time at which it expires",
  ],
  [
    "bears with a clock that is a little off",
    { exp: nowSeconds - tokenLeewaySeconds + 1 },
    undefined,
  ],
  ["refuses an expired token", { exp: nowSeconds - tokenLeewaySeconds }, "the token has expired"],
  ["takes a token that begins a little later", { nbf: nowSeconds + tokenLeewaySeconds }, undefined],
  [
    "refuses a token that is not valid yet",
    { nbf: nowSeconds + tokenLeewaySeconds + 1 },
    "the token is not valid yet",
  ],
  ["refuses a beginning that is text", { nbf: "0" }, "the token has no usable nbf"],
] as const) {
  test(`findTokenFault() ${title}`, (t) => {
    const claims = new Map<string, unknown>(Object.entries({ ...good, ...change }));
    for (const [name, value] of claims) if (value === undefined) claims.delete(name);
    t.is(findTokenFault(rule, claims, nowSeconds), fault);
  });
}

for (const [title, place, values, expected] of [
  ["has none where no header is", rule.place, [], undefined],
  ["takes what follows the scheme", rule.place, ["bearer  a.b.c"], "a.b.c"],
  ["has none of another scheme", rule.place, ["Basic YTpi"], undefined],
  ["takes none of two headers", rule.place, ["Bearer a", "Bearer b"], severalTokens],
  ["takes a header of its own whole", { in: "header", name: "x-t" }, ["a.b.c"], "a.b.c"],
  [
    "takes a cookie from any field",
    { in: "cookie", name: "t" },
    ["a=1; b=2", "xt=3; t = d.e.f"],
    "d.e.f",
  ],
  ["takes none of two cookies", { in: "cookie", name: "t" }, ["t=1", "t=1"], severalTokens],
] as const) {
  test(`tokenIn() ${title}`, (t) => {
    t.is(tokenIn(place, values), expected);
  });
}
