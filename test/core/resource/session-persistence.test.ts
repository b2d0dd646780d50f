import test from "ava";
import { parseHttpRoute } from "../../../src/core/resource/http-route.ts";
import type { SessionPersistence } from "../../../src/core/resource/session-persistence.ts";
import { edit, gatewayRoute, parsed } from "./manifests.ts";

const field = "spec.rules[0].sessionPersistence";

function read(json: unknown): SessionPersistence | undefined {
  const [rule] = parsed(parseHttpRoute(edit(gatewayRoute, field, json))).rules;
  if (rule?.state !== "valid") throw new Error(`Expected a valid rule: ${JSON.stringify(rule)}`);
  return rule.sessionPersistence;
}

function faults(json: unknown): readonly string[] {
  const [rule] = parsed(parseHttpRoute(edit(gatewayRoute, field, json))).rules;
  if (rule?.state !== "broken") return [];
  return rule.faults.map(({ path, reason }) => `${path}: ${reason}`);
}

const cookie = {
  type: "Cookie",
  name: undefined,
  path: "/",
  lifetimeType: "Session",
  absoluteTimeoutMs: undefined,
  idleTimeoutMs: undefined,
} as const;

const spellings: readonly [string, unknown, SessionPersistence][] = [
  ["nothing said", {}, cookie],
  [
    "Gateway API 1.5, cookie",
    {
      sessionName: "s",
      idleTimeout: "1m",
      absoluteTimeout: "1h",
      cookieConfig: { lifetimeType: "Permanent" },
    },
    {
      ...cookie,
      name: "s",
      lifetimeType: "Permanent",
      absoluteTimeoutMs: 3_600_000,
      idleTimeoutMs: 60_000,
    },
  ],
  [
    "Gateway API 1.5, header",
    { type: "Header", sessionName: "s" },
    { type: "Header", name: "s", absoluteTimeoutMs: undefined, idleTimeoutMs: undefined },
  ],
  ["Gateway API 1.6", { sessionName: "s", cookieConfig: {} }, { ...cookie, name: "s" }],
  [
    "the newest, cookie",
    {
      type: "Cookie",
      absoluteTimeout: "10s",
      cookie: { name: "c", path: "/a", lifetimeType: "Permanent" },
    },
    { ...cookie, name: "c", path: "/a", lifetimeType: "Permanent", absoluteTimeoutMs: 10_000 },
  ],
  [
    "the newest, header",
    { type: "Header", header: { name: "X-S" } },
    { type: "Header", name: "x-s", absoluteTimeoutMs: undefined, idleTimeoutMs: undefined },
  ],
];

for (const [name, json, expected] of spellings) {
  test(`session persistence is read as ${name} spells it`, (t) => {
    t.deepEqual(read(json), expected);
  });
}

test("session persistence that is absent stays absent", (t) => {
  t.is(read(undefined), undefined);
});

const refused: readonly [unknown, string][] = [
  [{ type: "Token" }, `${field}.type: must be "Cookie" or "Header", is "Token"`],
  [
    { cookie: { lifetimeType: "Permanent" } },
    `${field}.absoluteTimeout: is required for lifetimeType "Permanent"`,
  ],
  [
    { cookieConfig: { lifetimeType: "Permanent" } },
    `${field}.absoluteTimeout: is required for lifetimeType "Permanent"`,
  ],
  [{ type: "Header", cookie: {} }, `${field}.cookie: must be absent for type "Header"`],
  [{ type: "Header", cookieConfig: {} }, `${field}.cookieConfig: must be absent for type "Header"`],
  [{ header: { name: "a" } }, `${field}.header: must be absent for type "Cookie"`],
  [
    { cookie: { name: "a=b; Domain=example.com" } },
    `${field}.cookie.name: must be a cookie name (RFC 6265 §4.1.1 token), is "a=b; Domain=example.com"`,
  ],
  [
    { sessionName: "a b" },
    `${field}.sessionName: must be a cookie name (RFC 6265 §4.1.1 token), is "a b"`,
  ],
  [
    { type: "Header", sessionName: "a b" },
    `${field}.sessionName: must be a header name (RFC 9110 §5.6.2 token), is "a b"`,
  ],
  [
    { cookie: { path: "/; Secure" } },
    `${field}.cookie.path: must start with "/" and have no ";" (RFC 6265 §4.1.1), is "/; Secure"`,
  ],
  [{ type: "Header", header: {} }, `${field}.header.name: is required`],
  [
    { sessionName: "a", cookie: { name: "b" } },
    `${field}: must not mix sessionName with cookie: keep the latter`,
  ],
  [
    { absoluteTimeout: "1d" },
    `${field}.absoluteTimeout: must be a duration like "500ms", "10s" or "1h30m" (GEP-2257: whole numbers with h, m, s or ms), is "1d"`,
  ],
];

for (const [json, fault] of refused) {
  test(`session persistence ${JSON.stringify(json)} is refused`, (t) => {
    t.deepEqual(faults(json), [fault]);
  });
}
