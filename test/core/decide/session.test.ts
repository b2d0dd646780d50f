import test from "ava";
import fc from "fast-check";
import {
  cookieValue,
  isRefreshDue,
  maxClockSkewMs,
  maxCookieHeaderLength,
  maxTokenLength,
  readSession,
  type Session,
  writeSession,
} from "../../../src/core/decide/session.ts";
import type { SessionPersistence } from "../../../src/core/model/session.ts";

const cookie: SessionPersistence = {
  type: "cookie",
  name: "weft",
  cookiePath: "/",
  lifetime: "session",
  absoluteMs: 0,
  idleMs: 0,
};

const header: SessionPersistence = { ...cookie, type: "header", name: "x-session" };

const nowMs = 1_800_000_000_000;
const session: Session = { endpoint: "10.0.0.1:8080", issuedMs: nowMs, usedMs: nowMs };

function tokenOf(persistence = header, of = session, scope = "rule"): string {
  return writeSession({ ...persistence, type: "header" }, scope, of, { nowMs, secure: false });
}

function cookieOf(persistence: Partial<SessionPersistence>, secure = false): string {
  return writeSession({ ...cookie, ...persistence }, "rule", session, { nowMs, secure });
}

const addresses = fc.oneof(
  fc.ipV4(),
  fc.ipV6().map((ip) => `[${ip.toLowerCase()}]`),
);
const sessions: fc.Arbitrary<Session> = fc.record({
  endpoint: fc.tuple(addresses, fc.nat(65_535)).map(([ip, port]) => `${ip}:${port}`),
  issuedMs: fc.integer({ min: 0, max: nowMs }),
  usedMs: fc.integer({ min: 0, max: nowMs }),
});

test("readSession() reads what writeSession() wrote", (t) => {
  fc.assert(
    fc.property(sessions, fc.string({ maxLength: 200 }), (of, scope) => {
      const token = tokenOf(header, of, scope);
      t.regex(token, /^[A-Za-z0-9_-]+$/);
      t.true(token.length <= maxTokenLength);
      t.deepEqual(readSession(header, scope, token, nowMs), of);
      t.deepEqual(readSession(cookie, scope, `a=b; weft=${token}`, nowMs), of);
    }),
  );
});

test("readSession() refuses the token of another rule", (t) => {
  t.is(readSession(header, "other", tokenOf(), nowMs), undefined);
});

test("readSession() answers any text", (t) => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.base64String({ maxLength: 120 }),
    fc.stringMatching(/^[A-Za-z0-9_-]{0,120}$/),
  );
  fc.assert(
    fc.property(text, (token) => {
      t.is(readSession(header, "rule", token, nowMs), undefined);
      t.is(readSession(cookie, "rule", `weft=${token}`, nowMs), undefined);
    }),
    { numRuns: 2_000 },
  );
});

test("readSession() answers a token that was tampered with", (t) => {
  const token = tokenOf();
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.base64String({ minLength: 1 }), (at, text) => {
      const bent = token.slice(0, at) + text.slice(0, 1) + token.slice(at + 1);
      const read = readSession(header, "rule", bent, nowMs);
      t.true(read === undefined || /^[0-9a-f.:[\]]+$/.test(read.endpoint));
    }),
  );
});

test("readSession() refuses a token that is too long, or of another version", (t) => {
  t.is(readSession(header, "rule", `${tokenOf()}${"A".repeat(maxTokenLength)}`, nowMs), undefined);
  const text = atob(tokenOf().replaceAll("-", "+").replaceAll("_", "/"));
  const bent = btoa(text.replace(/^1/, "2")).replaceAll("=", "");
  t.is(readSession(header, "rule", bent, nowMs), undefined);
});

test("readSession() finds nothing without the field", (t) => {
  t.is(readSession(cookie, "rule", undefined, nowMs), undefined);
  t.is(readSession(cookie, "rule", "a=b", nowMs), undefined);
});

test("readSession() ends a session after its absolute time", (t) => {
  const policy = { ...header, absoluteMs: 60_000 };
  const token = tokenOf();
  t.truthy(readSession(policy, "rule", token, nowMs + 59_999));
  t.is(readSession(policy, "rule", token, nowMs + 60_000), undefined);
});

test("readSession() ends a session after its idle time", (t) => {
  const policy = { ...header, idleMs: 60_000 };
  const token = tokenOf(header, { ...session, issuedMs: nowMs - 1e9 });
  t.truthy(readSession(policy, "rule", token, nowMs + 59_999));
  t.is(readSession(policy, "rule", token, nowMs + 60_000), undefined);
});

test("readSession() refuses a token from the future", (t) => {
  const token = tokenOf();
  t.truthy(readSession(header, "rule", token, nowMs - maxClockSkewMs));
  t.is(readSession(header, "rule", token, nowMs - maxClockSkewMs - 1), undefined);
});

test("writeSession() sets a cookie that scripts and other sites cannot use", (t) => {
  t.is(cookieOf({}), `weft=${tokenOf()}; Path=/; HttpOnly; SameSite=Strict`);
  t.is(cookieOf({}, true), `weft=${tokenOf()}; Path=/; HttpOnly; SameSite=Strict; Secure`);
  t.regex(cookieOf({ cookiePath: "/shop" }), /; Path=\/shop; HttpOnly/);
});

test("writeSession() gives a permanent cookie the time that is left", (t) => {
  const permanent: SessionPersistence = { ...cookie, lifetime: "permanent", absoluteMs: 60_000 };
  t.regex(cookieOf(permanent), /; Max-Age=60;/);
  const later = { nowMs: nowMs + 30_500, secure: false };
  t.regex(writeSession(permanent, "rule", session, later), /; Max-Age=30;/);
  t.regex(writeSession(permanent, "rule", session, { ...later, nowMs: 2e12 }), /; Max-Age=0;/);
  t.notRegex(cookieOf({ absoluteMs: 60_000 }), /Max-Age/);
});

test("isRefreshDue() is true when a tenth of the idle time has passed", (t) => {
  const idle = { ...cookie, idleMs: 60_000 };
  t.false(isRefreshDue(idle, session, nowMs + 5_999));
  t.true(isRefreshDue(idle, session, nowMs + 6_000));
  t.false(isRefreshDue(cookie, session, nowMs + 1e9));
});

const finds = test.macro({
  exec: (t, text: string, value: string | undefined) => {
    t.is(cookieValue(text, "a"), value);
  },
  title: (_given, text: string, value: string | undefined) =>
    `cookieValue() finds ${JSON.stringify(value)} in ${JSON.stringify(text)}`,
});

test(finds, "a=1", "1");
test(finds, "b=2; a=1; c=3", "1");
test(finds, "b=2;a=1", "1");
test(finds, " a = 1 ", "1");
test(finds, "a=1; a=2", "1");
test(finds, 'a="1"', "1");
test(finds, "a=b=c", "b=c");
test(finds, "a=", "");
test(finds, "A=1", undefined);
test(finds, "xa=1; ba=2", undefined);
test(finds, "b=a=1", undefined);
test(finds, "a; b=1", undefined);
test(finds, "a", undefined);
test(finds, "", undefined);
test(finds, ";;; ;a=1;", "1");
test(finds, `${";".repeat(maxCookieHeaderLength)}a=1`, undefined);
