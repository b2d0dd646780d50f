import test from "ava";
import fc from "fast-check";
import { rewriteHost, rewriteTarget } from "../../../src/core/decide/url-rewrite.ts";
import type { UrlRewrite } from "../../../src/core/model/filter.ts";

function prefix(value: string): UrlRewrite {
  return { host: "", path: { kind: "prefix", value } };
}

const becomes = test.macro({
  exec: (t, path: string, [matched, value]: readonly [string, string], result: string) => {
    t.is(rewriteTarget(prefix(value), matched, path, ""), result);
    t.is(rewriteTarget(prefix(value), matched, path, "a=%2F&b"), `${result}?a=%2F&b`);
  },
  title: (_given, path: string, [matched, value]: readonly [string, string], result: string) =>
    `rewriteTarget() makes ${result} of ${path} by ${JSON.stringify(value)} for ${matched}`,
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
// Beyond the table.
test(becomes, "/foo/a%2Fb%20c", ["/foo", "/xyz"], "/xyz/a%2Fb%20c");
test(becomes, "/foo/bar", ["/", "/xyz"], "/xyz/foo/bar");
test(becomes, "/foo/bar", ["/foo", "xyz"], "/xyz/bar");

test("rewriteTarget() replaces the whole path and keeps the query", (t) => {
  const rewrite: UrlRewrite = { host: "", path: { kind: "full", value: "/x" } };
  t.is(rewriteTarget(rewrite, undefined, "/a/b", "q=1"), "/x?q=1");
});

test("rewriteTarget() never makes a path that is empty", (t) => {
  const rewrite: UrlRewrite = { host: "", path: { kind: "full", value: "" } };
  t.is(rewriteTarget(rewrite, undefined, "/a", ""), "/");
});

test("rewriteTarget() keeps the target when the filter has no path", (t) => {
  t.is(rewriteTarget({ host: "b", path: undefined }, "/a", "/a%20b", "q"), "/a%20b?q");
  t.is(rewriteTarget({ host: "b", path: undefined }, undefined, "*", ""), "*");
});

test("rewriteTarget() does not replace a prefix where none matched", (t) => {
  t.is(rewriteTarget(prefix("/x"), undefined, "/a", ""), undefined);
});

test("rewriteTarget() begins with one slash and ends with what followed the prefix", (t) => {
  const segments = fc.array(fc.stringMatching(/^[a-z0-9%]{1,4}$/), { maxLength: 4 });
  const slash = fc.constantFrom("", "/");
  fc.assert(
    fc.property(segments, segments, segments, slash, (matched, rest, value, end) => {
      const start = matched.map((segment) => `/${segment}`).join("");
      const tail = rest.map((segment) => `/${segment}`).join("");
      const replacement = value.map((segment) => `/${segment}`).join("");
      const result = rewriteTarget(prefix(replacement + end), start + end, start + tail, "");
      t.is(result, replacement + tail || "/");
    }),
  );
});

test("rewriteHost() replaces the host and its port", (t) => {
  t.is(rewriteHost({ host: "b.example", path: undefined }, "a:8080"), "b.example");
  t.is(rewriteHost({ host: "", path: undefined }, "a:8080"), "a:8080");
});
