import test from "ava";
import { parseJwtAuthentication } from "../../../src/core/resource/jwt-authentication.ts";
import { edit, faultsOf, jwtAuthentication, parsed } from "./manifests.ts";

test("parseJwtAuthentication() expects the token behind Bearer, and keys of up to an hour", (t) => {
  const read = parsed(parseJwtAuthentication(jwtAuthentication));
  t.deepEqual(read.token, { in: "header", name: "authorization" });
  t.deepEqual(read.keys, { from: "url", url: "https://login.example/keys", maxAgeMs: 3_600_000 });
  t.true(read.forward);
  t.deepEqual(read.claims, []);
});

const keySet = '{"keys":[]}';

for (const [title, keys] of [
  ["inline keys", { inline: keySet }],
  ["a file", { file: "/etc/keys.json", maxAge: "60s" }],
  ["a URL with a port and a query", { url: "https://login.example:8443/keys?a=b" }],
  ["a URL of this machine", { url: "http://127.0.0.1:8080/keys" }],
  ["a URL of this machine by its name", { url: "http://localhost/keys" }],
] as const) {
  test(`parseJwtAuthentication() takes ${title}`, (t) => {
    const manifest = edit(jwtAuthentication, "spec.keys", keys);
    t.is(parsed(parseJwtAuthentication(manifest)).keys.from, Object.keys(keys)[0] as never);
  });
}

for (const [path, value, faulty] of [
  ["spec.issuer", "", "spec.issuer: must not be empty"],
  ["spec.issuer", undefined, "spec.issuer: is required"],
  ["spec.audiences", undefined, "spec.audiences: is required"],
  ["spec.audiences", [], "spec.audiences: must have at least one entry"],
  ["spec.keys", undefined, "spec.keys: is required"],
  ["spec.keys", {}, "spec.keys: must have exactly one of inline, file and url"],
  [
    "spec.keys",
    { inline: keySet, file: "/a" },
    "spec.keys: must have exactly one of inline, file and url",
  ],
  [
    "spec.keys",
    { inline: keySet, maxAge: "60s" },
    "spec.keys.maxAge: must be absent for inline keys",
  ],
  [
    "spec.keys",
    { inline: "{}" },
    'spec.keys.inline: must be a JSON Web Key Set (RFC 7517): {"keys": [...]}',
  ],
  ["spec.keys", { file: "keys.json" }, 'spec.keys.file: must be an absolute path, is "keys.json"'],
  [
    "spec.keys",
    { file: "/keys.json", maxAge: "59s" },
    'spec.keys.maxAge: must be at least 60s, is "59s"',
  ],
  [
    "spec.claims",
    [{ name: "a", values: [] }],
    "spec.claims[0].values: must have at least one entry",
  ],
  ["spec.claims", [{ name: "a" }], "spec.claims[0].values: is required"],
  [
    "spec.token",
    { header: "a", cookie: "b" },
    "spec.token: must have only one of header and cookie",
  ],
  [
    "spec.token",
    { header: "a b" },
    'spec.token.header: must be a name (RFC 9110 §5.6.2), is "a b"',
  ],
] as const) {
  test(`parseJwtAuthentication() refuses ${path} ${JSON.stringify(value)}`, (t) => {
    t.deepEqual(faultsOf(parseJwtAuthentication(edit(jwtAuthentication, path, value))), [faulty]);
  });
}

for (const url of [
  "http://login.example/keys",
  "https://user:secret@login.example/keys",
  "https://login.example/keys#a",
  "http://127.0.0.1.example/keys",
  "http://localhost@login.example/",
  "file:///etc/keys.json",
  "https://",
  "",
]) {
  test(`parseJwtAuthentication() refuses keys at ${JSON.stringify(url)}`, (t) => {
    const manifest = edit(jwtAuthentication, "spec.keys", { url });
    t.regex(
      faultsOf(parseJwtAuthentication(manifest)).join(),
      /^spec\.keys\.url: must be an https/,
    );
  });
}
