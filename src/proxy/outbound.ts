/**
 * The way of a request of the application beside us, from top to bottom. Nothing else decides what comes next.
 *
 * The application names the destination itself: in the target, as a forward proxy is asked, or in Host.
 */
import { findRoute, noRoute } from "../core/decide/find-route.ts";
import { pickBackend } from "../core/decide/pick-backend.ts";
import { describeMeta } from "../core/model/meta.ts";
import { parseIp } from "../core/std/ip.ts";
import type { AcceptedSocket } from "../edge/net/listen.ts";
import { answeredByFilter } from "./answer-filters.ts";
import { Downstream } from "./downstream.ts";
import type { Answers, Exchange, ForwardFailure, TargetGroup } from "./exchange.ts";
import { applyModifiers } from "./filters.ts";
import { forward } from "./forward.ts";
import { entryAt, type LoadedChoice, type LoadedOutbound, type LoadedRule } from "./loaded.ts";
import { prepareRequest } from "./request-head.ts";
import { rescue } from "./rescue.ts";
import type { Shard } from "./shard.ts";
import type { Destination } from "./tables.ts";

/** Endpoints that are tried for one request while none can be connected to: enough to get past a dying node, few enough to fail soon. */
const maxAttempts = 3;

export const outboundAnswers: Answers = { answer: answerOutbound, failed: failedOutbound };

/** A connection of the application. It speaks HTTP/1, or is told so by the first answer. */
export function acceptOutbound(shard: Shard, accepted: AcceptedSocket): void {
  const ip = parseIp(accepted.remoteIp);
  // Without an address the client is gone already.
  if (ip === undefined) {
    accepted.destroy();
    return;
  }
  new Downstream({
    shard,
    wire: accepted.toWire(shard.headBuffer, shard.pool),
    origin: { direction: "outbound", port: 0, peer: { ip, tls: false, identity: undefined } },
    answers: outboundAnswers,
    counts: shard.downstreamCounts("outbound", "disabled"),
  });
}

function answerOutbound(exchange: Exchange): void {
  const { shard, head } = exchange;
  if (head.method === "CONNECT") {
    rescue(exchange, "connect-method");
    return;
  }
  if (head.scheme === "https") {
    rescue(exchange, "foreign-scheme");
    return;
  }
  const destination = findDestination(exchange);
  if (destination === undefined) {
    rescue(exchange, "bad-destination");
    return;
  }
  const { answer } = destination;
  if (answer.kind === "waiting") {
    awaitDestination(exchange, destination);
    return;
  }
  if (answer.kind === "unknown") {
    refuseUnknown(exchange, destination, answer.reason);
    return;
  }
  prepareRequest(exchange);
  const { routes, rules } = answer.policy;
  const found = findRoute(routes, exchange.view);
  if (found <= noRoute) {
    refuseUnrouted(exchange, answer.policy, found);
    return;
  }
  const entry = entryAt(routes, found);
  const rule = rules[entry.rule];
  if (rule === undefined) {
    rescue(exchange, "bad-route");
    return;
  }
  exchange.route = rule.counts;
  rule.counts.request();
  const { port } = destination;
  if (answeredByFilter(exchange, rule.filters, entry, port)) return;
  const choice = chooseBackend(rule, shard.random());
  if (choice === undefined) {
    refuseBackendless(exchange, rule);
    return;
  }
  if (answeredByFilter(exchange, choice.filters, entry, port)) return;
  applyModifiers(exchange.requestEdit, rule.filters.request);
  applyModifiers(exchange.requestEdit, choice.filters.request);
  exchange.responseModifiers = rule.filters.response;
  exchange.backendModifiers = choice.filters.response;
  const { requestTimeoutMs } = rule.rule;
  if (requestTimeoutMs > 0) shard.wheel.arm(exchange.deadline, requestTimeoutMs);
  if (choice.group === undefined) {
    rescue(exchange, "bad-backend");
    return;
  }
  sendToEndpoint(exchange, choice.group);
}

/** Also the next attempt, after an endpoint that could not be connected to. */
function sendToEndpoint(exchange: Exchange, group: TargetGroup): void {
  const { shard, tried, lastFailure } = exchange;
  const target = group.pick(exchange.readyMs, shard.random, tried);
  if (target !== undefined) {
    forward(exchange, group, target, "pooled");
    return;
  }
  if (lastFailure === undefined) {
    rescue(exchange, "no-endpoints");
    return;
  }
  rescue(exchange, lastFailure.code, { reason: lastFailure.reason });
}

function failedOutbound(exchange: Exchange, failure: ForwardFailure): void {
  const { group, target } = exchange;
  if (exchange.responseStarted || group === undefined || target === undefined) {
    rescue(exchange, failure.code, { reason: failure.reason });
    return;
  }
  if (failure.stale && exchange.replayLength > 0 && !exchange.resent) {
    exchange.resent = true;
    forward(exchange, group, target, "fresh");
    return;
  }
  exchange.tried.push(target);
  exchange.lastFailure = failure;
  if (failure.nothingSent && exchange.tried.length < maxAttempts) {
    sendToEndpoint(exchange, group);
    return;
  }
  rescue(exchange, failure.code, { reason: failure.reason });
}

/** What a connection asked for last is looked up by comparing one string (`benchmarks/proxy/http1.ts`). */
function findDestination(exchange: Exchange): Destination | undefined {
  const { tables } = exchange.shard;
  const { authority } = exchange.head;
  const last = exchange.destination;
  if (last?.isLive !== true || exchange.destinationName !== authority) {
    exchange.destination = tables.destination(authority);
    exchange.destinationName = authority;
  }
  if (exchange.destination !== undefined) tables.noteUse(exchange.destination);
  return exchange.destination;
}

/** Nothing is sent anywhere before the policy of the destination is known. */
function awaitDestination(exchange: Exchange, destination: Destination): void {
  const { tables, limits } = exchange.shard;
  if (tables.parkedCount >= limits.maxWaitingForDiscovery) {
    rescue(exchange, "discovery-overload");
    return;
  }
  tables.parkOutbound(exchange, destination);
}

function refuseUnknown(exchange: Exchange, { target }: Destination, why: string): void {
  rescue(exchange, "unknown-destination", { reason: `no such destination "${target}": ${why}` });
}

function refuseUnrouted(exchange: Exchange, policy: LoadedOutbound, found: number): void {
  exchange.route = policy.noRoute;
  policy.noRoute.request();
  if (found < noRoute) {
    rescue(exchange, "bad-route");
    return;
  }
  const parent = describeMeta(policy.table.parent);
  rescue(exchange, "no-route", { reason: `no route of ${parent} matches this request` });
}

/** Gateway API HTTPBackendRef.weight: a rule whose backends all have weight 0 answers 500. A policy without any backend has none to offer yet. */
function refuseBackendless(exchange: Exchange, { rule }: LoadedRule): void {
  if (rule.distribution === "empty") {
    rescue(exchange, "no-endpoints");
    return;
  }
  rescue(exchange, "no-backend");
}

/** By weight; or the first that has an endpoint. */
function chooseBackend({ rule, choices }: LoadedRule, random01: number): LoadedChoice | undefined {
  if (rule.distribution === "first-available") {
    return choices.find(({ group }) => (group?.members.length ?? 0) > 0) ?? choices[0];
  }
  return choices[pickBackend(rule, random01)];
}
