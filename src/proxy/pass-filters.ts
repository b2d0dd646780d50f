/**
 * Takes a request through filters, one after the other in the order of their list. A filter sees what those before it have
 * done; one that answers ends the list, and whatever stands behind it has no effect on the request or its response.
 */
import { delayFor, failureHits, isHit } from "../core/decide/apply-filters.ts";
import { corsResponseHeaders, isPreflight } from "../core/decide/cors.ts";
import type { Cors, FailureInjector } from "../core/model/filter.ts";
import { unreachable } from "../core/std/unreachable.ts";
import { answerDirectly, answerPreflight, redirect } from "./answer-filters.ts";
import { askAuthorization } from "./ask-authorization.ts";
import type { Exchange } from "./exchange.ts";
import { applyModifier, type FilterStep, type PreparedFilters } from "./filters.ts";
import { mirrorRequest } from "./mirror.ts";
import { rewriteRequest } from "./request-head.ts";
import { rescue } from "./rescue.ts";

/**
 * `answered`: the request has its answer. `waiting`: `resume` of the exchange's answers will be called, and is to go on with
 * `exchange.filters` from `exchange.filterAt` on.
 */
export type FilterOutcome = "passed" | "answered" | "waiting";

/** Filters from place `from` on. */
export function passFilters(
  exchange: Exchange,
  filters: PreparedFilters,
  from: number,
): FilterOutcome {
  for (let at = from; at < filters.length; at++) {
    const outcome = passFilter(exchange, filters[at] as FilterStep);
    if (outcome === "passed") continue;
    // An answer may have ended the exchange and begun the next one.
    if (outcome === "waiting") {
      exchange.filters = filters;
      exchange.filterAt = at + 1;
    }
    return outcome;
  }
  return "passed";
}

function passFilter(exchange: Exchange, step: FilterStep): FilterOutcome {
  switch (step.kind) {
    case "request-headers":
      applyModifier(exchange.requestEdit, step.modifier);
      return "passed";
    case "response-headers":
      exchange.responseModifiers.push(step.modifier);
      return "passed";
    case "url-rewrite":
      if (rewriteRequest(exchange, step.rewrite)) return "passed";
      rescue(exchange, "bad-route", { reason: "the rewrite of the rule cannot be made" });
      return "answered";
    case "redirect":
      redirect(exchange, step.redirect);
      return "answered";
    case "direct-response":
      answerDirectly(exchange, step.response);
      return "answered";
    case "cors":
      return passCors(exchange, step.cors);
    case "failure":
      return passFailure(exchange, step.failure);
    case "external-auth":
      return askAuthorization(exchange, step.auth);
    case "mirror":
      // One copy for each filter: a later try is no other request.
      if (!exchange.isAgain && isHit(step.mirror, exchange.shard.random())) {
        mirrorRequest(exchange, step.mirror);
      }
      return "passed";
    case "delay": {
      const delayMs = delayFor(step.delay, exchange.shard.random());
      if (delayMs <= 0) return "passed";
      exchange.pause(delayMs, resume);
      return "waiting";
    }
    default:
      return unreachable(step);
  }
}

function resume(exchange: Exchange): void {
  exchange.answers.resume(exchange);
}

function passFailure(exchange: Exchange, failure: FailureInjector): FilterOutcome {
  if (!failureHits(failure, exchange.shard.random())) return "passed";
  const { status, message: reason, grpcStatus } = failure;
  rescue(exchange, "injected", { status, reason, grpcStatus });
  return "answered";
}

/** The origin is read here, because the bytes of the request are gone when the response comes. */
function passCors(exchange: Exchange, cors: Cors): FilterOutcome {
  const { method, header } = exchange.view;
  const origin = header("origin");
  if (origin !== undefined && isPreflight(method, header)) {
    answerPreflight(exchange, cors, origin);
    return "answered";
  }
  exchange.responseModifiers.push(corsResponseHeaders(cors, origin));
  return "passed";
}
