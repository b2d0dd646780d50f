/** Backends outside of the mesh, and Services that are no backends for HTTP. */
import test from "ava";
import type { RouteBackend } from "../../../src/core/model/backend.ts";
import { resolveOutbound } from "../../../src/core/resolve/outbound.ts";
import { resolveStatus } from "../../../src/core/resolve/status.ts";
import type { Store } from "../../../src/core/resolve/store.ts";
import { readBrokenStore, route, service, settings } from "./world.ts";

const toA = { kind: "authority", authority: "a.demo.svc.cluster.local:8080" } as const;

const objects = `---
apiVersion: v1
kind: Secret
metadata: { name: keys, namespace: demo }
stringData: { accessKey: AKID, secretKey: hidden }
---
apiVersion: v1
kind: Secret
metadata: { name: half, namespace: demo }
stringData: { accessKey: AKID }
---
apiVersion: v1
kind: Secret
metadata: { name: odd, namespace: demo }
stringData: { accessKey: "with blank" }
---
${aws("function", "lambda: { functionName: hello }", "keys")}
${aws("no-secret", "lambda: { functionName: hello }", "gone")}
${aws("half-secret", "lambda: { functionName: hello }", "half")}
${aws("odd-secret", "lambda: { functionName: hello }", "odd")}
${aws("several", "lambdaFunctions: [{ lambdaFunctionName: f1, logicalName: one }, { lambdaFunctionName: f2, logicalName: two }]", "keys")}
${fixed("outside", "")}
${fixed("grpc", ", appProtocol: grpc")}
${fixed("chat", ", appProtocol: kubernetes.io/ws")}
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: dynamic, namespace: demo }
spec: { dynamicForwardProxy: {} }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: function, namespace: other }
spec: { aws: { auth: { type: Secret, secretRef: { name: keys } }, lambda: { functionName: theirs } } }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: outside, namespace: other }
spec: { static: { hosts: [{ host: api.example.com, port: 80 }] } }
`;

function aws(name: string, block: string, secret: string): string {
  const auth = block.startsWith("lambdaFunctions")
    ? `secretRef: { name: ${secret} }`
    : `auth: { type: Secret, secretRef: { name: ${secret} } }`;
  return `apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: ${name}, namespace: demo }
spec: { aws: { region: eu-west-1, ${auth}, ${block} } }
---`;
}

function fixed(name: string, more: string): string {
  return `apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: ${name}, namespace: demo }
spec: { static: { hosts: [{ host: 192.0.2.1, port: 80 }, { host: api.example.com, port: 8080 }]${more} } }
---`;
}

function storeOf(ref: string): Store {
  const rules = `[{ backendRefs: [{ ${ref} }] }]`;
  const wss = service("w").replace("port: 8080", "port: 8080, appProtocol: kubernetes.io/wss");
  const ws = service("s").replace("port: 8080", "port: 8080, appProtocol: kubernetes.io/ws");
  return readBrokenStore(service("a"), wss, ws, objects, route("r", "a", rules));
}

function backendOf(ref: string): RouteBackend {
  const resolution = resolveOutbound(storeOf(ref), settings, toA, {
    namespace: "demo",
    pod: "client",
  });
  if ("unknown" in resolution) throw new Error(resolution.unknown);
  const backends = resolution.policy.httpRoutes[0]?.rules[0]?.backends;
  const [backend] = backends === undefined || backends.kind === "empty" ? [] : backends.backends;
  if (backend === undefined) throw new Error("no backend");
  return backend;
}

const outside = "group: gateway.kgateway.dev, kind: Backend";
const parameter = (name: string): string =>
  `filters: [{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: Parameter, name: ${name} } }]`;

test("resolveBackend() sends to the hosts of a Backend", (t) => {
  t.deepEqual(backendOf(`${outside}, name: outside, port: 1, weight: 2`), {
    backend: {
      meta: {
        type: "resource",
        group: "gateway.kgateway.dev",
        kind: "Backend",
        namespace: "demo",
        name: "outside",
        section: "",
        port: 0,
      },
      dispatch: {
        kind: "static",
        hosts: [
          { host: "192.0.2.1", port: 80 },
          { host: "api.example.com", port: 8080 },
        ],
      },
    },
    filters: [],
    weight: 2,
  });
});

test("resolveBackend() sends to hosts of another namespace, which hide nothing", (t) => {
  t.is(backendOf(`${outside}, name: outside, namespace: other`).backend.dispatch.kind, "static");
});

test("resolveBackend() calls a function with the keys of its Secret", (t) => {
  const { dispatch } = backendOf(`${outside}, name: function`).backend;
  if (dispatch.kind !== "lambda") throw new Error(dispatch.kind);
  const { accessKey, secretKey, sessionToken, ...others } = dispatch.function;
  t.deepEqual(others, {
    region: "eu-west-1",
    accountId: "",
    name: "hello",
    qualifier: "$LATEST",
    mode: "sync",
    payload: "envoy",
    endpointUrl: "",
  });
  t.deepEqual(
    [accessKey, secretKey, sessionToken].map((key) => key.reveal()),
    ["AKID", "hidden", ""],
  );
});

test("resolveBackend() lets a Parameter pick one of several functions", (t) => {
  const { dispatch } = backendOf(`${outside}, name: several, ${parameter("two")}`).backend;
  t.is(dispatch.kind === "lambda" ? dispatch.function.name : undefined, "f2");
});

test("resolveBackend() takes WebSockets in clear text", (t) => {
  t.is(backendOf("name: s, port: 8080").backend.dispatch.kind, "balancer");
  t.is(backendOf(`${outside}, name: chat`).backend.dispatch.kind, "static");
});

test("resolveBackend() speaks HTTP/2 to a Backend that wants it", (t) => {
  t.is(backendOf(`${outside}, name: grpc`).backend.protocol, "http2");
  t.is(backendOf(`${outside}, name: chat`).backend.protocol, "http1");
  t.is(backendOf(`${outside}, name: outside`).backend.protocol, undefined);
});

const refused = test.macro({
  exec: (t, ref: string, reason: string, message: string) => {
    const { backend, filters } = backendOf(ref);
    t.deepEqual(backend.dispatch, { kind: "fail" });
    t.deepEqual(
      filters.map((filter) => (filter.kind === "failure" ? filter.failure : undefined)),
      [{ status: 500, message, numerator: 1, denominator: 1 }],
    );
    const statuses = resolveStatus(storeOf(ref), settings);
    const route = statuses.find(({ kind }) => kind === "HTTPRoute");
    const resolvedRefs = route?.parents[0]?.conditions.find(({ type }) => type === "ResolvedRefs");
    t.like(resolvedRefs, { status: "False", reason, message });
    t.false(JSON.stringify(statuses).includes("with blank"));
  },
  title: (_given, ref: string, reason: string, _message: string) =>
    `resolveBackend() answers 500 for { ${ref} }: ${reason}`,
});
test(refused, `${outside}, name: gone`, "BackendNotFound", "Backend not found gone");
test(
  refused,
  `${outside}, name: dynamic`,
  "BackendNotFound",
  "Backend demo/dynamic cannot be read: spec.dynamicForwardProxy: is not supported: use static or aws",
);
test(refused, `${outside}, name: no-secret`, "BackendNotFound", "Secret not found gone");
test(
  refused,
  `${outside}, name: half-secret`,
  "BackendNotFound",
  "Secret half must have accessKey and secretKey",
);
test(
  refused,
  `${outside}, name: odd-secret`,
  "BackendNotFound",
  "Secret demo/odd cannot be read: stringData.accessKey: must be visible ASCII without blanks and line ends",
);
test(
  refused,
  `${outside}, name: several`,
  "BackendNotFound",
  "Backend several has several functions: name one of one, two",
);
test(
  refused,
  `${outside}, name: several, ${parameter("three")}`,
  "BackendNotFound",
  "Backend several has no function three",
);
test(
  refused,
  `${outside}, name: outside, ${parameter("one")}`,
  "BackendNotFound",
  "Backend outside has no function one",
);
test(
  refused,
  `${outside}, name: function, namespace: other`,
  "RefNotPermitted",
  "Backend other/function has keys of its own namespace only",
);
test(
  refused,
  "name: w, port: 8080",
  "UnsupportedProtocol",
  "port 8080 of Service w wants TLS (appProtocol kubernetes.io/wss), which takes a BackendTLSPolicy, and those are not served",
);
test(
  refused,
  "group: gateway.kgateway.dev, kind: Upstream, name: x",
  "InvalidKind",
  "unsupported backend type gateway.kgateway.dev Upstream",
);
