/** The settings of `weft policy`. */
import { accessPolicies } from "../core/resolve/default-policy.ts";
import type { AccessPolicy } from "../core/resource/server.ts";
import type { Cidr } from "../core/std/ip.ts";
import type { Result } from "../core/std/result.ts";
import { type Address, type Environment, EnvReader, type LogLevel } from "./env.ts";
import {
  controlAddress,
  readTrustAnchors,
  serviceName,
  type TrustAnchors,
} from "./mesh-identity.ts";

export type PolicyServiceConfig = {
  readonly policy: Address;
  readonly destination: Address;
  readonly admin: Address;
  readonly clusterDomain: string;
  readonly clusterNetworks: readonly Cidr[];
  readonly defaultInboundPolicy: AccessPolicy;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  readonly logLevel: LogLevel;
  /** Undefined: the ports speak clear text. */
  readonly identity: ServiceIdentity | undefined;
};

/** Who the service is, and who certifies that. */
export type ServiceIdentity = TrustAnchors & {
  readonly name: string;
  readonly tokenFile: string;
  readonly identityService: Address;
  /** What the certificate of the identity service says; undefined: it is spoken to in clear text. */
  readonly identityServiceName: string | undefined;
};

/** Linkerd's chart: the private networks of RFC 1918, RFC 6598 and RFC 4193, of which clusters take theirs. */
const privateNetworks = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "fd00::/8",
];

export function readPolicyServiceConfig(environment: Environment): Result<PolicyServiceConfig> {
  const env = new EnvReader(environment);
  return env.finish({
    // Loopback by default: without an identity the ports have no TLS.
    policy: env.address("WEFT_POLICY_LISTEN_ADDR", "127.0.0.1:8090"),
    destination: env.address("WEFT_DESTINATION_LISTEN_ADDR", "127.0.0.1:8086"),
    admin: env.address("WEFT_ADMIN_LISTEN_ADDR", "127.0.0.1:9990"),
    clusterDomain: env.dnsName("WEFT_CLUSTER_DOMAIN", "cluster.local"),
    clusterNetworks: env.cidrList("WEFT_CLUSTER_NETWORKS", privateNetworks),
    // Linkerd's default: a mesh is joined first and closed port by port later.
    defaultInboundPolicy: env.choice(
      "WEFT_DEFAULT_INBOUND_POLICY",
      accessPolicies,
      "all-unauthenticated",
    ),
    controlNamespace: env.dnsLabel("WEFT_CONTROL_NAMESPACE", "weft"),
    trustDomain: env.dnsName("WEFT_IDENTITY_TRUST_DOMAIN", "cluster.local"),
    logLevel: env.logLevel("WEFT_LOG_LEVEL"),
    identity: readIdentity(env),
  });
}

const nameVariable = "WEFT_IDENTITY_LOCAL_NAME";

function readIdentity(env: EnvReader): ServiceIdentity | undefined {
  if (env.optional(nameVariable) === undefined) return undefined;
  return {
    name: env.dnsName(nameVariable),
    tokenFile: env.path("WEFT_IDENTITY_TOKEN_FILE"),
    identityService: controlAddress(env, "WEFT_IDENTITY_SVC_ADDR"),
    identityServiceName: serviceName(env, "WEFT_IDENTITY_SVC_NAME"),
    ...readTrustAnchors(env),
  };
}
