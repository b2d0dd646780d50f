import test from "ava";
import type { Condition } from "../../../src/core/resolve/conditions.ts";
import { resolveStatus } from "../../../src/core/resolve/status.ts";
import type { Store } from "../../../src/core/resolve/store.ts";
import { readBrokenStore, route, service, settings } from "./world.ts";

/** One line for each condition: `HTTPRoute demo/r at Service a: Accepted True Accepted`. */
function lines(store: Store): readonly string[] {
  return resolveStatus(store, settings).flatMap(
    ({ kind, namespace, name, parents, conditions }) => {
      const object = namespace === "" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
      return [
        ...conditions.map((condition) => `${object}: ${text(condition)}`),
        ...parents.flatMap((parent) =>
          parent.conditions.map(
            (condition) =>
              `${object} at ${parent.parentRef.kind} ${parent.parentRef.name}: ${text(condition)}`,
          ),
        ),
      ];
    },
  );
}

function text({ type, status, reason, message }: Condition): string {
  return [type, status, reason, message].filter(Boolean).join(" ");
}

const toB = "{ backendRefs: [{ name: b, port: 8080 }] }";
const accepted = "HTTPRoute demo/r at Service a: Accepted True Accepted";
const direct =
  "{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: DirectResponse, name: d } }";
const resolved = "HTTPRoute demo/r at Service a: ResolvedRefs True ResolvedRefs";

const ofRules = test.macro({
  exec: (t, rules: string, ...expected: readonly string[]) => {
    t.deepEqual(
      lines(readBrokenStore(service("a"), service("b"), route("r", "a", rules))),
      expected,
    );
  },
  title: (given = "") => `routeConditions() ${given}`,
});
test("accepts what is in order", ofRules, `[${toB}]`, accepted, resolved);
test("keeps ResolvedRefs true for a rule without backendRefs", ofRules, "[{}]", accepted, resolved);
test(
  "does not accept a route of which no rule can be honoured",
  ofRules,
  '[{ matches: [{ path: { type: RegularExpression, value: "(?=a)" } }] }]',
  "HTTPRoute demo/r at Service a: Accepted False UnsupportedValue rules[0]: matches[0].path: the regular expression cannot be used: is not a regular expression of RE2: error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
  resolved,
);
test(
  "calls a route partially invalid of which some rules cannot be honoured",
  ofRules,
  `[${toB}, { backendRefs: [{ name: b, port: 8080, filters: [${direct}] }] }]`,
  accepted,
  "HTTPRoute demo/r at Service a: PartiallyInvalid True UnsupportedValue Dropped Rule, requests are answered with 500: rules[1]: a DirectResponse must be a filter of the rule, not of a backend",
  resolved,
);
test(
  "names every reference that leads nowhere, with the reason of the first",
  ofRules,
  `[{ backendRefs: [{ name: b, port: 8080 }, { kind: Bucket, name: x, port: 1 }, { name: gone, port: 8080 }] }]`,
  accepted,
  "HTTPRoute demo/r at Service a: ResolvedRefs False InvalidKind unsupported backend type core Bucket; Service not found gone",
);
test(
  "has a reason for each way in which a reference leads nowhere",
  ofRules,
  `[{ backendRefs: [{ name: gone, port: 8080, weight: 0 }, ${"{ name: b, port: 8080 }"}] }]`,
  accepted,
  "HTTPRoute demo/r at Service a: ResolvedRefs False BackendNotFound Service not found gone",
);
test(
  "counts an unsupported filter of a backend against its rule",
  ofRules,
  `[{ backendRefs: [{ name: b, port: 8080, filters: [${direct}] }] }]`,
  "HTTPRoute demo/r at Service a: Accepted False UnsupportedValue rules[0]: a DirectResponse must be a filter of the rule, not of a backend",
  resolved,
);
test(
  "says IncompatibleFilters for a DirectResponse beside backends",
  ofRules,
  `[{ filters: [${direct}], backendRefs: [{ name: b, port: 8080 }] }]`,
  "HTTPRoute demo/r at Service a: Accepted False IncompatibleFilters rules[0]: a rule with a DirectResponse must have no backendRefs",
  "HTTPRoute demo/r at Service a: ResolvedRefs False BackendNotFound DirectResponse not found d",
);
test(
  "says that a filter leads nowhere",
  ofRules,
  `[{ filters: [${direct}] }]`,
  accepted,
  "HTTPRoute demo/r at Service a: ResolvedRefs False BackendNotFound DirectResponse not found d",
);
test(
  "says that a mirror leads nowhere",
  ofRules,
  `[{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: gone, port: 1 } } }], backendRefs: [{ name: b, port: 8080 }] }]`,
  accepted,
  "HTTPRoute demo/r at Service a: ResolvedRefs False BackendNotFound Service not found gone",
);

const annotated = test.macro({
  exec: (t, annotations: string, ...expected: readonly string[]) => {
    const text = route("r", "a", `[${toB}]`, `, annotations: { ${annotations} }`);
    t.deepEqual(lines(readBrokenStore(service("a"), service("b"), text)), expected);
  },
  title: (_given, annotations: string, ..._expected: readonly string[]) =>
    `routeConditions() judges a route with ${annotations}`,
});
test(
  annotated,
  "timeout.linkerd.io/request: soon",
  'HTTPRoute demo/r at Service a: Accepted False UnsupportedValue rules[0]: annotation timeout.linkerd.io/request must be a duration like "500ms", "10s" or "5m", is "soon"',
  resolved,
);
test(
  annotated,
  "retry.linkerd.io/grpc: unavailable",
  `${accepted} without effect here: annotation retry.linkerd.io/grpc`,
  resolved,
);

const ofService = test.macro({
  exec: (t, annotations: string, ...expected: readonly string[]) => {
    const text = service("a").replace(
      "namespace: demo }",
      `namespace: demo, annotations: { ${annotations} } }`,
    );
    t.deepEqual(lines(readBrokenStore(text)), expected);
  },
  title: (_given, annotations: string, ..._expected: readonly string[]) =>
    `resolveStatus() judges a Service with ${annotations}`,
});
test(ofService, "timeout.linkerd.io/request: 5s");
test(
  ofService,
  "balancer.linkerd.io/failure-accrual: often, retry.linkerd.io/limit: '-1'",
  'Service demo/a: Accepted False InvalidAnnotation not in force: retry.linkerd.io/limit: must be a whole number from 0 to 65535, is "-1"; balancer.linkerd.io/failure-accrual: must be "consecutive" or "unified", is "often"',
);
test(
  ofService,
  "balancer.alpha.linkerd.io/failure-accrual-honor-retry-after: 'true', retry.linkerd.io/grpc: internal",
);

const policies = test.macro({
  exec: (t, spec: string, ...expected: readonly string[]) => {
    const policy = (name: string, text: string): string => `---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: { name: ${name}, namespace: demo }
spec: { ${text} }
`;
    const bound = service("c", ", sessionAffinity: ClientIP");
    const first = policy("first", 'targetRefs: [{ group: "", kind: Service, name: b }]');
    const store = readBrokenStore(service("a"), service("b"), bound, first, policy("p", spec));
    t.deepEqual(lines(store).slice(1), expected);
  },
  title: (_given, spec: string, ..._expected: readonly string[]) =>
    `resolveStatus() judges an XBackendTrafficPolicy { ${spec} }`,
});
const ofPolicy = "XBackendTrafficPolicy demo/p: Accepted";
test(policies, 'targetRefs: [{ group: "", kind: Service, name: a }]', `${ofPolicy} True Accepted`);
test(
  policies,
  'targetRefs: [{ group: "", kind: Service, name: gone }]',
  `${ofPolicy} False TargetNotFound Service demo/gone does not exist`,
);
test(
  policies,
  'targetRefs: [{ group: "", kind: Service, name: b }]',
  `${ofPolicy} False Conflicted Service demo/b is that of XBackendTrafficPolicy demo/first`,
);
test(
  policies,
  "targetRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: b }]",
  `${ofPolicy} False Invalid gateway.kgateway.dev Backend cannot be a target: use a Service`,
);
test(
  policies,
  'targetRefs: [{ group: "", kind: Service, name: c }], sessionPersistence: { sessionName: s }',
  `${ofPolicy} False Conflicted Service demo/c has sessionAffinity ClientIP, so that sessionPersistence is not in force there`,
);

const parents = test.macro({
  exec: (t, parentRef: string, message: string) => {
    const headless = service("h").replace(/clusterIP: [0-9.]+/, "clusterIP: None");
    const opaque = service("o").replace("port: 8080", "port: 8080, appProtocol: linkerd.io/tcp");
    const text = route("r", "a", `[${toB}]`).replace(
      /parentRefs: .*/,
      `parentRefs: [{ ${parentRef} }]`,
    );
    const [line = ""] = lines(readBrokenStore(service("a"), service("b"), headless, opaque, text));
    t.is(line.replace(/^[^:]*: /, ""), `Accepted False NoMatchingParent ${message}`);
  },
  title: (_given, parentRef: string, _message: string) =>
    `routeConditions() does not accept the parent { ${parentRef} }`,
});
const asService = 'group: "", kind: Service';
test(parents, `${asService}, name: gone`, "Service demo/gone does not exist");
test(
  parents,
  `${asService}, name: h`,
  "Service demo/h has no cluster IP: use it as a backend only",
);
test(
  parents,
  `${asService}, name: o`,
  "Service demo/o has only opaque ports there, without requests",
);
test(parents, `${asService}, name: a, port: 81`, "Service demo/a has no TCP port 81");
test(
  parents,
  `${asService}, name: a, port: 8080, sectionName: x`,
  'Service demo/a has no TCP port 8080 named "x"',
);
test(
  parents,
  "kind: Service, name: a",
  'gateway.networking.k8s.io/Service cannot be a parent: write group: "" for a Service',
);
test(
  parents,
  "group: policy.linkerd.io, kind: EgressNetwork, name: a, port: 80",
  "EgressNetwork demo/a does not exist",
);
test(
  parents,
  "group: policy.linkerd.io, kind: Server, name: gone",
  "Server demo/gone does not exist",
);

test("routeConditions() has nothing to say about Gateways", (t) => {
  const text = route("r", "a", `[${toB}]`).replace(/parentRefs: .*/, "parentRefs: [{ name: gw }]");
  t.deepEqual(lines(readBrokenStore(service("b"), text)), []);
});

test("routeConditions() judges each parent by itself, at the generation of the route", (t) => {
  const two = route("r", "a", `[${toB}]`, ", generation: 7").replace(
    /parentRefs: .*/,
    `parentRefs: [{ ${asService}, name: a }, { ${asService}, name: gone }]`,
  );
  const [status] = resolveStatus(readBrokenStore(service("a"), service("b"), two), settings);
  t.deepEqual(
    status?.parents.map(({ conditions }) => conditions[0]?.status),
    ["True", "False"],
  );
  t.true(
    status?.parents.every(({ conditions }) =>
      conditions.every((one) => one.observedGeneration === 7),
    ),
  );
});

test("routeConditions() says which fields have no effect at a parent", (t) => {
  const hosts = route("r", "a", `[${toB}]`).replace("rules:", "hostnames: [x.example]\n  rules:");
  t.is(
    lines(readBrokenStore(service("a"), service("b"), hosts))[0],
    `${accepted} without effect here: hostnames`,
  );
  const inbound = `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: s, namespace: demo }
spec: { podSelector: {}, port: 8080 }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: s }]
  rules: [{ timeouts: { request: 1s }, retry: { attempts: 1 }, backendRefs: [{ name: gone, port: 1 }] }]
`;
  t.deepEqual(lines(readBrokenStore(inbound)), [
    "HTTPRoute demo/r at Server s: Accepted True Accepted without effect here: backendRefs, timeouts, retry",
    "HTTPRoute demo/r at Server s: ResolvedRefs True ResolvedRefs",
  ]);
});

test("resolveStatus() names the faults of a route that cannot be read, at its known parents", (t) => {
  const bad = route("r", "a", `[${toB}]`).replace("rules:", "hostnames: [NO HOST]\n  rules:");
  const [line = "", ...more] = lines(readBrokenStore(service("a"), bad));
  t.regex(
    line,
    /^HTTPRoute demo\/r at Service a: Accepted False UnsupportedValue HTTPRoute demo\/r cannot be read: spec\.hostnames/,
  );
  t.deepEqual(more, []);
});

function policy(targetRef: string, refs = ""): string {
  return `---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: p, namespace: demo }
spec: { targetRef: { ${targetRef} }, requiredAuthenticationRefs: [${refs}] }
`;
}

const server = (name: string, created: string): string => `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: ${name}, namespace: demo, creationTimestamp: "${created}" }
spec: { podSelector: {}, port: 8080 }
`;

const targets = test.macro({
  exec: (t, targetRef: string, verdict: string) => {
    const store = readBrokenStore(
      server("s", "2024-01-01T00:00:00Z"),
      service("a"),
      route("r", "a", "[{}]"),
      policy(targetRef),
    );
    const [line = ""] = lines(store).filter((one) => one.startsWith("AuthorizationPolicy"));
    t.is(line, `AuthorizationPolicy demo/p: Accepted ${verdict}`);
  },
  title: (_given, targetRef: string, verdict: string) =>
    `resolveStatus() judges a policy for { ${targetRef} }: ${verdict}`,
});
const linkerd = "group: policy.linkerd.io";
test(targets, `${linkerd}, kind: Server, name: s`, "True Accepted");
test(
  targets,
  `${linkerd}, kind: Server, name: gone`,
  "False TargetNotFound Server demo/gone does not exist",
);
test(targets, "kind: Namespace, name: demo", "True Accepted");
test(targets, "group: gateway.networking.k8s.io, kind: HTTPRoute, name: r", "True Accepted");
test(
  targets,
  `${linkerd}, kind: HTTPRoute, name: r`,
  "False TargetNotFound policy.linkerd.io HTTPRoute demo/r does not exist",
);
test(
  targets,
  "group: gateway.networking.k8s.io, kind: GRPCRoute, name: r",
  "False TargetNotFound gateway.networking.k8s.io GRPCRoute demo/r does not exist",
);

test("resolveStatus() says that a policy without its authentication admits nobody", (t) => {
  const text = policy(
    "kind: Namespace, name: demo",
    `{ ${linkerd}, kind: MeshTLSAuthentication, name: gone }`,
  );
  t.deepEqual(lines(readBrokenStore(text)), [
    "AuthorizationPolicy demo/p: Accepted True Accepted",
    "AuthorizationPolicy demo/p: ResolvedRefs False AuthenticationNotFound MeshTLSAuthentication demo/gone does not exist: the policy admits nobody",
  ]);
});

const pod = (annotation = ""): string => `---
apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: demo, annotations: { ${annotation} } }
spec: { containers: [{ name: app }] }
`;

test("resolveStatus() names a Server whose every port an older one has", (t) => {
  const both = [server("old", "2024-01-01T00:00:00Z"), server("new", "2024-01-02T00:00:00Z")];
  t.deepEqual(lines(readBrokenStore(pod(), ...both)), [
    "Server demo/new: Accepted False Conflicted every port it asks for is that of Server demo/old",
  ]);
  t.deepEqual(lines(readBrokenStore(...both)), []);
});

test("resolveStatus() names annotations that are no default policy", (t) => {
  const [line = ""] = lines(readBrokenStore(pod("config.linkerd.io/default-inbound-policy: open")));
  t.regex(
    line,
    /^Pod demo\/web-1: Accepted False InvalidAnnotation .* is "open", not one of deny, /,
  );
});

test("resolveStatus() names endpoints whose pods are not known", (t) => {
  const slice = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: e, namespace: demo, labels: { kubernetes.io/service-name: a } }
addressType: IPv4
ports: [{ port: 80 }]
endpoints: [{ addresses: [10.0.0.1], targetRef: { kind: Pod, name: web-1, namespace: demo } }]
`;
  t.deepEqual(lines(readBrokenStore(slice)), [
    "EndpointSlice demo/e: ResolvedRefs False TargetNotFound left out, because their pods are not known: demo/web-1",
  ]);
  t.deepEqual(lines(readBrokenStore(slice, pod())), []);
});
