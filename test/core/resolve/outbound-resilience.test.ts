/** Timeouts, retries, sessions, circuit breaking and the weight of failures: fields, annotations, policies, and which of them wins. */
import test from "ava";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import { resolveOutbound } from "../../../src/core/resolve/outbound.ts";
import { outboundLines } from "./summary.ts";
import { readBrokenStore, route, service, settings } from "./world.ts";

const toA = { kind: "authority", authority: "a.demo.svc.cluster.local:8080" } as const;

type World = {
  readonly rule?: string;
  /** Annotations of the route. */
  readonly onRoute?: string;
  /** Annotations of the parent Service. */
  readonly onService?: string;
  readonly objects?: string;
};

function policyOf({ rule, onRoute = "", onService = "", objects = "" }: World): OutboundPolicy {
  const parent = service("a").replace("demo }", `demo, annotations: { ${onService} } }`);
  const attached =
    rule === undefined ? "" : route("r", "a", `[{ ${rule} }]`, `, annotations: { ${onRoute} }`);
  const store = readBrokenStore(parent, service("b"), objects, attached);
  const resolution = resolveOutbound(store, settings, toA, { namespace: "demo", pod: "client" });
  if ("unknown" in resolution) throw new Error(resolution.unknown);
  return resolution.policy;
}

const backend = "backendRefs: [{ name: b, port: 8080 }]";

/** What stands behind the backend in the line of the one rule. */
const bounds = test.macro({
  exec: (t, world: World, expected: string) => {
    const [line = "", ...more] = outboundLines(policyOf(world));
    t.is(line.replace(/^.*Service demo\/[ab]:8080 1/, ""), expected);
    t.deepEqual(more, []);
  },
  title: (given = "") => `resolveOutboundRules() ${given}`,
});

test(
  "takes timeouts of the rule",
  bounds,
  { rule: `timeouts: { request: 2s, backendRequest: 1s }, ${backend}` },
  " within request 2000 ms, backendRequest 1000 ms",
);
test(
  "lets an annotation of the route win over the field, one by one",
  bounds,
  {
    rule: `timeouts: { request: 2s, backendRequest: 1s }, ${backend}`,
    onRoute: "timeout.linkerd.io/request: 1m, timeout.linkerd.io/idle: 5s",
  },
  " within request 60000 ms, backendRequest 1000 ms, idle 5000 ms",
);
test(
  "takes the timeouts of the Service for a rule that says nothing",
  bounds,
  {
    rule: backend,
    onService:
      "timeout.linkerd.io/request: 1d, timeout.linkerd.io/response: 3s, timeout.linkerd.io/idle: '0'",
  },
  " within request 86400000 ms, response 3000 ms",
);
test(
  "takes none of the Service's timeouts for a rule that says anything, be it 0s",
  bounds,
  { rule: `timeouts: { request: 0s }, ${backend}`, onService: "timeout.linkerd.io/response: 3s" },
  "",
);
test(
  "takes the timeouts of a Service without routes",
  bounds,
  { onService: "timeout.linkerd.io/request: 3s" },
  " within request 3000 ms",
);
test(
  "leaves out of a Service's timeouts what cannot be read",
  bounds,
  {
    rule: backend,
    onService: "timeout.linkerd.io/request: 1.5s, timeout.linkerd.io/response: 3s",
  },
  " within response 3000 ms",
);

const budget = "budget 20% of 10000 ms or 10/s";
test(
  "retries once on connection errors when nothing more is said",
  bounds,
  { rule: `retry: {}, ${backend}` },
  `, retry 1 on [] after 25-250 ms ${budget}`,
);
test(
  "takes codes, attempts and backoff of the rule",
  bounds,
  { rule: `retry: { codes: [500, 503], attempts: 3, backoff: 100ms }, ${backend}` },
  `, retry 3 on [500 503] after 100-1000 ms ${budget}`,
);
test(
  "sends a request once for attempts 0",
  bounds,
  { rule: `retry: { attempts: 0 }, ${backend}` },
  "",
);
test(
  "takes retries from annotations of the route",
  bounds,
  {
    rule: backend,
    onRoute:
      '"retry.linkerd.io/http": "5xx, gateway-error,429,500-501", retry.linkerd.io/limit: "2", retry.linkerd.io/timeout: 300ms',
  },
  `, retry 2 on [500-599 502-504 429 500-501] each 300 ms after 25-250 ms ${budget}`,
);
test(
  "lets an annotation of the route win over the field of its kind",
  bounds,
  {
    rule: `retry: { codes: [500], attempts: 3 }, ${backend}`,
    onRoute: 'retry.linkerd.io/limit: "1"',
  },
  `, retry 1 on [500] after 25-250 ms ${budget}`,
);
test(
  "takes the retries of the Service for a rule that says nothing",
  bounds,
  { rule: backend, onService: "retry.linkerd.io/http: 5xx" },
  `, retry 1 on [500-599] after 25-250 ms ${budget}`,
);
test(
  "lets a rule switch off the retries of the Service",
  bounds,
  {
    rule: backend,
    onService: "retry.linkerd.io/http: 5xx",
    onRoute: 'retry.linkerd.io/limit: "0"',
  },
  "",
);
test(
  "retries for a Service without routes",
  bounds,
  { onService: "retry.linkerd.io/http: gateway-error" },
  `, retry 1 on [502-504] after 25-250 ms ${budget}`,
);

const badAnnotations = test.macro({
  exec: (t, annotation: string, wanted: string) => {
    const [line = ""] = outboundLines(policyOf({ rule: backend, onRoute: annotation }));
    const [name = "", value = ""] = annotation.split(": ");
    const message = `annotation ${name} must be ${wanted}, is ${value}`;
    t.is(line, `HTTPRoute demo/r: prefix / → 500 ${message}`);
  },
  title: (_given, annotation: string) =>
    `resolveOutboundRules() answers 500 on a route with ${annotation}`,
});
const duration = 'a duration like "500ms", "10s" or "5m"';
test(badAnnotations, 'timeout.linkerd.io/request: "1.5s"', duration);
test(badAnnotations, 'timeout.linkerd.io/response: "5"', duration);
test(badAnnotations, 'timeout.linkerd.io/idle: "-1s"', duration);
test(badAnnotations, 'retry.linkerd.io/timeout: "1w"', duration);
test(badAnnotations, 'retry.linkerd.io/limit: "65536"', "a whole number from 0 to 65535");
const statuses = 'a list of "5xx", "gateway-error", statuses and ranges like "500-504"';
for (const value of ["", "4xx", "600", "503-500", "500-", "99"]) {
  test(badAnnotations, `retry.linkerd.io/http: "${value}"`, statuses);
}
test(
  badAnnotations,
  'retry.linkerd.io/grpc: "unknown"',
  'a list of "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"',
);

const trafficPolicy = (name: string, target: string, spec: string): string => `---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: { name: ${name}, namespace: demo }
spec: { targetRefs: [{ group: "", kind: Service, name: ${target} }], ${spec} }
`;
test(
  "bounds retries by the policy of the backend",
  bounds,
  {
    rule: `retry: {}, ${backend}`,
    objects: trafficPolicy(
      "p",
      "b",
      "retryConstraint: { budget: { percent: 5, interval: 1m }, minRetryRate: { count: 3, interval: 2s } }",
    ),
  },
  ", retry 1 on [] after 25-250 ms budget 5% of 60000 ms or 2/s",
);
test(
  "bounds retries by the tightest policy of several backends",
  bounds,
  {
    rule: "retry: {}, backendRefs: [{ name: b, port: 8080, weight: 0 }, { name: a, port: 8080 }]",
    objects:
      trafficPolicy("loose", "b", "retryConstraint: { budget: { percent: 50 } }") +
      trafficPolicy("tight", "a", "retryConstraint: { budget: { percent: 1 } }"),
  },
  ", retry 1 on [] after 25-250 ms budget 1% of 10000 ms or 10/s",
);

const named = "session cookie s session at / absolute 0 idle 0";
const generated = "weft-session-[0-9a-f]{16}";
const spelling = test.macro({
  exec: (t, persistence: string, expected: string) => {
    const rule = `sessionPersistence: ${persistence}, ${backend}`;
    const [line = ""] = outboundLines(policyOf({ rule }));
    t.regex(line, new RegExp(`1, ${expected}$`));
  },
  title: (_given, persistence: string) => `resolveSession() reads ${persistence}`,
});
test(spelling, "{ sessionName: s }", named);
test(spelling, "{ cookie: { name: s } }", named);
test(spelling, "{}", `session cookie ${generated} session at / absolute 0 idle 0`);
test(
  spelling,
  "{ sessionName: s, absoluteTimeout: 1h, idleTimeout: 1m, cookieConfig: { lifetimeType: Permanent } }",
  "session cookie s permanent at / absolute 3600000 idle 60000",
);
test(
  spelling,
  "{ cookie: { name: s, path: /app } }",
  "session cookie s session at /app absolute 0 idle 0",
);
test(spelling, "{ type: Header, header: { name: X-S } }", "session header x-s absolute 0 idle 0");
test(spelling, "{ type: Header }", `session header ${generated} absolute 0 idle 0`);

test("resolveSession() makes one name for each rule, the same every time", (t) => {
  const rules = `sessionPersistence: {}, ${backend} }, { name: x, sessionPersistence: {}, ${backend} }, { sessionPersistence: {}, ${backend}`;
  const names = (): readonly string[] =>
    policyOf({ rule: rules }).httpRoutes.flatMap((one) =>
      one.rules.map(({ session }) => session?.name ?? ""),
    );
  t.is(new Set(names()).size, 3);
  t.deepEqual(names(), names());
});

const clientIp = (text: string): string =>
  text.replace("spec: {", "spec: { sessionAffinity: ClientIP,");

test("resolveOutboundRules() refuses sessions beside the affinity of a backend's Service", (t) => {
  const rule = "sessionPersistence: {}, backendRefs: [{ name: c, port: 8080 }]";
  t.deepEqual(outboundLines(policyOf({ rule, objects: clientIp(service("c")) })), [
    "HTTPRoute demo/r: prefix / → 500 sessionPersistence cannot be used with Service demo/c, which has sessionAffinity ClientIP",
  ]);
});

const sticky = trafficPolicy("p", "b", "sessionPersistence: { sessionName: s }");
test(
  "takes the session of a backend's policy for a rule without one",
  bounds,
  { rule: backend, objects: sticky },
  `, ${named}`,
);
test(
  "prefers the session of the rule",
  bounds,
  { rule: `sessionPersistence: { sessionName: mine }, ${backend}`, objects: sticky },
  ", session cookie mine session at / absolute 0 idle 0",
);
test(
  "takes the session of the policy of a Service without routes",
  bounds,
  { objects: trafficPolicy("p", "a", "sessionPersistence: { sessionName: s }") },
  `, ${named}`,
);

const mode = "balancer.linkerd.io/failure-accrual";
const accrual = test.macro({
  exec: (t, annotations: string, expected: OutboundPolicy["accrual"]) => {
    t.deepEqual(policyOf({ onService: annotations }).accrual, expected);
  },
  title: (given = "") => `readAccrual() ${given}`,
});
const backoff = { minMs: 1_000, maxMs: 60_000, jitter: 0.5 };
const consecutive = {
  maxConsecutiveFailures: 7,
  successRateThreshold: 0,
  decayMs: 10_000,
  minRequests: 5,
  backoff,
};
test(
  "keeps an endpoint out as long as it asks for",
  accrual,
  `${mode}: consecutive, balancer.alpha.linkerd.io/failure-accrual-honor-retry-after: "true"`,
  { ...consecutive, honorsRetryAfter: true },
);
test("takes nothing out when nothing is said", accrual, "", undefined);
test("counts failures in a row", accrual, `${mode}: consecutive`, consecutive);
test("counts a success rate as well", accrual, `${mode}: unified`, {
  ...consecutive,
  successRateThreshold: 0.8,
});
test(
  "takes every number",
  accrual,
  `${mode}: unified, ${mode}-consecutive-max-failures: "3", ${mode}-consecutive-min-penalty: 2s, ${mode}-consecutive-max-penalty: 3s, ${mode}-consecutive-jitter-ratio: "0", balancer.alpha.linkerd.io/failure-accrual-success-rate-threshold: "0.5", balancer.alpha.linkerd.io/failure-accrual-success-rate-window: 1m, balancer.alpha.linkerd.io/failure-accrual-success-rate-min-requests: "9"`,
  {
    maxConsecutiveFailures: 3,
    successRateThreshold: 0.5,
    decayMs: 60_000,
    minRequests: 9,
    backoff: { minMs: 2_000, maxMs: 3_000, jitter: 0 },
  },
);
for (const [name, value] of [
  ["", "sometimes"],
  ["-consecutive-max-failures", "-1"],
  ["-consecutive-min-penalty", "0s"],
  ["-consecutive-min-penalty", "2m"],
  ["-consecutive-max-penalty", "500ms"],
  ["-consecutive-jitter-ratio", "101"],
] as const) {
  const others = name === "" ? "" : `${mode}: consecutive, `;
  test(
    `is off for ${mode}${name}: ${value}`,
    accrual,
    `${others}${mode}${name}: "${value}"`,
    undefined,
  );
}
for (const [name, value] of [
  ["threshold", "1.1"],
  ["window", "9ms"],
  ["min-requests", "1000001"],
] as const) {
  const annotation = `balancer.alpha.linkerd.io/failure-accrual-success-rate-${name}`;
  test(
    `is off for ${annotation}: ${value}`,
    accrual,
    `${mode}: unified, ${annotation}: "${value}"`,
    undefined,
  );
}

const load = test.macro({
  exec: (t, annotations: string, expected: object) => {
    const { opaque, httpRoutes } = policyOf({ rule: backend, onService: annotations });
    const distributions = [
      opaque.backends,
      ...httpRoutes.flatMap(({ rules }) => rules.map((rule) => rule.backends)),
    ];
    const loads = distributions.flatMap((one) =>
      one.kind === "empty"
        ? []
        : one.backends.map(
            ({ backend: { dispatch } }) => dispatch.kind === "balancer" && dispatch.load,
          ),
    );
    t.deepEqual(loads, [expected, expected]);
  },
  title: (given = "") => `readLoad() ${given}`,
});
const plain = { defaultRttMs: 30, decayMs: 10_000 };
const alpha = "balancer.alpha.linkerd.io";
test("weighs no failures when nothing is said", load, "", plain);
test("weighs failures", load, `${alpha}/penalize-failures: "true"`, {
  ...plain,
  penalty: { penaltyMs: 5_000, maxRetryAfterMs: 300_000, decayMs: 10_000 },
});
test(
  "takes penalty and cap",
  load,
  `${alpha}/penalize-failures: T, ${alpha}/load-biaser-penalty: 1s, ${alpha}/load-biaser-max-retry-after: 2s`,
  { ...plain, penalty: { penaltyMs: 1_000, maxRetryAfterMs: 2_000, decayMs: 10_000 } },
);
test("is off for false", load, `${alpha}/penalize-failures: "0"`, plain);
test("is off for a word it does not know", load, `${alpha}/penalize-failures: sure`, plain);
test(
  "is off for a penalty that cannot be read",
  load,
  `${alpha}/penalize-failures: "true", ${alpha}/load-biaser-penalty: much`,
  plain,
);
