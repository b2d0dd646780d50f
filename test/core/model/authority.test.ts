import test from "ava";
import {
  formatServiceAuthority,
  normaliseAuthority,
  parseServiceAuthority,
  targetOf,
} from "../../../src/core/model/authority.ts";

const domain = "cluster.local";

const becomes = test.macro({
  exec: (t, text: string, canonical: string | undefined) => {
    t.is(normaliseAuthority(text, "demo", domain), canonical);
  },
  title: (_given, text: string, canonical: string | undefined) =>
    `normaliseAuthority() makes ${canonical} of ${text}`,
});

const web = "web.demo.svc.cluster.local";
test(becomes, "web", `${web}:80`);
test(becomes, "web:8080", `${web}:8080`);
test(becomes, "WEB.Demo:8080", `${web}:8080`);
test(becomes, "web.demo.svc", `${web}:80`);
test(becomes, "web.demo.svc.cluster.local", `${web}:80`);
test(becomes, "web.demo.svc.cluster.local.:8080", `${web}:8080`);
test(becomes, "web.other", "web.other.svc.cluster.local:80");
test(becomes, "example.com", "example.com.svc.cluster.local:80");
test(becomes, "WWW.Example.com", "www.example.com:80");
test(becomes, "www.example.com.:443", "www.example.com:443");
test(becomes, "web-0.web.demo.svc.cluster.local", "web-0.web.demo.svc.cluster.local:80");
test(becomes, "web.demo.svc.other.domain:80", "web.demo.svc.other.domain:80");
test(becomes, "web.demo.pod", "web.demo.pod:80");
test(becomes, "10.0.0.1", "10.0.0.1:80");
test(becomes, "10.0.0.1:8080", "10.0.0.1:8080");
test(becomes, "[2001:DB8::0:1]:8080", "[2001:db8::1]:8080");
test(becomes, "[::1]", "[::1]:80");
test(becomes, "[::ffff:10.0.0.1]:80", "10.0.0.1:80");
test(becomes, "2.web", "2.web.svc.cluster.local:80");
for (const text of [
  "",
  ":80",
  ".",
  "web:",
  "web:0",
  "web:080",
  "web:65536",
  "web:80:80",
  "web:http",
  "user@web",
  "web/path",
  "we b",
  "web..demo",
  "-web.demo",
  "web_1.demo",
  "10.0.0.256",
  "010.0.0.1",
  "10.0.1",
  "10.0.0.1.",
  "::1",
  "[::1",
  "::1]:80",
  "[10.0.0.1]x:80",
  "[]",
  "[fe80::1%25eth0]:80",
  `${"a.".repeat(127)}com`,
]) {
  test(becomes, text, undefined);
}

test("normaliseAuthority() changes nothing about what it has made", (t) => {
  for (const text of ["web", "www.example.com:443", "10.0.0.1", "[::1]:80"]) {
    const canonical = normaliseAuthority(text, "demo", domain) ?? "";
    t.is(normaliseAuthority(canonical, "other", domain), canonical);
  }
});

test("parseServiceAuthority() reads what normaliseAuthority() makes of a Service", (t) => {
  const parsed = { name: "web", namespace: "demo", port: 8080 };
  t.deepEqual(parseServiceAuthority(`${web}:8080`, domain), parsed);
  t.is(formatServiceAuthority(parsed, domain), `${web}:8080`);
});

test("parseServiceAuthority() reads nothing else", (t) => {
  for (const text of [
    "www.example.com:80",
    "10.0.0.1:80",
    "[::1]:80",
    "web-0.web.demo.svc.cluster.local:80",
    "demo.svc.cluster.local:80",
    ".svc.cluster.local:80",
    "web.demo.svc.cluster.local.evil.com:80",
    "web.demo.svc.cluster.local:0",
  ]) {
    t.is(parseServiceAuthority(text, domain), undefined, text);
  }
});

test("targetOf() tells addresses and names apart", (t) => {
  t.deepEqual(targetOf("10.0.0.1:80"), { kind: "address", ip: "10.0.0.1", port: 80 });
  t.deepEqual(targetOf("[::1]:80"), { kind: "address", ip: "::1", port: 80 });
  t.deepEqual(targetOf(`${web}:80`), { kind: "authority", authority: `${web}:80` });
});
