/** Filters that answer in place of a backend: redirects and injected failures. */
import { failureHits, redirectLocation } from "../core/decide/apply-filters.ts";
import type { Redirect } from "../core/model/filter.ts";
import { isFieldValue } from "../core/std/field.ts";
import type { MatchEntry } from "../core/table/http-route.ts";
import type { Exchange } from "./exchange.ts";
import type { PreparedFilters } from "./filters.ts";
import { answerLocally, rescue } from "./rescue.ts";

/** True: the request has its answer. `port` is the one that the client dialed, as it sees it. */
export function answeredByFilter(
  exchange: Exchange,
  filters: PreparedFilters,
  entry: MatchEntry,
  port: number,
): boolean {
  if (filters.answers.length === 0) return false;
  for (const filter of filters.answers) {
    if (filter.kind === "redirect") {
      redirect(exchange, filter.redirect, entry, port);
      return true;
    }
    const { failure } = filter;
    if (failureHits(failure, exchange.shard.random())) {
      rescue(exchange, "injected", { status: failure.status, reason: failure.message });
      return true;
    }
  }
  return false;
}

function redirect(exchange: Exchange, rule: Redirect, entry: MatchEntry, port: number): void {
  const { method, path, query, authority } = exchange.view;
  const prefix = entry.path.kind === "prefix" ? entry.path.value : undefined;
  const view = { method, path, query, authority, scheme: "http" as const };
  const redirection = redirectLocation(rule, view, prefix, port);
  if (redirection === undefined || !isFieldValue(redirection.location)) {
    rescue(exchange, "bad-route", { reason: "the redirect of the rule cannot be made" });
    return;
  }
  answerLocally(exchange, {
    status: redirection.status,
    headers: [["location", octets(redirection.location)]],
    body: "",
    closes: false,
  });
}

/** The request's own part is octets already; what a policy adds beyond ASCII becomes UTF-8. */
function octets(location: string): string {
  return [...location].some((character) => character.charCodeAt(0) > 0xff)
    ? Buffer.from(location, "utf8").toString("latin1")
    : location;
}
