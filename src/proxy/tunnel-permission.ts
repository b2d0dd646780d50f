/**
 * Whether a tunnel on the inbound side may stay. No request comes after the one that opened it, so each policy that follows judges that request anew:
 * a tunnel that is no longer admitted is closed, like an opaque connection, at once or after the configured grace.
 */
import { admitConnection, admitRequest, explainDenial, notAdmitted } from "../core/decide/admit.ts";
import { findRoute, noRoute } from "../core/decide/find-route.ts";
import { describeForbiddenPath, forbiddenPath } from "../core/decide/forbidden-path.ts";
import { formatIp } from "../core/std/ip.ts";
import type { Exchange } from "./exchange.ts";
import type { LoadedInbound } from "./loaded.ts";
import { Timer } from "./timer-wheel.ts";

/** Its exchange is detached: the head that opened the tunnel stays readable as long as it is open. */
export class TunnelPermission {
  readonly #exchange: Exchange;
  readonly #revoked: Timer;
  readonly #unfollow: () => void;

  constructor(exchange: Exchange, onRevoked: () => void) {
    const { shard, origin } = exchange;
    this.#exchange = exchange;
    this.#revoked = new Timer(onRevoked);
    this.#unfollow = shard.tables.followInbound(origin.port, () => this.#judgeAnew(onRevoked));
  }

  end(): void {
    this.#unfollow();
    this.#exchange.shard.wheel.forget(this.#revoked);
  }

  #judgeAnew(onRevoked: () => void): void {
    const { shard, origin } = this.#exchange;
    const policy = shard.tables.inbound(origin.port);
    if (policy === undefined) return;
    const reason = findDenial(this.#exchange, policy);
    if (reason === undefined) {
      shard.wheel.disarm(this.#revoked);
      return;
    }
    if (this.#revoked.dueTick !== 0) return;
    shard.counts.add(policy.connections.terminated);
    const client = formatIp(origin.peer.ip);
    shard.notices.tell("inbound_connection_terminated", { port: origin.port, client, reason });
    const { revocationGraceMs } = shard.limits;
    if (revocationGraceMs === 0) onRevoked();
    else shard.wheel.arm(this.#revoked, revocationGraceMs);
  }
}

/** Why the policy would not let the tunnel be opened now; undefined: it would. */
function findDenial(exchange: Exchange, policy: LoadedInbound): string | undefined {
  const { shard, origin, view, head } = exchange;
  const { table, routes } = policy;
  const { peer } = origin;
  if (policy.reading === "opaque" || policy.reading === "tls") {
    const isAdmitted = admitConnection(table, peer) !== notAdmitted;
    return isAdmitted ? undefined : explainDenial(table, table.admitsConnection, peer);
  }
  const found = findRoute(routes, view);
  const rule = policy.rules[routes.table.entries[found]?.rule ?? noRoute];
  if (rule === undefined) return "no route of the port takes the request that opened the tunnel";
  const { check } = shard.tokens;
  shard.tokens.fields = head.fields;
  if (admitRequest(table, rule.route, peer, check) === notAdmitted) {
    return explainDenial(table, table.admits[rule.route] ?? [], peer, check);
  }
  const path = policy.hasNamedRoutes
    ? forbiddenPath({ table, routes, view, peer, check }, found)
    : undefined;
  return path === undefined ? undefined : describeForbiddenPath(path);
}
