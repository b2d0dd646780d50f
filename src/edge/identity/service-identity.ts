/**
 * The identity of a process that is no sidecar: certified by the identity service like any other, and shown on the
 * connections that it accepts and opens.
 */
import type { SecureContext } from "node:tls";
import { fail, ok, type Result } from "../../core/std/result.ts";
import { openChannel } from "../grpc/client.ts";
import { systemTimers } from "../grpc/timers.ts";
import { anchorsContext } from "../net/mesh-tls.ts";
import type { Log } from "../telemetry/log.ts";
import { parseTrustAnchors } from "../x509/pem.ts";
import { CredentialSlot } from "./credential-slot.ts";
import { rotateIdentity } from "./rotate-identity.ts";
import { watchAnchors } from "./trust-anchors.ts";

export type ServiceIdentityOptions = {
  readonly name: string;
  readonly tokenFile: string;
  /** `ip:port` or `name:port`. */
  readonly identityAddress: string;
  /** Undefined: the identity service is spoken to in clear text. */
  readonly identityServiceName: string | undefined;
  /** PEM bundle. */
  readonly trustAnchors: string;
  /** Undefined: the bundle does not change. */
  readonly trustAnchorsFile: string | undefined;
  readonly log: Log;
};

export type RunningIdentity = {
  /** Empty until the first certificate is there. */
  readonly shown: CredentialSlot;
  readonly close: () => void;
};

export function startServiceIdentity(options: ServiceIdentityOptions): Result<RunningIdentity> {
  const { name, tokenFile, log, trustAnchorsFile: file } = options;
  const anchors = parseTrustAnchors(options.trustAnchors);
  if (!anchors.ok) return fail(...anchors.faults);
  let trusted = anchors.value;
  let revision = 0;
  const shown = new CredentialSlot();
  const context = async (): Promise<SecureContext> => anchorsContext(trusted.join(""));
  const serverName = options.identityServiceName;
  const channel = openChannel(options.identityAddress, {
    tls: serverName === undefined ? undefined : { serverName, context },
  });
  const rotation = rotateIdentity({
    name,
    trustAnchors: trusted,
    tokenFile,
    channel,
    surroundings: { wallMs: Date.now, random: Math.random, timers: systemTimers },
    publish: (credentials) => {
      shown.put(credentials);
      revision++;
      return revision;
    },
    log,
  });
  const onChange = (newer: readonly string[]): void => {
    trusted = newer;
    rotation.trust(newer);
  };
  const stopWatching =
    file === undefined
      ? undefined
      : watchAnchors({ file, text: options.trustAnchors, timers: systemTimers, log, onChange });
  return ok({
    shown,
    close() {
      stopWatching?.();
      rotation.close();
      channel.close();
    },
  });
}
