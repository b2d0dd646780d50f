/** The settings of `weft identity`. */
import type { Result } from "../core/std/result.ts";
import { type Address, type Environment, EnvReader, type LogLevel } from "./env.ts";
import { serviceName } from "./mesh-identity.ts";

export type IdentityIssuerConfig = {
  readonly listen: Address;
  readonly admin: Address;
  /** A folder with `issuer.crt`, `issuer.key` and `ca.crt`; made on the first start when it is empty or missing. */
  readonly issuerDir: string;
  /** The text of the file with the public keys of service-account tokens, PEM or a JSON Web Key Set. */
  readonly tokenKeys: string;
  /** What the certificate says that it shows its callers; undefined: it speaks clear text. */
  readonly ownName: string | undefined;
  readonly trustDomain: string;
  readonly controlNamespace: string;
  readonly lifetimeMs: number;
  readonly skewMs: number;
  readonly logLevel: LogLevel;
};

const dayMs = 86_400_000;

/** Linkerd's lifetime of a leaf: long enough to outlive a night without control plane, short enough not to need revocation. */
const defaultLifetimeMs = dayMs;
/** A leaf that is renewed at 70 % of less than this would be renewed all the time. */
const minLifetimeMs = 10_000;
/** RFC 5280 knows no limit; a year is what public authorities once allowed, and far too long for a mesh. */
const maxLifetimeMs = 365 * dayMs;
/** Linkerd's chart: clocks of the nodes of a cluster differ by less than this. */
const defaultSkewMs = 20_000;
const maxSkewMs = 3_600_000;

export function readIdentityIssuerConfig(environment: Environment): Result<IdentityIssuerConfig> {
  const env = new EnvReader(environment);
  return env.finish({
    // Loopback by default: without a name of its own the port has no TLS.
    listen: env.address("WEFT_IDENTITY_LISTEN_ADDR", "127.0.0.1:8080"),
    admin: env.address("WEFT_ADMIN_LISTEN_ADDR", "127.0.0.1:9990"),
    issuerDir: env.path("WEFT_IDENTITY_ISSUER_DIR"),
    tokenKeys: env.file("WEFT_IDENTITY_TOKEN_KEYS_FILE"),
    ownName: serviceName(env, "WEFT_IDENTITY_LOCAL_NAME"),
    trustDomain: env.dnsName("WEFT_IDENTITY_TRUST_DOMAIN", "cluster.local"),
    controlNamespace: env.dnsLabel("WEFT_CONTROL_NAMESPACE", "weft"),
    lifetimeMs: env.durationMs("WEFT_IDENTITY_ISSUANCE_LIFETIME", {
      fallback: defaultLifetimeMs,
      min: minLifetimeMs,
      max: maxLifetimeMs,
    }),
    skewMs: env.durationMs("WEFT_IDENTITY_CLOCK_SKEW", {
      fallback: defaultSkewMs,
      min: 0,
      max: maxSkewMs,
    }),
    logLevel: env.logLevel("WEFT_LOG_LEVEL"),
  });
}
