/** The kinds of this pipeline: which they are, and how a document finds the parser of its kind. */
import { type Fault, fail, fault, type Result } from "../std/result.ts";
import { type AuthorizationPolicy, parseAuthorizationPolicy } from "./authorization-policy.ts";
import { type KgatewayBackend, parseBackend } from "./backend.ts";
import { type BackendTrafficPolicy, parseBackendTrafficPolicy } from "./backend-traffic-policy.ts";
import { type DirectResponse, parseDirectResponse } from "./direct-response.ts";
import { type EgressNetwork, parseEgressNetwork } from "./egress-network.ts";
import { type EndpointSlice, parseEndpointSlice } from "./endpoint-slice.ts";
import { FaultList, Field, quote } from "./field.ts";
import { type HttpFault, parseHttpFault } from "./http-fault.ts";
import { type GrpcRoute, type HttpRoute, parseGrpcRoute, parseHttpRoute } from "./http-route.ts";
import { type JwtAuthentication, parseJwtAuthentication } from "./jwt-authentication.ts";
import {
  type MeshTlsAuthentication,
  parseMeshTlsAuthentication,
} from "./mesh-tls-authentication.ts";
import { type Namespace, parseNamespace } from "./namespace.ts";
import {
  type NetworkAuthentication,
  parseNetworkAuthentication,
} from "./network-authentication.ts";
import { type NameRule, readIdentity } from "./object-meta.ts";
import { type Pod, parsePod } from "./pod.ts";
import { parseRateLimitPolicy, type RateLimitPolicy } from "./rate-limit-policy.ts";
import { type KubernetesSecret, parseSecret } from "./secret.ts";
import { parseServer, type Server } from "./server.ts";
import { parseServerAuthorization, type ServerAuthorization } from "./server-authorization.ts";
import { parseService, type Service } from "./service.ts";
import { parseServiceProfile, type ServiceProfile } from "./service-profile.ts";
import { parseTcpRoute, parseTlsRoute, type TcpRoute, type TlsRoute } from "./stream-route.ts";

export type Resource =
  | Namespace
  | Pod
  | Service
  | EndpointSlice
  | KubernetesSecret
  | HttpRoute
  | GrpcRoute
  | TlsRoute
  | TcpRoute
  | EgressNetwork
  | HttpFault
  | DirectResponse
  | KgatewayBackend
  | BackendTrafficPolicy
  | ServiceProfile
  | Server
  | AuthorizationPolicy
  | ServerAuthorization
  | RateLimitPolicy
  | JwtAuthentication
  | MeshTlsAuthentication
  | NetworkAuthentication;

export type Kind = Resource["kind"];

/** What tells one object from all others. Two versions of a group describe the same object. */
export type ObjectKey = {
  readonly kind: Kind;
  readonly group: string;
  readonly namespace: string;
  readonly name: string;
};

type KindEntry = {
  readonly groups: readonly string[];
  readonly scope: "namespaced" | "cluster";
  readonly nameRule: NameRule;
  readonly parse: (json: unknown, known: readonly Fault[]) => Result<Resource>;
};

const policyGroup: readonly string[] = ["policy.linkerd.io"];

const kgatewayGroup: readonly string[] = ["gateway.kgateway.dev"];

/** A kind without a row does not compile. */
const kinds: Readonly<Record<Kind, KindEntry>> = {
  Namespace: { groups: [""], scope: "cluster", nameRule: "dns-label", parse: parseNamespace },
  Pod: { groups: [""], scope: "namespaced", nameRule: "dns-name", parse: parsePod },
  Service: { groups: [""], scope: "namespaced", nameRule: "service-name", parse: parseService },
  EndpointSlice: {
    groups: ["discovery.k8s.io"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseEndpointSlice,
  },
  HTTPRoute: {
    groups: ["policy.linkerd.io", "gateway.networking.k8s.io"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseHttpRoute,
  },
  GRPCRoute: {
    groups: ["gateway.networking.k8s.io"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseGrpcRoute,
  },
  TLSRoute: {
    groups: ["gateway.networking.k8s.io"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseTlsRoute,
  },
  TCPRoute: {
    groups: ["gateway.networking.k8s.io"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseTcpRoute,
  },
  EgressNetwork: {
    groups: policyGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseEgressNetwork,
  },
  Secret: { groups: [""], scope: "namespaced", nameRule: "dns-name", parse: parseSecret },
  HTTPFault: {
    groups: ["weft.dev"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseHttpFault,
  },
  DirectResponse: {
    groups: kgatewayGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseDirectResponse,
  },
  Backend: {
    groups: kgatewayGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseBackend,
  },
  XBackendTrafficPolicy: {
    groups: ["gateway.networking.x-k8s.io"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseBackendTrafficPolicy,
  },
  ServiceProfile: {
    groups: ["linkerd.io"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseServiceProfile,
  },
  Server: { groups: policyGroup, scope: "namespaced", nameRule: "dns-name", parse: parseServer },
  AuthorizationPolicy: {
    groups: policyGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseAuthorizationPolicy,
  },
  ServerAuthorization: {
    groups: policyGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseServerAuthorization,
  },
  HTTPLocalRateLimitPolicy: {
    groups: policyGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseRateLimitPolicy,
  },
  JWTAuthentication: {
    groups: ["weft.dev"],
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseJwtAuthentication,
  },
  MeshTLSAuthentication: {
    groups: policyGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseMeshTlsAuthentication,
  },
  NetworkAuthentication: {
    groups: policyGroup,
    scope: "namespaced",
    nameRule: "dns-name",
    parse: parseNetworkAuthentication,
  },
};

/** `known` are the faults a schema has found already; a route keeps those of a rule with the rule. */
export function parseResource(json: unknown, known: readonly Fault[] = []): Result<Resource> {
  const type = typeOf(json);
  if (!type.ok) return type;
  const entry = entryOf(type.value);
  return entry === undefined
    ? fail(fault("kind", `must be a kind known to Weft, is ${quote(type.value.kind)}`))
    : entry.parse(json, known);
}

/** Which object a document speaks of, as long as it says that much; whatever else is wrong with it. */
export function keyOf(json: unknown): Result<ObjectKey> {
  const type = typeOf(json);
  if (!type.ok) return type;
  const entry = entryOf(type.value);
  if (entry === undefined || !isKind(type.value.kind)) {
    return fail(fault("kind", `must be a kind known to Weft, is ${quote(type.value.kind)}`));
  }
  const list = new FaultList();
  const metadata = new Field(json, list).at("metadata");
  return list.settle({
    kind: type.value.kind,
    group: type.value.group,
    ...readIdentity(metadata, entry.nameRule, entry.scope),
  });
}

/** For people: `HTTPRoute demo/alternative`, `Namespace demo`. */
export function describeKey(key: ObjectKey): string {
  return key.namespace === ""
    ? `${key.kind} ${key.name}`
    : `${key.kind} ${key.namespace}/${key.name}`;
}

type TypeMeta = { readonly group: string; readonly version: string; readonly kind: string };

/** `apiVersion` and `kind`, split up: `v1` alone is a version of the group without a name. */
export function typeOf(json: unknown): Result<TypeMeta> {
  const list = new FaultList();
  const root = new Field(json, list);
  const [version = "", group = ""] = root.at("apiVersion").text().split("/").reverse();
  return list.settle({ group, version, kind: root.at("kind").text() });
}

function entryOf(type: TypeMeta): KindEntry | undefined {
  if (!isKind(type.kind)) return undefined;
  const entry = kinds[type.kind];
  return entry.groups.includes(type.group) ? entry : undefined;
}

function isKind(kind: string): kind is Kind {
  return Object.hasOwn(kinds, kind);
}
