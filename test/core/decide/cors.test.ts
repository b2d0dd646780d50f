import test from "ava";
import fc from "fast-check";
import {
  corsResponseHeaders,
  isPreflight,
  maxOriginLength,
  maxRequestedHeadersLength,
  originAllowed,
  type Preflight,
  preflight,
} from "../../../src/core/decide/cors.ts";
import type { Cors } from "../../../src/core/model/filter.ts";

const plain: Cors = {
  origins: ["https://a.com"],
  credentials: false,
  methods: [],
  headers: [],
  exposed: [],
  maxAgeSeconds: 5,
};

const everything: Cors = { ...plain, origins: ["*"], methods: ["*"], headers: ["*"] };

function answer(cors: Partial<Cors>, request: Partial<Preflight> = {}): Record<string, string> {
  const asked = { requestedMethod: "GET", requestedHeaders: undefined, ...request };
  const headers = preflight({ ...plain, ...cors }, { origin: "https://a.com", ...asked });
  return Object.fromEntries(
    headers.map(({ name, value }) => [name.replace("access-control-", ""), value]),
  );
}

const takes = test.macro({
  exec: (t, pattern: string, origin: string, allowed: boolean) => {
    t.is(originAllowed([pattern], origin), allowed);
    t.is(originAllowed(["http://other.example", pattern], origin), allowed);
  },
  title: (_given, pattern: string, origin: string, allowed: boolean) =>
    `originAllowed() ${allowed ? "takes" : "refuses"} ${origin} by ${pattern}`,
});

test(takes, "https://a.com", "https://a.com", true);
test(takes, "https://a.com", "HTTPS://A.com", true);
test(takes, "https://A.com", "https://a.com", true);
test(takes, "https://a.com", "https://a.com:443", true);
test(takes, "https://a.com:443", "https://a.com", true);
test(takes, "http://a.com", "http://a.com:80", true);
test(takes, "https://a.com", "http://a.com", false);
test(takes, "https://a.com", "https://a.com:80", false);
test(takes, "https://a.com", "https://a.com:8443", false);
test(takes, "https://a.com:8443", "https://a.com:8443", true);
test(takes, "https://a.com", "https://a.com.evil.com", false);
test(takes, "https://a.com", "https://xa.com", false);
test(takes, "https://a.com", "https://a.com/", false);
test(takes, "https://a.com", "https://user@a.com", false);
test(takes, "https://*.bar.com", "https://a.bar.com", true);
test(takes, "https://*.bar.com", "https://a.b.bar.com", true);
test(takes, "https://*.bar.com", "https://bar.com", false);
test(takes, "https://*.bar.com", "https://.bar.com", false);
test(takes, "https://*.bar.com", "https://foobar.com", false);
test(takes, "https://*.bar.com", "https://a.bar.com:8443", false);
test(takes, "https://*.bar.com:8443", "https://a.bar.com:8443", true);
test(takes, "https://*", "https://anything.example", true);
test(takes, "https://*", "http://anything.example", false);
test(takes, "https://*", "https://anything.example:8443", false);
test(takes, "https://*:8443", "https://anything.example:8443", true);
test(takes, "http://127.0.0.1", "http://127.0.0.1", true);
test(takes, "*", "https://anything.example:1", true);
test(takes, "*", "http://[::1]:3000", true);
test(takes, "*", "null", true);
test(takes, "https://*", "null", false);
test(takes, "*", "https://a.com, https://b.com", false);
test(takes, "*", "https://a.com\u00e9", false);
test(takes, "*", "", false);
test(takes, "*", `https://${"a".repeat(maxOriginLength)}`, false);

test("originAllowed() answers any text", (t) => {
  const text = fc.string({ unit: "binary", maxLength: 60 });
  fc.assert(
    fc.property(text, (origin) => {
      t.false(originAllowed(["https://*.bar.com", "http://a"], `x${origin}`));
    }),
  );
});

test("isPreflight() wants OPTIONS, an origin and a method", (t) => {
  const header = (names: readonly string[]) => (name: string) =>
    names.includes(name) ? "x" : undefined;
  const both = header(["origin", "access-control-request-method"]);
  t.true(isPreflight("OPTIONS", both));
  t.false(isPreflight("GET", both));
  t.false(isPreflight("options", both));
  t.false(isPreflight("OPTIONS", header(["origin"])));
  t.false(isPreflight("OPTIONS", header(["access-control-request-method"])));
});

test("preflight() answers an allowed origin with what is configured", (t) => {
  const cors = { methods: ["GET", "PUT"], headers: ["x-a", "x-b"], exposed: ["x-c"] };
  t.deepEqual(answer({ ...cors, credentials: true, maxAgeSeconds: 600 }), {
    "allow-origin": "https://a.com",
    "allow-credentials": "true",
    "allow-methods": "GET, PUT",
    "allow-headers": "x-a, x-b",
    "expose-headers": "x-c",
    "max-age": "600",
    vary: "Origin",
  });
});

test("preflight() leaves out what is not configured", (t) => {
  t.deepEqual(answer({}), {
    "allow-origin": "https://a.com",
    "max-age": "5",
    vary: "Origin",
  });
});

test("preflight() says nothing to an origin that is not allowed", (t) => {
  t.deepEqual(preflight(plain, { ...request, origin: "https://b.com" }), []);
});

const request: Preflight = {
  origin: "https://a.com",
  requestedMethod: "PUT",
  requestedHeaders: "X-A,x-b",
};

test("preflight() answers wildcards with wildcards", (t) => {
  t.deepEqual(answer({ ...everything, exposed: ["*"] }, request), {
    "allow-origin": "*",
    "allow-methods": "*",
    "allow-headers": "*",
    "expose-headers": "*",
    "max-age": "5",
  });
});

test("preflight() answers wildcards with what was asked for when there are credentials", (t) => {
  t.deepEqual(answer({ ...everything, credentials: true, exposed: ["*"] }, request), {
    "allow-origin": "https://a.com",
    "allow-credentials": "true",
    "allow-methods": "PUT",
    "allow-headers": "X-A, x-b",
    "max-age": "5",
    vary: "Origin",
  });
});

test("preflight() leaves out what was not asked for when there are credentials", (t) => {
  const asked = { requestedMethod: undefined, requestedHeaders: undefined };
  t.deepEqual(answer({ ...everything, credentials: true }, asked), {
    "allow-origin": "https://a.com",
    "allow-credentials": "true",
    "max-age": "5",
    vary: "Origin",
  });
});

test("preflight() echoes only names", (t) => {
  const cors = { ...everything, credentials: true };
  const odd = answer(cors, { requestedMethod: "A B", requestedHeaders: "x-a, b c" });
  t.false("allow-methods" in odd);
  t.false("allow-headers" in odd);
  const long = "x".repeat(maxRequestedHeadersLength + 1);
  t.false("allow-headers" in answer(cors, { requestedHeaders: long }));
});

test("preflight() with credentials never answers a wildcard", (t) => {
  const lists = fc.constantFrom<readonly string[]>(["*"], [], ["PUT"]);
  const asked = fc.option(fc.constantFrom("PUT", "x-a", "*"), { nil: undefined });
  fc.assert(
    fc.property(lists, lists, lists, asked, (methods, headers, exposed, text) => {
      const cors: Cors = { ...everything, credentials: true, methods, headers, exposed };
      const names = preflight(cors, { origin: "https://a.com", ...ask(text) });
      // A client that asks for a method or a header of the name `*` gets just that.
      t.true(text === "*" || names.every(({ value }) => value !== "*"));
    }),
  );
});

function ask(text: string | undefined): Omit<Preflight, "origin"> {
  return { requestedMethod: text, requestedHeaders: text };
}

test("corsResponseHeaders() replaces what the backend said", (t) => {
  const cors: Cors = { ...plain, exposed: ["x-a", "x-b"], credentials: true };
  t.deepEqual(corsResponseHeaders(cors, "https://a.com"), {
    set: [
      { name: "access-control-allow-origin", value: "https://a.com" },
      { name: "access-control-expose-headers", value: "x-a, x-b" },
      { name: "access-control-allow-credentials", value: "true" },
    ],
    add: [{ name: "vary", value: "Origin" }],
    remove: [],
  });
});

test("corsResponseHeaders() takes credentials back that the filter does not allow", (t) => {
  const { remove } = corsResponseHeaders(plain, "https://a.com");
  t.deepEqual(remove, ["access-control-allow-credentials"]);
});

test("corsResponseHeaders() allows nothing to another origin or to none, and tells caches so", (t) => {
  const nothing = { set: [], add: [{ name: "vary", value: "Origin" }], remove: [] };
  t.deepEqual(corsResponseHeaders(plain, "https://b.com"), nothing);
  t.deepEqual(corsResponseHeaders(plain, undefined), nothing);
});

test("corsResponseHeaders() needs no Vary when every origin gets the same answer", (t) => {
  const { set, add } = corsResponseHeaders(everything, "https://a.com");
  t.deepEqual(set, [{ name: "access-control-allow-origin", value: "*" }]);
  t.deepEqual(add, []);
});

test("corsResponseHeaders() echoes the origin when there are credentials", (t) => {
  const { set, add } = corsResponseHeaders(
    { ...everything, credentials: true, exposed: ["*"] },
    "https://b.com",
  );
  t.deepEqual(set, [
    { name: "access-control-allow-origin", value: "https://b.com" },
    { name: "access-control-allow-credentials", value: "true" },
  ]);
  t.deepEqual(add, [{ name: "vary", value: "Origin" }]);
});
