import test from "ava";
import {
  delayFor,
  failureHits,
  isHit,
  modifyPath,
  type RedirectView,
  redirectLocation,
} from "../../../src/core/decide/apply-filters.ts";
import type { Redirect } from "../../../src/core/model/filter.ts";

const same: Redirect = { scheme: "", host: "", port: 0, path: undefined, status: 302 };

function request(parts: Partial<RedirectView>): RedirectView {
  return { scheme: "http", authority: "host", path: "/a", query: "", ...parts };
}

function location(redirect: Partial<Redirect>, parts: Partial<RedirectView> = {}): string {
  return redirectLocation({ ...same, ...redirect }, request(parts), undefined, 80)?.location ?? "";
}

type Dialed = readonly [scheme: "http" | "https", port: number];

const leadsTo = test.macro({
  exec: (t, dialed: Dialed, redirect: Partial<Redirect>, start: string) => {
    const [scheme, port] = dialed;
    const view = request({ scheme, authority: `host:${port}` });
    const answer = redirectLocation({ ...same, ...redirect }, view, undefined, port);
    t.deepEqual(answer, { status: 302, location: `${start}/a` });
  },
  title: (_given, dialed: Dialed, redirect: Partial<Redirect>, start: string) =>
    `redirectLocation() ${dialed.join(" on ")} with ${JSON.stringify(redirect)} leads to ${start}`,
});

// Gateway API HTTPRequestRedirectFilter.port: the filter's, else that of its scheme, else the listener's; 80 and 443 are left out.
test(leadsTo, ["http", 80], {}, "http://host");
test(leadsTo, ["http", 80], { port: 8080 }, "http://host:8080");
test(leadsTo, ["http", 80], { scheme: "https" }, "https://host");
test(leadsTo, ["http", 80], { scheme: "https", port: 443 }, "https://host");
test(leadsTo, ["http", 80], { scheme: "https", port: 8443 }, "https://host:8443");
test(leadsTo, ["http", 8080], {}, "http://host:8080");
test(leadsTo, ["http", 8080], { port: 80 }, "http://host");
test(leadsTo, ["http", 8080], { scheme: "https" }, "https://host");
test(leadsTo, ["https", 443], {}, "https://host");
test(leadsTo, ["https", 443], { port: 443 }, "https://host");
test(leadsTo, ["https", 443], { scheme: "http" }, "http://host");
test(leadsTo, ["https", 443], { scheme: "http", port: 80 }, "http://host");
test(leadsTo, ["https", 443], { scheme: "http", port: 8080 }, "http://host:8080");

test("redirectLocation() takes the filter's host", (t) => {
  t.is(location({ host: "example.com" }), "http://example.com/a");
});

test("redirectLocation() takes the host of the request without its port", (t) => {
  t.is(location({}, { authority: "a.demo:8080" }), "http://a.demo/a");
  t.is(location({}, { authority: "[2001:db8::1]:8080" }), "http://[2001:db8::1]/a");
  t.is(location({}, { authority: "[2001:db8::1]" }), "http://[2001:db8::1]/a");
});

test("redirectLocation() keeps the query", (t) => {
  t.is(location({}, { query: "q=1&r" }), "http://host/a?q=1&r");
  t.is(location({ path: { kind: "full", value: "/x" } }, { query: "q=1" }), "http://host/x?q=1");
});

test("redirectLocation() answers with the filter's status", (t) => {
  for (const status of [301, 302, 303, 307, 308]) {
    t.is(redirectLocation({ ...same, status }, request({}), "/", 80)?.status, status);
  }
});

test("redirectLocation() does not replace a prefix where none matched", (t) => {
  const redirect: Redirect = { ...same, path: { kind: "prefix", value: "/x" } };
  t.is(redirectLocation(redirect, request({}), undefined, 80), undefined);
  t.is(redirectLocation(redirect, request({}), "/a", 80)?.location, "http://host/x");
});

const becomes = test.macro({
  exec: (t, path: string, [prefix, value]: readonly [string, string], result: string) => {
    t.is(modifyPath({ kind: "prefix", value }, path, prefix), result);
  },
  title: (_given, path: string, [prefix, value]: readonly [string, string], result: string) =>
    `modifyPath() makes ${result} of ${path} by ${JSON.stringify(value)} for ${prefix}`,
});

// The table of Gateway API HTTPPathModifier.replacePrefixMatch.
test(becomes, "/foo/bar", ["/foo", "/xyz"], "/xyz/bar");
test(becomes, "/foo/bar", ["/foo", "/xyz/"], "/xyz/bar");
test(becomes, "/foo/bar", ["/foo/", "/xyz"], "/xyz/bar");
test(becomes, "/foo/bar", ["/foo/", "/xyz/"], "/xyz/bar");
test(becomes, "/foo", ["/foo", "/xyz"], "/xyz");
test(becomes, "/foo/", ["/foo", "/xyz"], "/xyz/");
test(becomes, "/foo/bar", ["/foo", ""], "/bar");
test(becomes, "/foo/", ["/foo", ""], "/");
test(becomes, "/foo", ["/foo", ""], "/");
test(becomes, "/foo/", ["/foo", "/"], "/");
test(becomes, "/foo", ["/foo", "/"], "/");
test(becomes, "/foo/bar", ["/", "/xyz"], "/xyz/foo/bar");

test("modifyPath() replaces the whole path", (t) => {
  t.is(modifyPath({ kind: "full", value: "/x" }, "/a/b", undefined), "/x");
});

test("failureHits() hits its share of the requests", (t) => {
  const failure = { status: 500, message: "", numerator: 20, denominator: 100 };
  t.deepEqual(
    [0, 0.19, 0.2, 0.99].map((random) => failureHits(failure, random)),
    [true, true, false, false],
  );
});

test("failureHits() hits every request, or none", (t) => {
  const share = (numerator: number, denominator: number): boolean[] =>
    [0, 0.5, 0.999].map((random) =>
      failureHits({ status: 500, message: "", numerator, denominator }, random),
    );
  t.deepEqual(share(1, 1), [true, true, true]);
  t.deepEqual(share(5, 1), [true, true, true]);
  t.deepEqual(share(0, 100), [false, false, false]);
  t.deepEqual(share(0, 0), [true, true, true]);
});

test("delayFor() holds its share of the requests back", (t) => {
  const delay = { delayMs: 250, numerator: 1, denominator: 4 };
  t.deepEqual(
    [0, 0.24, 0.25, 0.99].map((random) => delayFor(delay, random)),
    [250, 250, 0, 0],
  );
});

test("isHit() hits nothing of no share, and everything of a whole one", (t) => {
  t.false(isHit({ numerator: 0, denominator: 100 }, 0));
  t.true(isHit({ numerator: 100, denominator: 100 }, 0.999_999));
});
