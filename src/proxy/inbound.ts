/**
 * The way of a request for the application beside us, from top to bottom. Nothing else decides what comes next. How its
 * connection came to be read as HTTP is in `inbound-connection.ts`.
 */
import { admitRequest, explainDenial, notAdmitted } from "../core/decide/admit.ts";
import { findRoute, noRoute } from "../core/decide/find-route.ts";
import { describeForbiddenPath, forbiddenPath } from "../core/decide/forbidden-path.ts";
import type { Answers, Exchange, ForwardFailure } from "./exchange.ts";
import type { PreparedFilters } from "./filters.ts";
import { type Forwarding, forward } from "./forward.ts";
import { entryAt, type LoadedInbound, type LoadedInboundRule, type LoadedLimit } from "./loaded.ts";
import { passFilters } from "./pass-filters.ts";
import { prepareRequest } from "./request-head.ts";
import { rescue } from "./rescue.ts";

export const inboundAnswers: Answers = {
  answer: answerInbound,
  resume: resumeInbound,
  failed: failedInbound,
  // No rule of this side has a guard.
  responded: () => true,
};

function answerInbound(exchange: Exchange): void {
  const { shard, origin, head } = exchange;
  const policy = shard.tables.inbound(origin.port);
  if (policy === undefined) {
    awaitPolicy(exchange);
    return;
  }
  const { table, routes } = policy;
  if (!isHttp(table.protocol)) {
    rescue(exchange, "unsupported-protocol");
    return;
  }
  prepareRequest(exchange);
  const found = findRoute(routes, exchange.view);
  exchange.decision.routed(policy.edition, found, exchange.view);
  if (found <= noRoute) {
    refuseUnrouted(exchange, policy, found);
    return;
  }
  const entry = entryAt(routes, found);
  const rule = policy.rules[entry.rule];
  if (rule === undefined) {
    rescue(exchange, "bad-route");
    return;
  }
  exchange.route = rule.counts;
  rule.counts.request();
  // Whoever asks for a token looks here for it.
  shard.tokens.fields = head.fields;
  const { check } = shard.tokens;
  const admitted = admitRequest(table, rule.route, origin.peer, check);
  exchange.decision.admitted = admitted;
  if (admitted === notAdmitted) {
    shard.counts.add(rule.denied);
    const reason = explainDenial(table, table.admits[rule.route] ?? [], origin.peer, check);
    rescue(exchange, "unauthorized", { reason });
    return;
  }
  const { view } = exchange;
  const forbidden = policy.hasNamedRoutes
    ? forbiddenPath({ table, routes, view, peer: origin.peer, check }, found)
    : undefined;
  if (forbidden !== undefined) {
    shard.counts.add(rule.denied);
    rescue(exchange, "unauthorized", { reason: describeForbiddenPath(forbidden) });
    return;
  }
  noteAdmission(exchange, policy, { rule, admitted });
  exchange.matched = entry;
  exchange.dialedPort = origin.port;
  const { identity } = origin.peer;
  if (identity !== undefined) exchange.requestEdit.set("l5d-client-id", identity);
  if (passFilters(exchange, rule.filters, 0) !== "passed") return;
  if (isOverRate(exchange, rule.limit)) return;
  sendToApplication(exchange, "pooled");
}

type Admission = { readonly rule: LoadedInboundRule; readonly admitted: number };

/** Counts it, and does what the authorization asks for. */
function noteAdmission(
  exchange: Exchange,
  { table }: LoadedInbound,
  { rule, admitted }: Admission,
): void {
  const { shard, origin, head, requestEdit } = exchange;
  shard.counts.add(rule.allowed[admitted] ?? 0);
  const entry = rule.entries[admitted];
  for (const name of entry?.stripped ?? nothing) {
    for (let at = head.fields.find(name, 0); at >= 0; at = head.fields.find(name, at + 1)) {
      requestEdit.dropField(at);
    }
  }
  if (entry?.isAudit !== true) return;
  shard.counts.add(rule.audited ?? 0);
  const others = (table.admits[rule.route] ?? []).filter((one) => one !== admitted);
  const reason = explainDenial(table, others, origin.peer, shard.tokens.check);
  shard.notices.tell("inbound_request_audited", { port: origin.port, reason });
}

const nothing: readonly string[] = [];

/** After the filters: what they answer themselves is no load for the application. None of this side waits. */
function isOverRate(exchange: Exchange, limited: LoadedLimit | undefined): boolean {
  if (limited === undefined) return false;
  const { shard, origin } = exchange;
  const excess = shard.rateLimiter.take(origin.port, limited.limit, origin.peer);
  if (excess === undefined) return false;
  shard.counts.add(limited.refused[excess.scope]);
  const { scope, perSecond, retryAfterSeconds } = excess;
  const whose = scope === "total" ? "total" : "per-identity";
  const reason = `${whose} rate limit exceeded: ${perSecond}rps`;
  rescue(exchange, "rate-limited", { reason, retryAfterSeconds });
  return true;
}

/** What a filter waited for has come. */
function resumeInbound(exchange: Exchange): void {
  passRule(exchange, exchange.filters, exchange.filterAt);
}

/** The filters of the rule from place `from` on, then the application. */
function passRule(exchange: Exchange, filters: PreparedFilters, from: number): void {
  if (passFilters(exchange, filters, from) !== "passed") return;
  sendToApplication(exchange, "pooled");
}

function sendToApplication(exchange: Exchange, how: Forwarding): void {
  // A tunnel is judged again by each policy that follows (`tunnel-permission.ts`), so what was asked for must stay readable.
  if (exchange.keepsUpgrade || exchange.head.method === "CONNECT") exchange.detach();
  const { shard, origin } = exchange;
  const group = shard.tables.application(origin.port, origin.destination);
  const target = group?.pick(exchange.readyMs, shard.random, exchange.tried);
  if (group === undefined || target === undefined) {
    rescue(exchange, "no-endpoints");
    return;
  }
  forward(exchange, group, target, how);
}

/** There is one application, so there is nobody else to ask; but a connection that it closed while idle is not its answer. */
function failedInbound(exchange: Exchange, failure: ForwardFailure): void {
  const { code, reason, stale } = failure;
  if (!stale || exchange.replayLength === 0 || exchange.resent) {
    rescue(exchange, code, { reason });
    return;
  }
  exchange.resent = true;
  sendToApplication(exchange, "fresh");
}

/** Nothing is admitted before the policy of the port is known. */
function awaitPolicy(exchange: Exchange): void {
  const { tables, limits } = exchange.shard;
  if (tables.parkedCount >= limits.maxWaitingForDiscovery) {
    rescue(exchange, "discovery-overload");
    return;
  }
  tables.parkInbound(exchange, exchange.origin.port);
}

function refuseUnrouted(exchange: Exchange, policy: LoadedInbound, found: number): void {
  if (found < noRoute) {
    rescue(exchange, "bad-route");
    return;
  }
  exchange.shard.counts.add(policy.notFound);
  const { kind, name } = policy.table.server;
  rescue(exchange, "no-route", { reason: `no route of ${kind} ${name} matches this request` });
}

/** What was found out by looking is HTTP. */
function isHttp(protocol: string): boolean {
  return protocol !== "opaque" && protocol !== "tls";
}
