/**
 * The way of a request of the application beside us, from top to bottom. Nothing else decides what comes next.
 *
 * The destination is where the connection was going, if redirect rules led it here, whatever its requests say. Else the application names it itself: in the
 * target, as a forward proxy is asked, or in Host. CONNECT is a request
 * like any other, as in Linkerd: its destination's routes, filters and authorizations decide, it is passed on, and the tunnel
 * begins when a server answers 2xx. It has no path (RFC 9110 §9.3.6), so of path matches only the prefix `/` takes it.
 */
import type { ResponseHead } from "../codec/http1-head.ts";
import { findRoute, noRoute } from "../core/decide/find-route.ts";
import { pickBackend } from "../core/decide/pick-backend.ts";
import { isRetryable } from "../core/decide/retry.ts";
import { describeMeta } from "../core/model/meta.ts";
import type { Answers, Exchange, ForwardFailure, Target, TargetGroup } from "./exchange.ts";
import { forward } from "./forward.ts";
import { grpcTimeoutMs } from "./grpc.ts";
import { shorter } from "./guard.ts";
import { entryAt, type LoadedChoice, type LoadedOutbound, type LoadedRule } from "./loaded.ts";
import { noteNoResponse, noteNothing, pauseAsked } from "./outcome.ts";
import { passFilters } from "./pass-filters.ts";
import { keepRuleState, prepareRequest, returnToRuleState } from "./request-head.ts";
import { type ErrorCode, rescue } from "./rescue.ts";
import { msToNextTry, rescueTry, type TryOutcome, tryFailures } from "./retries.ts";
import { pinnedChoice } from "./session-pin.ts";
import type { Shard } from "./shard.ts";
import type { Destination } from "./tables.ts";
import type { WaitingSteps } from "./waiting-room.ts";

/** Endpoints that are dialed in one try while none can be connected to: enough to get past a dying node, few enough to fail soon. */
const maxDials = 3;

const waitingSteps: WaitingSteps = { go: sendToEndpoint, giveUp: refuseFast };

export const outboundAnswers: Answers = {
  answer: answerOutbound,
  resume: resumeOutbound,
  failed: failedOutbound,
  responded: respondedOutbound,
};

function answerOutbound(exchange: Exchange): void {
  const { shard, head } = exchange;
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
  const { routes, rules, edition } = answer.policy;
  const found = findRoute(routes, exchange.view);
  exchange.decision.routed(edition, found, exchange.view);
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
  exchange.rule = rule;
  exchange.matched = entry;
  const { canonical } = rule.rule;
  if (canonical !== undefined) exchange.requestEdit.add("l5d-dst-canonical", canonical);
  exchange.dialedPort = destination.port;
  const requestMs = shorter(rule.rule.timeouts.requestMs, grpcTimeoutMs(exchange));
  if (requestMs > 0) {
    // The client's time runs since its request came, also while the policy was waited for.
    const passedMs = shard.nowMs() - exchange.startedMs;
    shard.wheel.arm(exchange.deadline, Math.max(requestMs - passedMs, 0));
  }
  if (rule.isGuarded) exchange.guardBy(rule);
  passRule(exchange, rule, 0);
}

/** What a filter waited for has come. */
function resumeOutbound(exchange: Exchange): void {
  exchange.readyMs = exchange.shard.nowMs();
  const { rule, choice, filterAt } = exchange;
  if (choice !== undefined) passChoice(exchange, choice, filterAt);
  else if (rule !== undefined) passRule(exchange, rule, filterAt);
}

/** The filters of the rule from place `from` on, then the first try. */
function passRule(exchange: Exchange, rule: LoadedRule, from: number): void {
  if (passFilters(exchange, rule.filters, from) !== "passed") return;
  if (rule.retry !== undefined) keepRuleState(exchange);
  beginTry(exchange, rule);
}

/** The backend of the client's session, or another. */
function beginTry(exchange: Exchange, rule: LoadedRule): void {
  const { guard, shard } = exchange;
  if (guard !== undefined) guard.tries++;
  const choice = pinnedChoice(exchange, rule) ?? chooseBackend(rule, shard);
  if (choice === undefined) {
    refuseBackendless(exchange, rule);
    return;
  }
  exchange.choice = choice;
  exchange.breaker = choice.breaker;
  passChoice(exchange, choice, 0);
}

/** Another try after a pause: with a backend and an endpoint of its own, and the filters of that backend. */
function tryAgain(exchange: Exchange): void {
  const { rule } = exchange;
  if (rule === undefined) return;
  returnToRuleState(exchange);
  beginTry(exchange, rule);
}

/** The filters of the backend from place `from` on, then an endpoint. */
function passChoice(exchange: Exchange, choice: LoadedChoice, from: number): void {
  if (passFilters(exchange, choice.filters, from) !== "passed") return;
  if (choice.group === undefined) {
    rescue(exchange, "bad-backend");
    return;
  }
  sendToEndpoint(exchange, choice.group);
}

/** Also the next attempt of the same try, after an endpoint that could not be connected to. */
function sendToEndpoint(exchange: Exchange, group: TargetGroup): void {
  const { shard, breaker, lastFailure } = exchange;
  if (group.inFlight >= shard.limits.maxInFlightPerBackend) {
    rescue(exchange, "backend-overload");
    return;
  }
  const target = chooseEndpoint(exchange, group);
  if (target !== undefined) {
    exchange.isProbe = breaker?.begin(target) === true;
    forward(exchange, group, target, "pooled");
  } else if (lastFailure !== undefined) {
    endTry(exchange, lastFailure.code, lastFailure.reason);
  } else if (group.members.length === 0) {
    endTry(exchange, "no-endpoints");
  } else {
    awaitEndpoint(exchange, group);
  }
}

/** Every endpoint is behind its breaker. */
function awaitEndpoint(exchange: Exchange, group: TargetGroup): void {
  const entrance = exchange.breaker?.room.enter(exchange, group, waitingSteps) ?? "shut";
  if (entrance === "full") rescue(exchange, "backend-overload");
  else if (entrance === "shut") refuseFast(exchange);
}

function refuseFast(exchange: Exchange): void {
  endTry(exchange, "fail-fast");
}

function failedOutbound(exchange: Exchange, failure: ForwardFailure): void {
  const { group, target, guard } = exchange;
  if (exchange.responseStarted || group === undefined || target === undefined) {
    rescue(exchange, failure.code, { reason: failure.reason });
    return;
  }
  if (failure.stale && exchange.replayLength > 0 && !exchange.resent) {
    exchange.resent = true;
    forward(exchange, group, target, "fresh");
    return;
  }
  if (exchange.trace !== undefined) exchange.trace.close(exchange.shard.nowMs(), failure.code);
  exchange.tried.push(target);
  if (!failure.nothingSent) {
    noteNoResponse(exchange);
    endTry(exchange, failure.code, failure.reason);
    return;
  }
  noteNothing(exchange);
  exchange.dials++;
  exchange.readyMs = exchange.shard.nowMs();
  exchange.lastFailure = failure;
  if (guard !== undefined) guard.pinned = undefined;
  if (exchange.dials < maxDials) sendToEndpoint(exchange, group);
  else endTry(exchange, failure.code, failure.reason);
}

/** Whether the response is for the client; else its request is sent again, or has been answered. */
function respondedOutbound(exchange: Exchange, head: ResponseHead): boolean {
  const { guard, rule, target } = exchange;
  const grpcStatus = exchange.upstream?.grpcStatus;
  if (rule?.retry !== undefined && isRetryable(rule.retry.policy, head.status, grpcStatus)) {
    if (target !== undefined) exchange.tried.push(target);
    const pauseMs = pauseAsked(exchange, head);
    if (goesOn(exchange, head.status, pauseMs, grpcStatus)) return false;
    // XBackendTrafficPolicy wants 503 then. Under a ServiceProfile the client gets the response that there is, as in Linkerd.
    if (guard?.noRetry === "budget" && rule.retry.policy.sharesBudget === undefined) {
      // The response that the client does not get was the endpoint's, and the reason is ours.
      if (exchange.trace !== undefined) exchange.trace.close(exchange.shard.nowMs(), "");
      rescue(exchange, "retry-budget");
      return false;
    }
  }
  guard?.answered();
  return true;
}

/** A try has brought no response. */
function endTry(exchange: Exchange, code: ErrorCode, reason?: string): void {
  const kind = tryFailures.get(code);
  if (kind !== undefined && goesOn(exchange, kind, undefined)) return;
  rescueTry(exchange, code, reason);
}

/** True: there will be another try. */
function goesOn(
  exchange: Exchange,
  outcome: TryOutcome,
  retryAfterMs: number | undefined,
  grpcCode?: number,
): boolean {
  const waitMs = msToNextTry(exchange, outcome, retryAfterMs, grpcCode);
  if (waitMs < 0) return false;
  exchange.leaveTry();
  exchange.downstream.holdBody();
  exchange.pause(waitMs, tryAgain);
  return true;
}

/** What a connection asked for last is looked up by comparing one string (`benchmarks/proxy/http1.ts`). */
function findDestination(exchange: Exchange): Destination | undefined {
  const { tables } = exchange.shard;
  const authority = exchange.origin.destination ?? exchange.head.authority;
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

/** By weight; or the first that has an endpoint that takes requests. */
function chooseBackend({ rule, choices }: LoadedRule, shard: Shard): LoadedChoice | undefined {
  if (rule.distribution === "first-available") {
    const nowMs = shard.nowMs();
    return choices.find(({ group, breaker }) => group?.isOpen(nowMs, breaker)) ?? choices[0];
  }
  return choices[pickBackend(rule, shard.random())];
}

/** That of the client's session, or one that has not failed this request, or any when a new try finds no such. */
function chooseEndpoint(exchange: Exchange, group: TargetGroup): Target | undefined {
  const { shard, guard, breaker, tried, dials, readyMs } = exchange;
  if (guard?.pinned !== undefined) return guard.pinned;
  const target = group.pick(readyMs, shard.random, tried, breaker);
  if (target !== undefined || tried.length === 0 || dials > 0) return target;
  exchange.tried = [];
  return group.pick(readyMs, shard.random, exchange.tried, breaker);
}
