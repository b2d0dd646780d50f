/** Who may do what: authorizations against the client that mutual TLS, or the lack of it, has named. Nobody is admitted by default, not even loopback. */
import type { Authorization, Network } from "../model/authorization.ts";
import { describeMeta } from "../model/meta.ts";
import { toFieldText } from "../std/field.ts";
import { cidrContains, formatIp, type Ip } from "../std/ip.ts";
import { unreachable } from "../std/unreachable.ts";
import type { InboundTable } from "../table/inbound.ts";
import { noToken, type TokenCheck } from "./token.ts";

/** The other end of a connection. `identity` is the verified name in the client's certificate. */
export type Peer = {
  readonly ip: Ip;
  /** Mutual TLS that this proxy ended; a client without a certificate has it without an identity. */
  readonly tls: boolean;
  readonly identity: string | undefined;
};

/** No authorization admits the client: 403, or the connection is closed. */
export const notAdmitted = -1;

/** What a denial may take of a response head. */
export const maxDenialText = 1_024;

/** `route` is an index into `table.http.routes`. Answers with the index of the authorization that admits the request, or `notAdmitted`. */
export function admitRequest(
  table: InboundTable,
  route: number,
  peer: Peer,
  check: TokenCheck = noToken,
): number {
  return firstThatAdmits(table, table.admits[route] ?? [], peer, check);
}

/** The same for a connection whose bytes are not HTTP. */
export function admitConnection(table: InboundTable, peer: Peer): number {
  return firstThatAdmits(table, table.admitsConnection, peer, noToken);
}

/** The first condition of an authorization that the client does not meet. */
export type Obstacle = "network" | "tls" | "identity" | "token";

/** Undefined: the client is admitted. */
export function findObstacle(
  authorization: Authorization,
  peer: Peer,
  check: TokenCheck = noToken,
): Obstacle | undefined {
  const { networks, tokens } = authorization;
  if (!networks.some((network) => networkContains(network, peer.ip))) return "network";
  const obstacle = findClientObstacle(authorization, peer);
  if (obstacle !== undefined || tokens === undefined) return obstacle;
  // Last, because it is what costs most.
  return tokens.every((rule) => check(rule) === undefined) ? undefined : "token";
}

function findClientObstacle(
  { authentication }: Authorization,
  peer: Peer,
): "tls" | "identity" | undefined {
  switch (authentication.kind) {
    case "unauthenticated":
      return undefined;
    case "tls":
      return peer.tls ? undefined : "tls";
    case "identities": {
      const { identity } = peer;
      if (!peer.tls || identity === undefined) return "tls";
      const isNamed =
        authentication.identities.includes(identity) ||
        authentication.suffixes.some((suffix) => endsWithLabels(identity, suffix));
      return isNamed ? undefined : "identity";
    }
    default:
      return unreachable(authentication);
  }
}

/**
 * One line for people, safe for a header: who the client is, and each authorization with the first condition that it fails. `candidates` are
 * indices into `table.authorizations` (`table.admits[route]` or `table.admitsConnection`).
 */
export function explainDenial(
  table: InboundTable,
  candidates: readonly number[],
  peer: Peer,
  check: TokenCheck = noToken,
): string {
  if (candidates.length === 0) {
    return toFieldText(`no authorization applies to ${serverName(table)}`, maxDenialText);
  }
  const obstacles = candidates.map((candidate) => {
    const authorization = table.authorizations[candidate];
    if (authorization === undefined) throw new Error(`The table has no entry ${candidate}`);
    return describeObstacle(authorization, peer, check);
  });
  return toFieldText(`client ${peerName(peer)} ${obstacles.join("; ")}`, maxDenialText);
}

function firstThatAdmits(
  table: InboundTable,
  candidates: readonly number[],
  peer: Peer,
  check: TokenCheck,
): number {
  for (const candidate of candidates) {
    const authorization = table.authorizations[candidate];
    if (authorization !== undefined && findObstacle(authorization, peer, check) === undefined) {
      return candidate;
    }
  }
  return notAdmitted;
}

function networkContains({ net, except }: Network, ip: Ip): boolean {
  return cidrContains(net, ip) && !except.some((hole) => cidrContains(hole, ip));
}

/** A suffix is made of whole labels of a DNS name; a URI (SPIFFE) is only ever compared whole. The empty suffix admits either. */
function endsWithLabels(identity: string, suffix: string): boolean {
  if (suffix === "") return true;
  return suffix.startsWith(".") && identity.endsWith(suffix) && !identity.includes("/");
}

export function describeObstacle(
  authorization: Authorization,
  peer: Peer,
  check: TokenCheck = noToken,
): string {
  const name = describeMeta(authorization.meta);
  switch (findObstacle(authorization, peer, check)) {
    case "network":
      return `is not in the networks of ${name}`;
    case "tls":
      return `does not meet ${name}, which requires mutual TLS`;
    case "identity":
      return `is not among the identities of ${name}`;
    case "token":
      return `does not meet ${name}, which requires ${tokenFaults(authorization, check)}`;
    case undefined:
      return `is admitted by ${name}`;
  }
}

function tokenFaults({ tokens = [] }: Authorization, check: TokenCheck): string {
  const [first] = tokens.flatMap((rule) => {
    const reason = check(rule);
    return reason === undefined ? [] : [`a token of ${describeMeta(rule.meta)} (${reason})`];
  });
  return first ?? "a token";
}

function peerName({ ip, tls, identity }: Peer): string {
  if (identity !== undefined) return `${identity} (${formatIp(ip)})`;
  return `${formatIp(ip)} ${tls ? "without a client certificate" : "without mutual TLS"}`;
}

function serverName({ server: { kind, name } }: InboundTable): string {
  if (kind === "default") return `this port: its default policy is ${name}`;
  return `${kind === "server" ? "Server" : kind} ${name}`;
}
