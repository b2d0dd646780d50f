import test from "ava";
import {
  authTarget,
  bodyShowing,
  denialStatus,
  httpVerdict,
  shownHeaders,
} from "../../../src/core/decide/external-auth.ts";
import type { ExternalAuth, HeaderValue } from "../../../src/core/model/filter.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";

const http: ExternalAuth = {
  protocol: "http",
  backend: { meta: defaultMeta("test"), dispatch: { kind: "fail" } },
  pathPrefix: "",
  requestHeaders: [],
  responseHeaders: [],
  maxBodyBytes: 0,
};

const headers: readonly HeaderValue[] = [
  "host",
  "authorization",
  "cookie",
  "content-length",
  "transfer-encoding",
  "connection",
  "x-a",
  "x-b",
].map((name) => ({ name, value: `of ${name}` }));

function shown(auth: Partial<ExternalAuth>): readonly string[] {
  return shownHeaders({ ...http, ...auth }, headers).map(({ name }) => name);
}

test("shownHeaders() shows Authorization alone to an HTTP service when nothing is listed", (t) => {
  t.deepEqual(shown({}), ["authorization"]);
});

test("shownHeaders() shows listed headers to an HTTP service, but no framing of its own", (t) => {
  const requestHeaders = ["cookie", "x-b", "transfer-encoding", "connection", "content-length"];
  t.deepEqual(shown({ requestHeaders }), ["authorization", "cookie", "x-b"]);
});

test("shownHeaders() shows everything or the listed headers to a gRPC service", (t) => {
  t.is(shown({ protocol: "grpc" }).length, headers.length);
  t.deepEqual(shown({ protocol: "grpc", requestHeaders: ["x-a"] }), ["x-a"]);
});

test("authTarget() puts the prefix before the path", (t) => {
  const target = (pathPrefix: string): string => authTarget({ ...http, pathPrefix }, "/a?q=%20");
  t.is(target(""), "/a?q=%20");
  t.is(target("/auth"), "/auth/a?q=%20");
  t.is(target("/auth/"), "/auth/a?q=%20");
  t.is(target("auth"), "/auth/a?q=%20");
});

test("bodyShowing() hides the body unless it is asked for, and refuses one that is too long", (t) => {
  t.is(bodyShowing(http, 5), "hide");
  t.is(bodyShowing({ ...http, maxBodyBytes: 10 }, 10), "show");
  t.is(bodyShowing({ ...http, maxBodyBytes: 10 }, 11), "too-large");
  t.is(bodyShowing({ ...http, maxBodyBytes: 10 }, undefined), "show");
});

test("httpVerdict() allows by 200 alone", (t) => {
  for (const status of [100, 199, 201, 204, 299, 301, 400, 401, 500, 503, 0, Number.NaN]) {
    t.is(httpVerdict(http, status, []).kind, "deny", `${status}`);
  }
  t.is(httpVerdict(http, 200, []).kind, "allow");
});

test("httpVerdict() copies the listed headers of the answer", (t) => {
  const verdict = httpVerdict({ ...http, responseHeaders: ["x-b", "host"] }, 200, headers);
  t.deepEqual(verdict, { kind: "allow", headers: [{ name: "x-b", value: "of x-b" }] });
});

test("httpVerdict() copies all headers when none is listed, but those of the message", (t) => {
  const verdict = httpVerdict(http, 200, headers);
  const names = verdict.kind === "allow" ? verdict.headers.map(({ name }) => name) : [];
  t.deepEqual(names, ["authorization", "cookie", "x-a", "x-b"]);
});

test("denialStatus() never looks like a success", (t) => {
  const statuses = [100, 200, 204, 299, 302, 401, 503, 599, 600, -1, Number.NaN].map(denialStatus);
  t.deepEqual(statuses, [403, 403, 403, 403, 302, 401, 503, 599, 403, 403, 403]);
});
