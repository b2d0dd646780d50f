import test from "ava";
import { defaultLoad } from "../../../src/core/model/backend.ts";
import { resourceMeta } from "../../../src/core/model/meta.ts";
import { noProfile, type Profile, type ProfileRoute } from "../../../src/core/model/profile.ts";
import { profileAsPolicy } from "../../../src/core/model/profile-policy.ts";
import { defaultRetryBudget } from "../../../src/core/model/retry.ts";
import { policyTo } from "../../sidecar/policies.ts";

const name = "web.demo.svc.cluster.local";
const policy = policyTo("web.demo.svc.cluster.local:80");
const source = resourceMeta({
  group: "linkerd.io",
  kind: "ServiceProfile",
  namespace: "demo",
  name,
});

function route(parts: Partial<ProfileRoute> = {}): ProfileRoute {
  return {
    name: "r",
    condition: { kind: "path", pattern: "/a" },
    unreadable: "",
    isRetryable: false,
    timeoutMs: 0,
    responseClasses: [],
    ...parts,
  };
}

function profile(parts: Partial<Profile>): Profile {
  return { ...noProfile, name, source, budget: defaultRetryBudget, ...parts };
}

test("profileAsPolicy() leaves the policy alone for a profile without routes and overrides", (t) => {
  t.is(profileAsPolicy(policy, undefined, 80), policy);
  t.is(profileAsPolicy(policy, profile({}), 80), policy);
});

test("profileAsPolicy() leaves the policy alone for a profile without a name", (t) => {
  t.is(profileAsPolicy(policy, profile({ name: "", routes: [route()] }), 80), policy);
});

test("profileAsPolicy() keeps a refusal, whatever the profile says", (t) => {
  const opaque = { ...policy.opaque, refusal: "forbidden" } as const;
  for (const protocol of ["detect", "opaque"] as const) {
    const refusing = { ...policy, protocol, opaque };
    t.is(profileAsPolicy(refusing, profile({ opaque: true, routes: [route()] }), 80), refusing);
  }
});

test("profileAsPolicy() replaces routes and circuit breaker, and takes what no route takes to the Service", (t) => {
  const backoff = { minMs: 1, maxMs: 1, jitter: 0 };
  const accrual = {
    maxConsecutiveFailures: 1,
    successRateThreshold: 0,
    decayMs: 1,
    minRequests: 1,
    backoff,
  };
  const found = profileAsPolicy({ ...policy, accrual }, profile({ routes: [route()] }), 8080);
  t.is(found.routeOrder, "list");
  t.is(found.accrual, undefined);
  t.deepEqual(
    found.httpRoutes.map(({ meta }) => meta),
    [{ ...source, section: "r" }, source],
  );
  for (const { rules } of found.httpRoutes) {
    t.is(rules[0]?.canonical, `${name}:8080`);
    t.like(rules[0]?.backends, {
      kind: "first-available",
      backends: [
        { backend: { dispatch: { authority: `${name}:8080`, load: defaultLoad } }, weight: 1 },
      ],
    });
  }
});

test("profileAsPolicy() splits by weight, without what has none", (t) => {
  const overrides = [
    { authority: "a.demo.svc.cluster.local:80", weight: 9, backend: undefined },
    { authority: "b.demo.svc.cluster.local:80", weight: 0, backend: undefined },
    { authority: "api.example.com:80", weight: 1, backend: undefined },
  ];
  const found = profileAsPolicy(policy, profile({ overrides }), 80);
  const { backends } = found.httpRoutes[0]?.rules[0] ?? {};
  t.is(backends?.kind, "random-available");
  t.deepEqual(
    backends?.kind === "random-available"
      ? backends.backends.map(({ backend, weight }) => [backend.meta, weight])
      : [],
    [
      [resourceMeta({ group: "core", kind: "Service", namespace: "demo", name: "a", port: 80 }), 9],
      [{ type: "default", name: "api.example.com:80" }, 1],
    ],
  );
  t.deepEqual(found.opaque.backends, backends ?? { kind: "empty" });
});

test("profileAsPolicy() sends everything to the Service itself when no override has a weight", (t) => {
  const overrides = [{ authority: "a.demo.svc.cluster.local:80", weight: 0, backend: undefined }];
  const { httpRoutes } = profileAsPolicy(policy, profile({ overrides }), 80);
  t.like(httpRoutes[0]?.rules[0]?.backends, {
    kind: "first-available",
    backends: [{ backend: { dispatch: { authority: `${name}:80` } } }],
  });
});

test("profileAsPolicy() makes a policy opaque when the profile says so, with its split", (t) => {
  const overrides = [{ authority: "a.demo.svc.cluster.local:80", weight: 1, backend: undefined }];
  const plain = profileAsPolicy(policy, profile({ opaque: true, routes: [route()] }), 80);
  t.is(plain.protocol, "opaque");
  t.is(plain.opaque, policy.opaque);
  t.is(plain.routeOrder, undefined);
  const split = profileAsPolicy(policy, profile({ opaque: true, overrides }), 80);
  t.is(split.opaque.backends.kind, "random-available");
});

test("profileAsPolicy() passes bytes on where a policy of HTTP alone would not", (t) => {
  const http = { ...policy, opaque: { ...policy.opaque, refusal: "invalid" } } as const;
  t.like(profileAsPolicy(http, profile({ opaque: true }), 80), {
    protocol: "opaque",
    opaque: { refusal: "", backends: { kind: "first-available" } },
  });
  t.is(profileAsPolicy(http, profile({ routes: [route()] }), 80).routeOrder, "list");
});

test("profileAsPolicy() gives path and method of a condition their own places", (t) => {
  const not = { kind: "not", of: { kind: "path", pattern: "/b" } } as const;
  const condition = {
    kind: "all",
    of: [{ kind: "method", method: "GET" }, { kind: "path", pattern: "/a" }, not],
  } as const;
  const { httpRoutes } = profileAsPolicy(policy, profile({ routes: [route({ condition })] }), 80);
  t.like(httpRoutes[0]?.rules[0]?.matches[0], {
    path: { kind: "regex", value: "/a" },
    method: "GET",
    condition: not,
  });
});

test("profileAsPolicy() refuses what gets to a route that could not be read", (t) => {
  const routes = [route({ unreadable: "why" })];
  const { httpRoutes } = profileAsPolicy(policy, profile({ routes }), 80);
  t.is(httpRoutes[0]?.rules[0]?.matches[0]?.unreadable, "why");
});

test("profileAsPolicy() retries what its classes call a failure, of retryable routes, within one budget", (t) => {
  const classes = [
    { condition: { kind: "status", min: 404, max: 404 }, isFailure: true },
    { condition: { kind: "not", of: { kind: "status", min: 200, max: 502 } }, isFailure: false },
  ] as const;
  const routes = [route({ isRetryable: true, responseClasses: classes }), route()];
  const { httpRoutes } = profileAsPolicy(policy, profile({ routes }), 80);
  t.like(httpRoutes[0]?.rules[0]?.retry, {
    statuses: [
      { start: 404, end: 404 },
      { start: 500, end: 502 },
    ],
    budget: defaultRetryBudget,
    sharesBudget: true,
  });
  t.is(httpRoutes[1]?.rules[0]?.retry, undefined);
  const broke = profileAsPolicy(policy, profile({ routes, budget: undefined }), 80);
  t.is(broke.httpRoutes[0]?.rules[0]?.retry, undefined);
});
