import { isMessage } from "@bufbuild/protobuf";
import test from "ava";
import fc from "fast-check";
import type { Authorization } from "../../../src/core/model/authorization.ts";
import { type Backend, defaultLoad, type RouteBackend } from "../../../src/core/model/backend.ts";
import { type Filter, failAlways } from "../../../src/core/model/filter.ts";
import type { OutboundHttpRule } from "../../../src/core/model/http-route.ts";
import { everyRequest } from "../../../src/core/model/match.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import {
  defaultRetryBackoff,
  defaultRetryBudget,
  type Retry,
} from "../../../src/core/model/retry.ts";
import { noTimeouts, type Timeouts } from "../../../src/core/model/timeouts.ts";
import { Secret } from "../../../src/core/std/secret.ts";
import { toWireOutbound } from "../../../src/core/wire/outbound.ts";
import {
  inboundWithoutExtensions,
  withoutExtensions,
} from "../../../src/core/wire/without-extensions.ts";
import { anyInboundPolicy, anyOutboundPolicy } from "../../arbitrary/model.ts";

const meta = defaultMeta("a");

const balancer: Backend = {
  meta,
  dispatch: { kind: "balancer", authority: "a:80", load: defaultLoad },
};

const share = (backend: Backend, ...filters: readonly Filter[]): RouteBackend => ({
  backend,
  filters,
  weight: 2,
});

const rule: OutboundHttpRule = {
  matches: [everyRequest],
  filters: [],
  backends: { kind: "random-available", backends: [share(balancer)] },
  timeouts: noTimeouts,
  retry: undefined,
  session: undefined,
};

const retry: Retry = {
  limit: 1,
  statuses: [],
  perTryMs: 100,
  backoff: defaultRetryBackoff,
  maxBodyBytes: 0,
  budget: { percent: 1, intervalMs: 1, minPerSecond: 1 },
};

function policyOf(change: Partial<OutboundHttpRule>): OutboundPolicy {
  return {
    parent: meta,
    protocol: "http1",
    httpRoutes: [{ meta: defaultMeta("route"), hosts: [], rules: [{ ...rule, ...change }] }],
    accrual: undefined,
    opaque: { meta, refusal: "", backends: { kind: "empty" } },
  };
}

function plain(change: Partial<OutboundHttpRule>): OutboundHttpRule | undefined {
  return withoutExtensions(policyOf(change)).httpRoutes[0]?.rules[0];
}

const fails = test.macro({
  exec: (t, change: Partial<OutboundHttpRule>, message: string) => {
    const filters = [failAlways(500, message)];
    const backend = { meta: defaultMeta("route"), dispatch: { kind: "fail" } } as const;
    const backends = { kind: "first-available", backends: [{ backend, filters, weight: 1 }] };
    t.deepEqual(plain(change), { ...rule, filters, backends } as OutboundHttpRule);
  },
  title: (given) => `withoutExtensions() fails a rule with ${given}`,
});

const always = { numerator: 1, denominator: 1 };
const rewrite: Filter = { kind: "url-rewrite", rewrite: { host: "a", path: undefined } };

test(
  "a broken rule, whose reason stays",
  fails,
  { filters: [failAlways(500, "broken")], backends: { kind: "empty" } },
  "broken",
);

test("withoutExtensions() puts a backend behind a redirect, and none behind a rule that says nothing", (t) => {
  const redirect: Filter = {
    kind: "redirect",
    redirect: { scheme: "", host: "b", port: 0, path: undefined, status: 301 },
  };
  const backends = { kind: "empty" } as const;
  const redirecting = plain({ filters: [redirect], backends });
  t.deepEqual(redirecting?.filters, [redirect]);
  t.is(redirecting?.backends.kind, "first-available");
  t.deepEqual(plain({ backends })?.backends, backends);
});

test("a rewrite", fails, { filters: [rewrite] }, "URLRewrite needs a Weft sidecar");
test(
  "a mirror",
  fails,
  { filters: [{ kind: "mirror", mirror: { backend: balancer, ...always } }] },
  "RequestMirror needs a Weft sidecar",
);
test(
  "a delay",
  fails,
  { filters: [{ kind: "delay", delay: { delayMs: 1, ...always } }] },
  "HTTPFault.delay needs a Weft sidecar",
);
test(
  "a direct response behind another filter",
  fails,
  {
    filters: [
      { kind: "request-headers", modifier: { set: [], add: [], remove: ["x"] } },
      { kind: "direct-response", response: { status: 200, body: "", contentType: "" } },
    ],
  },
  "DirectResponse needs a Weft sidecar",
);
test(
  "a session",
  fails,
  {
    session: {
      type: "header",
      name: "x",
      cookiePath: "",
      lifetime: "session",
      absoluteMs: 0,
      idleMs: 0,
    },
  },
  "sessionPersistence needs a Weft sidecar",
);
test(
  "a limit for each of several tries",
  fails,
  { retry, timeouts: { ...noTimeouts, backendRequestMs: 500, requestMs: 1_000 } },
  "timeouts.backendRequest needs a Weft sidecar",
);

const folds = test.macro({
  exec: (t, given: Partial<Timeouts>, limit: number, requestMs: number) => {
    const timeouts = { ...noTimeouts, idleMs: 7, ...given };
    const change = { timeouts, retry: { ...retry, limit } };
    t.deepEqual(plain(change)?.timeouts, { ...noTimeouts, idleMs: 7, requestMs });
    if (limit === 0) t.is(plain({ timeouts })?.timeouts.requestMs, requestMs);
  },
  title: (given) => `withoutExtensions() makes one limit of two: ${given}`,
});

test("that of the only try", folds, { backendRequestMs: 500 }, 0, 500);
test("the shorter one", folds, { backendRequestMs: 500, requestMs: 1_000 }, 0, 500);
test("that of the request", folds, { backendRequestMs: 1_000, requestMs: 500 }, 0, 500);
test(
  "that of the request where tries have longer ones",
  folds,
  { backendRequestMs: 500, requestMs: 500 },
  3,
  500,
);

test("withoutExtensions() keeps retries and drops their budget", (t) => {
  t.deepEqual(plain({ retry }), { ...rule, retry: { ...retry, budget: defaultRetryBudget } });
});

test("withoutExtensions() fails the share of a backend that needs an extension, and no other", (t) => {
  const key = new Secret("key-in-the-clear");
  const lambda: Backend = {
    meta,
    dispatch: {
      kind: "lambda",
      function: {
        region: "us-east-1",
        accountId: "",
        name: "f",
        qualifier: "",
        mode: "sync",
        payload: "none",
        endpointUrl: "",
        accessKey: key,
        secretKey: key,
        sessionToken: key,
      },
    },
  };
  const hosts = [{ host: "example.com", port: 80 }];
  const fixed: Backend = { meta, dispatch: { kind: "static", hosts } };
  const backends = [share(balancer), share(lambda), share(fixed), share(balancer, rewrite)];
  const policy = policyOf({ backends: { kind: "random-available", backends } });
  const failing = (message: string): RouteBackend =>
    share({ meta, dispatch: { kind: "fail" } }, failAlways(500, message));
  t.deepEqual(withoutExtensions(policy).httpRoutes[0]?.rules[0]?.backends, {
    kind: "random-available",
    backends: [
      share(balancer),
      failing("Backend.aws.lambda needs a Weft sidecar"),
      failing("Backend.static needs a Weft sidecar"),
      failing("URLRewrite needs a Weft sidecar"),
    ],
  });
  const text = (extensions: boolean): string =>
    JSON.stringify(toWireOutbound(policy, { extensions }), (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
  t.regex(text(true), /key-in-the-clear/);
  t.notRegex(text(false), /key-in-the-clear/);
});

test("withoutExtensions() leaves out what a backend speaks, and nothing else of it", (t) => {
  const backends = [share({ ...balancer, protocol: "http2" })];
  t.deepEqual(plain({ backends: { kind: "random-available", backends } }), rule);
});

/** Whether a message has something that Linkerd's contract lacks, anywhere. */
function hasExtension(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasExtension);
  if (typeof value !== "object" || value === null) return false;
  if (isMessage(value)) {
    if (value.$typeName.startsWith("weft.")) return true;
    if (/HttpRoute\.(Mirror|ExternalAuth)$/.test(value.$typeName)) return true;
    if ("backendRequest" in value && value.backendRequest !== undefined) return true;
  }
  return Object.values(value).some(hasExtension);
}

test("toWireOutbound() without extensions sends nothing that Linkerd's contract lacks", (t) => {
  let extended = 0;
  fc.assert(
    fc.property(anyOutboundPolicy, (policy) => {
      if (hasExtension(toWireOutbound(policy, { extensions: true }))) extended++;
      t.false(hasExtension(toWireOutbound(policy, { extensions: false })));
    }),
    { numRuns: 500 },
  );
  t.true(extended > 100, `only ${extended} policies had an extension`);
});

test("inboundWithoutExtensions() leaves out exactly the authorizations that ask for tokens", (t) => {
  fc.assert(
    fc.property(anyInboundPolicy, (policy) => {
      const plain = inboundWithoutExtensions(policy);
      const open = (list: readonly Authorization[]): readonly Authorization[] =>
        list.filter(({ tokens }) => tokens === undefined);
      t.deepEqual(plain.authorizations, open(policy.authorizations));
      t.deepEqual(
        plain.routes,
        policy.routes.map((route) => ({ ...route, authorizations: open(route.authorizations) })),
      );
      t.deepEqual(
        { ...plain, authorizations: [], routes: [] },
        { ...policy, authorizations: [], routes: [] },
      );
    }),
    { numRuns: 200 },
  );
});
