/** `weft policy`: settings → watched source → policy, destination and admin ports → a signal → the end. */
import { fileURLToPath } from "node:url";
import { formatAddress } from "../config/env.ts";
import { readPolicyServiceConfig, type ServiceIdentity } from "../config/policy-service.ts";
import { describeFaults, type Result } from "../core/std/result.ts";
import { MeshServerCredentials } from "../edge/grpc/mesh-credentials.ts";
import { type RunningIdentity, startServiceIdentity } from "../edge/identity/service-identity.ts";
import { awaitStop } from "../edge/process/signal.ts";
import { loadSchemas } from "../edge/schema/schema-set.ts";
import { type Log, makeLog } from "../edge/telemetry/log.ts";
import { startPolicyService } from "../policy-service/service.ts";
import { parseSource } from "../policy-service/source.ts";

const name = "weft-policy";
/** The settings or the source cannot be used: starting again changes nothing. */
const unusable = 64;
const failed = 1;
/** Streams are ended at once; this is for the unary calls of people. */
const drainMs = 2_000;

/** The definitions that a cluster is given, so that a folder is checked by the same schemas. */
const crdDir = fileURLToPath(new URL("../../chart/crds", import.meta.url));

export async function runPolicyService(
  options: { readonly source: string },
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const config = readPolicyServiceConfig(environment);
  const source = parseSource(options.source);
  if (!config.ok || !source.ok) {
    const faults = [...(config.ok ? [] : config.faults), ...(source.ok ? [] : source.faults)];
    makeLog({ level: "info", name }).error("config_invalid", { faults: describeFaults(faults) });
    return unusable;
  }
  const { policy, destination, admin, logLevel, identity, ...settings } = config.value;
  const log = makeLog({ level: logLevel, name });
  // Signals count from here on: one that comes while the ports open must not end the process halfway.
  const stopped = awaitStop();
  const own = identity === undefined ? undefined : startIdentity(identity, log);
  if (own?.ok === false) {
    log.error("config_invalid", { faults: `trust anchors: ${describeFaults(own.faults)}` });
    return unusable;
  }
  const service = await startPolicyService({
    source: source.value,
    policyAddress: formatAddress(policy),
    destinationAddress: formatAddress(destination),
    adminAddress: admin,
    settings,
    schemas: loadSchemas(crdDir),
    log,
    credentials:
      own === undefined ? undefined : new MeshServerCredentials(own.value.shown, "required"),
  });
  if (!service.ok) {
    own?.value.close();
    log.error("policy_not_served", { faults: describeFaults(service.faults) });
    return failed;
  }
  const { policyPort, destinationPort, adminPort, close } = service.value;
  log.info("serving", {
    source: options.source,
    policy: formatAddress({ host: policy.host, port: policyPort }),
    destination: formatAddress({ host: destination.host, port: destinationPort }),
    admin: formatAddress({ host: admin.host, port: adminPort }),
  });

  const signal = await stopped;
  log.info("stopping", { signal });
  await close(drainMs);
  own?.value.close();
  log.info("stopped");
  return 0;
}

function startIdentity(identity: ServiceIdentity, log: Log): Result<RunningIdentity> {
  const { identityService, ...rest } = identity;
  return startServiceIdentity({ ...rest, identityAddress: formatAddress(identityService), log });
}
