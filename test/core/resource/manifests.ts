/** A good object of each kind, and ways to spoil a copy of it. */
import { splitPath } from "../../../src/core/resource/field.ts";
import { describeFaults, type Result } from "../../../src/core/std/result.ts";

export type Manifest = Readonly<Record<string, unknown>>;

export const namespace: Manifest = {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "demo", labels: { team: "a" } },
};

export const pod: Manifest = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-0", namespace: "demo", labels: { app: "web" } },
  spec: {
    containers: [{ name: "web", ports: [{ name: "http", containerPort: 8080 }] }],
  },
};

export const service: Manifest = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "demo" },
  spec: { clusterIP: "10.0.0.1", selector: { app: "web" }, ports: [{ port: 80 }] },
};

export const endpointSlice: Manifest = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: {
    name: "web-x",
    namespace: "demo",
    labels: { "kubernetes.io/service-name": "web" },
  },
  addressType: "IPv4",
  endpoints: [{ addresses: ["10.1.0.1"] }],
  ports: [{ name: "http", port: 8080 }],
};

export const server: Manifest = {
  apiVersion: "policy.linkerd.io/v1beta3",
  kind: "Server",
  metadata: { name: "web-http", namespace: "demo" },
  spec: { podSelector: { matchLabels: { app: "web" } }, port: "http" },
};

export const authorizationPolicy: Manifest = {
  apiVersion: "policy.linkerd.io/v1alpha1",
  kind: "AuthorizationPolicy",
  metadata: { name: "web", namespace: "demo" },
  spec: {
    targetRef: { group: "policy.linkerd.io", kind: "Server", name: "web-http" },
    requiredAuthenticationRefs: [
      { group: "policy.linkerd.io", kind: "MeshTLSAuthentication", name: "friends" },
    ],
  },
};

export const serverAuthorization: Manifest = {
  apiVersion: "policy.linkerd.io/v1beta1",
  kind: "ServerAuthorization",
  metadata: { name: "web", namespace: "demo" },
  spec: { server: { name: "web-http" }, client: { unauthenticated: true } },
};

export const rateLimitPolicy: Manifest = {
  apiVersion: "policy.linkerd.io/v1alpha1",
  kind: "HTTPLocalRateLimitPolicy",
  metadata: { name: "web", namespace: "demo" },
  spec: {
    targetRef: { group: "policy.linkerd.io", kind: "Server", name: "web-http" },
    total: { requestsPerSecond: 100 },
    identity: { requestsPerSecond: 10 },
    overrides: [{ requestsPerSecond: 20, clientRefs: [{ kind: "ServiceAccount", name: "batch" }] }],
  },
};

export const jwtAuthentication: Manifest = {
  apiVersion: "weft.dev/v1alpha1",
  kind: "JWTAuthentication",
  metadata: { name: "people", namespace: "demo" },
  spec: {
    issuer: "https://login.example",
    audiences: ["web"],
    keys: { url: "https://login.example/keys" },
  },
};

export const meshTlsAuthentication: Manifest = {
  apiVersion: "policy.linkerd.io/v1alpha1",
  kind: "MeshTLSAuthentication",
  metadata: { name: "friends", namespace: "demo" },
  spec: { identities: ["*"] },
};

export const networkAuthentication: Manifest = {
  apiVersion: "policy.linkerd.io/v1alpha1",
  kind: "NetworkAuthentication",
  metadata: { name: "office", namespace: "demo" },
  spec: { networks: [{ cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] }] },
};

/** Of Linkerd's group, as its guides write it. */
export const policyRoute: Manifest = {
  apiVersion: "policy.linkerd.io/v1beta2",
  kind: "HTTPRoute",
  metadata: { name: "alternative", namespace: "demo" },
  spec: {
    parentRefs: [{ group: "core", kind: "Service", name: "web", port: 80 }],
    rules: [
      {
        matches: [{ headers: [{ name: "x-request-id", value: "alternative" }] }],
        backendRefs: [{ name: "web-b", port: 80 }],
      },
      { backendRefs: [{ name: "web", port: 80 }] },
    ],
  },
};

/** Of Gateway API. */
export const gatewayRoute: Manifest = {
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name: "split", namespace: "demo" },
  spec: {
    parentRefs: [{ group: "", kind: "Service", name: "web", port: 80 }],
    rules: [{ backendRefs: [{ name: "web-a", port: 80 }] }],
  },
};

export const directResponse: Manifest = {
  apiVersion: "gateway.kgateway.dev/v1alpha1",
  kind: "DirectResponse",
  metadata: { name: "robots", namespace: "demo" },
  spec: { status: 404, body: "User-agent: *\n" },
};

export const httpFault: Manifest = {
  apiVersion: "weft.dev/v1alpha1",
  kind: "HTTPFault",
  metadata: { name: "slow", namespace: "demo" },
  spec: { delay: { duration: "2s", percent: 10 }, abort: { status: 503 } },
};

export const secret: Manifest = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "aws", namespace: "demo" },
  data: { accessKey: "QUtJREVYQU1QTEU=", secretKey: "d0phbHI=" },
};

export const staticBackend: Manifest = {
  apiVersion: "gateway.kgateway.dev/v1alpha1",
  kind: "Backend",
  metadata: { name: "outside", namespace: "demo" },
  spec: { static: { hosts: [{ host: "api.example.com", port: 80 }] } },
};

export const lambdaBackend: Manifest = {
  apiVersion: "gateway.kgateway.dev/v1alpha1",
  kind: "Backend",
  metadata: { name: "function", namespace: "demo" },
  spec: {
    aws: {
      auth: { type: "Secret", secretRef: { name: "aws" } },
      lambda: { functionName: "hello" },
    },
  },
};

export const trafficPolicy: Manifest = {
  apiVersion: "gateway.networking.x-k8s.io/v1alpha1",
  kind: "XBackendTrafficPolicy",
  metadata: { name: "calm", namespace: "demo" },
  spec: {
    targetRefs: [{ group: "", kind: "Service", name: "web" }],
    retryConstraint: { budget: { percent: 5 } },
  },
};

export const serviceProfile: Manifest = {
  apiVersion: "linkerd.io/v1alpha2",
  kind: "ServiceProfile",
  metadata: { name: "web.demo.svc.cluster.local", namespace: "demo" },
  spec: { routes: [{ name: "all", condition: { pathRegex: "/.*" } }] },
};

export const everyManifest: readonly Manifest[] = [
  namespace,
  pod,
  service,
  endpointSlice,
  server,
  authorizationPolicy,
  serverAuthorization,
  rateLimitPolicy,
  jwtAuthentication,
  meshTlsAuthentication,
  networkAuthentication,
  policyRoute,
  gatewayRoute,
  directResponse,
  httpFault,
  secret,
  staticBackend,
  lambdaBackend,
  trafficPolicy,
  serviceProfile,
];

/** `v1 Pod web-0`, for titles. */
export function nameOf(manifest: Manifest): string {
  const { name } = manifest["metadata"] as { readonly name: string };
  return `${String(manifest["apiVersion"])} ${String(manifest["kind"])} ${name}`;
}

/** A copy with another value at the path; `undefined` takes the field away. Lists on the way grow as needed. */
export function edit(manifest: Manifest, path: string, value: unknown): Manifest {
  const copy: unknown = structuredClone(manifest);
  const steps = splitPath(path);
  let at = copy as Record<string | number, unknown>;
  for (const [index, step] of steps.entries()) {
    if (index === steps.length - 1) {
      if (value === undefined) delete at[step];
      else at[step] = value;
      break;
    }
    at[step] ??= typeof steps[index + 1] === "number" ? [] : {};
    at = at[step] as Record<string | number, unknown>;
  }
  return copy as Manifest;
}

export function parsed<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new Error(`Expected a value, got faults: ${describeFaults(result.faults)}`);
}

/** Faults as `path: reason`; empty for a value. */
export function faultsOf(result: Result<unknown>): readonly string[] {
  return result.ok ? [] : result.faults.map(({ path, reason }) => `${path}: ${reason}`);
}

/** What is spoilt, and the one fault that must be found: path in the manifest, value there, fault. */
export type Refusal = readonly [path: string, value: unknown, fault: string];

export function titleOf([path, value, fault]: Refusal): string {
  const shown = value === undefined ? "absent" : JSON.stringify(value).slice(0, 80);
  return `with ${path} ${shown} refuses: ${fault.slice(0, 80)}`;
}
