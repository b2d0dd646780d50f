/** Contenders that stand in front of an application and end the mutual TLS of its clients. */
import type { Authorization } from "../../src/core/model/authorization.ts";
import type { ControlPlane } from "../../test/sidecar/control-plane.ts";
import { everybody, inboundFor } from "../../test/sidecar/policies.ts";
import { clientName, clientTls, serverFiles, serverTls, webName } from "./identity.ts";
import { startHaproxy, startRelay } from "./peers.ts";
import { type Contender, freePort, type Stage } from "./stage.ts";
import { startWeft, type WeftContender } from "./weft.ts";

/** Only the client of the benchmark gets in. */
const onlyClient: Authorization = {
  ...everybody("client"),
  authentication: { kind: "identities", identities: [clientName], suffixes: [] },
};

/** The same for HAProxy: one rule about the certificate's name, and the private headers that are taken out. */
export const clientRules: string = `
  acl client ssl_c_s_dn(cn) -m str ${clientName}
  http-request deny deny_status 403 unless client
  http-request del-header l5d- -m beg
  http-response del-header l5d- -m beg`;

export type InboundWeft = WeftContender & {
  /** The port whose policy counts, in front of the application. */
  readonly policyPort: number;
};

export async function startInboundWeft(
  stage: Stage,
  plane: ControlPlane,
  originPort: number,
  workers: number = 1,
): Promise<InboundWeft> {
  const policyPort = await freePort();
  plane.setInbound(policyPort, inboundFor(onlyClient));
  const name = workers === 1 ? "weft" : `weft, ${workers} workers`;
  const weft = await startWeft(stage, plane, {
    name,
    workers,
    env: {
      WEFT_IDENTITY_LOCAL_NAME: webName,
      WEFT_INBOUND_FORWARDS: `127.0.0.1:${policyPort}=127.0.0.1:${originPort}`,
    },
  });
  return { ...weft, policyPort };
}

export async function startInboundHaproxy(
  stage: Stage,
  plane: ControlPlane,
  originPort: number,
): Promise<Contender> {
  return startHaproxy(stage, {
    name: "haproxy",
    mode: "http",
    bind: serverTls(stage, plane, webName),
    rules: clientRules,
    server: `127.0.0.1:${originPort}`,
  });
}

/** Both read nothing of what they relay: HAProxy in TCP mode behind its TLS, and Node's TLS before Weft's sockets. */
export async function startInboundRelays(
  stage: Stage,
  plane: ControlPlane,
  originPort: number,
): Promise<readonly Contender[]> {
  const haproxy = await startHaproxy(stage, {
    name: "haproxy-tcp",
    mode: "tcp",
    bind: serverTls(stage, plane, webName),
    server: `127.0.0.1:${originPort}`,
  });
  const node = await startRelay(stage, "tls-relay", originPort, serverFiles(stage, plane, webName));
  return [haproxy, node];
}

export type FrontOptions = {
  readonly stage: Stage;
  readonly plane: ControlPlane;
  readonly contender: Contender;
  /** Where the contender ends TLS. */
  readonly tlsPort: number;
  /** Of the `server` line. */
  readonly more?: string;
};

/**
 * A TLS client for load generators that speak plain text: HAProxy turns each connection into one of mutual TLS to the contender. It is the same for all of them,
 * and its cost counts for nobody.
 */
export async function behindTls(options: FrontOptions): Promise<Contender> {
  const { stage, plane, contender, tlsPort, more = "" } = options;
  const front = await startHaproxy(stage, {
    name: `front-${contender.name.replaceAll(/\W+/g, "-")}`,
    mode: "tcp",
    server: `127.0.0.1:${tlsPort} ${clientTls(stage, plane, webName)} ${more}`,
  });
  return { name: contender.name, pids: contender.pids, port: front.port };
}
