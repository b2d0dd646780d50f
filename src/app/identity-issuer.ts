/** `weft identity`: settings → issuer → Certify and admin ports → a signal → the end. */
import { formatAddress } from "../config/env.ts";
import { readIdentityIssuerConfig } from "../config/identity-issuer.ts";
import { describeFaults } from "../core/std/result.ts";
import { MeshServerCredentials } from "../edge/grpc/mesh-credentials.ts";
import { systemTimers } from "../edge/grpc/timers.ts";
import { liveHandler, readyHandler, startAdmin } from "../edge/process/admin.ts";
import { awaitStop } from "../edge/process/signal.ts";
import { makeLog } from "../edge/telemetry/log.ts";
import { loadOrMakeIssuer } from "../identity-issuer/ca.ts";
import { checkToken, identityAudience } from "../identity-issuer/check-token.ts";
import { KeptIssuer } from "../identity-issuer/keep-issuer.ts";
import { serveIdentity } from "../identity-issuer/serve.ts";
import { parseTokenKeys } from "../identity-issuer/token-keys.ts";

const name = "weft-identity";
/** The settings, or a file that they name, cannot be used: starting again changes nothing. */
const unusable = 64;
const failed = 1;
/** A certificate is made in a millisecond; what is still open after this waits for a review that does not come. */
const drainMs = 5_000;

export async function runIdentityIssuer(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const config = readIdentityIssuerConfig(environment);
  if (!config.ok) {
    makeLog({ level: "info", name }).error("config_invalid", {
      faults: describeFaults(config.faults),
    });
    return unusable;
  }
  const { listen, admin, issuerDir, tokenKeys, ownName, logLevel, ...terms } = config.value;
  const log = makeLog({ level: logLevel, name });

  const keys = parseTokenKeys(tokenKeys);
  if (!keys.ok) {
    log.error("token_keys_invalid", { faults: describeFaults(keys.faults) });
    return unusable;
  }
  const loaded = loadOrMakeIssuer(issuerDir, Date.now());
  if (!loaded.ok) {
    log.error("issuer_invalid", { faults: describeFaults(loaded.faults) });
    return unusable;
  }
  const { issuer, made } = loaded.value;
  log.info(made ? "issuer_made" : "issuer_loaded", {
    folder: issuerDir,
    notAfter: new Date(issuer.notAfterMs),
  });

  // Signals count from here on: one that comes while the ports open must not end the process halfway.
  const stopped = awaitStop();
  let ready = false;
  const routes = new Map([
    ["/live", liveHandler()],
    ["/ready", readyHandler(() => ready)],
  ]);
  const adminServer = await startAdmin({ address: admin, routes, log });
  if (!adminServer.ok) {
    log.error("admin_not_served", { faults: describeFaults(adminServer.faults) });
    return failed;
  }
  const kept = new KeptIssuer({
    folder: issuerDir,
    issuer,
    ownName,
    timers: systemTimers,
    now: Date.now,
    log,
  });
  const facts = { keys: keys.value, audience: identityAudience };
  const server = await serveIdentity({
    address: formatAddress(listen),
    issuer: () => kept.current,
    reviewToken: async (token) => checkToken(token, { ...facts, nowSeconds: Date.now() / 1_000 }),
    now: Date.now,
    log,
    credentials:
      ownName === undefined ? undefined : new MeshServerCredentials(kept.shown, "unasked"),
    ...terms,
  }).catch((error: unknown) => {
    log.error("identity_not_served", { error });
    return undefined;
  });
  if (server === undefined) {
    kept.close();
    await adminServer.value.close();
    return failed;
  }
  ready = true;
  const identityAddress = formatAddress({ host: listen.host, port: server.port });
  log.info("serving", {
    identity: identityAddress,
    admin: formatAddress(adminServer.value.address),
  });

  const signal = await stopped;
  ready = false;
  log.info("stopping", { signal });
  await server.close(drainMs);
  kept.close();
  await adminServer.value.close();
  log.info("stopped");
  return 0;
}
