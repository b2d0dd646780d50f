import test from "ava";
import type { HttpRouteMatch } from "../../../src/core/resource/http-match.ts";
import { parseHttpRoute } from "../../../src/core/resource/http-route.ts";
import { edit, gatewayRoute, type Manifest, parsed, policyRoute } from "./manifests.ts";

function read(matches: unknown, manifest: Manifest = gatewayRoute): readonly HttpRouteMatch[] {
  const [rule] = parsed(parseHttpRoute(edit(manifest, "spec.rules[0].matches", matches))).rules;
  if (rule?.state !== "valid") throw new Error(`Expected a valid rule: ${JSON.stringify(rule)}`);
  return rule.matches;
}

function faults(match: unknown, manifest: Manifest = gatewayRoute): readonly string[] {
  const [rule] = parsed(parseHttpRoute(edit(manifest, "spec.rules[0].matches", [match]))).rules;
  if (rule?.state !== "broken") return [];
  return rule.faults.map(({ path, reason }) => `${path}: ${reason}`);
}

const everyPath = { type: "PathPrefix", value: "/" };

for (const matches of [undefined, null, [], [{}], [{ path: {} }]]) {
  const shown = matches === undefined ? "absent" : JSON.stringify(matches);
  test(`a rule with matches ${shown} takes every request`, (t) => {
    t.deepEqual(read(matches), [
      { path: { type: "PathPrefix", value: "/" }, headers: [], queryParams: [], method: undefined },
    ]);
  });
}

test("a match is read in full", (t) => {
  t.deepEqual(
    read([
      {
        path: { type: "Exact", value: "/a" },
        headers: [{ name: "X-Team", value: "a" }],
        queryParams: [{ name: "Q", value: "^a+$", type: "RegularExpression" }],
        method: "POST",
      },
    ]),
    [
      {
        path: { type: "Exact", value: "/a" },
        headers: [{ type: "Exact", name: "x-team", value: "a" }],
        queryParams: [{ type: "RegularExpression", name: "Q", value: "^a+$" }],
        method: "POST",
      },
    ],
  );
});

test("of headers with equal names the first counts, whatever their case", (t) => {
  const headers = [
    { name: "X-A", value: "1" },
    { name: "x-a", value: "2" },
  ];
  t.deepEqual(read([{ headers }])[0]?.headers, [{ type: "Exact", name: "x-a", value: "1" }]);
});

test("query parameters that differ in case are different ones", (t) => {
  const queryParams = [
    { name: "a", value: "1" },
    { name: "A", value: "2" },
    { name: "a", value: "3" },
  ];
  t.deepEqual(
    read([{ queryParams }])[0]?.queryParams.map(({ name, value }) => `${name}=${value}`),
    ["a=1", "A=2"],
  );
});

for (const method of [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
]) {
  test(`a match knows the method ${method}`, (t) => {
    t.is(read([{ method }])[0]?.method as string, method);
  });
}

const path = "spec.rules[0].matches[0].path.value";

for (const value of ["/", "/a", "/a/", "/a%20b", "/a.b/..c", "/a;b=c,d@e!$&'()*+:~_-"]) {
  test(`an exact path may be ${value}`, (t) => {
    t.deepEqual(read([{ path: { type: "Exact", value } }])[0]?.path, { type: "Exact", value });
  });
}

const refusedPaths: readonly [string, string][] = [
  ["a", 'must start with "/", is "a"'],
  ["", 'must start with "/", is ""'],
  ["/a//b", 'must not contain "//", is "/a//b"'],
  ["/a/./b", 'must not contain "/./", is "/a/./b"'],
  ["/a/../b", 'must not contain "/../", is "/a/../b"'],
  ["/a%2fb", 'must not contain "%2f", is "/a%2fb"'],
  ["/a%2Fb", 'must not contain "%2F", is "/a%2Fb"'],
  ["/a#b", 'must not contain "#", is "/a#b"'],
  ["/a/..", 'must not end in "/..", is "/a/.."'],
  ["/a/.", 'must not end in "/.", is "/a/."'],
  ["/a b", 'must hold only characters of a URL path (RFC 3986 §3.3), is "/a b"'],
  ["/a%2", 'must hold only characters of a URL path (RFC 3986 §3.3), is "/a%2"'],
  ["/ä", 'must hold only characters of a URL path (RFC 3986 §3.3), is "/ä"'],
  ["/a?b", 'must hold only characters of a URL path (RFC 3986 §3.3), is "/a?b"'],
];

for (const [value, reason] of refusedPaths) {
  for (const type of ["Exact", "PathPrefix"]) {
    test(`Gateway API's ${type} path ${JSON.stringify(value)} ${reason}`, (t) => {
      t.deepEqual(faults({ path: { type, value } }), [`${path}: ${reason}`]);
    });
  }
  test(`a regular expression may be ${JSON.stringify(value)}`, (t) => {
    t.deepEqual(faults({ path: { type: "RegularExpression", value } }), []);
  });
}

test("a path of Linkerd's group must start with a slash, and that is all", (t) => {
  t.deepEqual(faults({ path: { value: "a" } }, policyRoute), [
    `${path}: must start with "/", is "a"`,
  ]);
  t.deepEqual(faults({ path: { value: "/a//b c" } }, policyRoute), []);
});

const match = "spec.rules[0].matches[0]";
const refused: readonly [unknown, string][] = [
  [
    { path: { type: "Prefix" } },
    'path.type: must be "Exact", "PathPrefix" or "RegularExpression", is "Prefix"',
  ],
  [{ path: { value: 1 } }, "path.value: must be text, is 1"],
  [
    { method: "get" },
    'method: must be "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE" or "PATCH", is "get"',
  ],
  [{ headers: [{ value: "a" }] }, "headers[0].name: is required"],
  [{ headers: [{ name: "a" }] }, "headers[0].value: is required"],
  [{ headers: [{ name: "a", value: 2 }] }, "headers[0].value: must be text, is 2"],
  [
    { headers: [{ name: "a", value: "b", type: "Prefix" }] },
    'headers[0].type: must be "Exact" or "RegularExpression", is "Prefix"',
  ],
  [{ queryParams: {} }, "queryParams: must be a list, is an object"],
];

for (const [json, fault] of refused) {
  test(`a match ${JSON.stringify(json)} is refused`, (t) => {
    t.deepEqual(faults(json), [`${match}.${fault}`]);
  });
}

test("the default of a match is the same as no match", (t) => {
  t.deepEqual(read([{ path: everyPath }]), read(undefined));
});
