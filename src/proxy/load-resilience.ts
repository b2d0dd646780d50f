/** The parts of a policy that keep services alive, in the form in which requests meet them. */

import { retryBudgetSlots } from "../core/decide/retry-budget.ts";
import type { FailureAccrual } from "../core/model/accrual.ts";
import { describeMeta, type Meta } from "../core/model/meta.ts";
import type { OutboundRule, OutboundTable } from "../core/table/outbound.ts";
import { Breaker } from "./breaker.ts";
import type { Counts } from "./count.ts";
import type { EndpointTally } from "./endpoints.ts";
import type { TargetGroup } from "./exchange.ts";
import { backendLabels, outboundRouteLabels, parentLabels } from "./labels.ts";
import { type LoadedRetry, RetryCounts, shareOf } from "./retries.ts";

export type LoadedResilience = {
  /** Undefined: a request is sent once. */
  readonly retry: LoadedRetry | undefined;
  /** What sessions and budgets belong to: the same rule has the same name in every worker and after every update. */
  readonly scope: string;
  /** Whether its exchanges need a guard. */
  readonly isGuarded: boolean;
};

export type ResilienceContext = {
  readonly counts: Counts;
  /** How many workers share a budget. */
  readonly workers: number;
  /** What was in force until now: its budgets go on. */
  readonly before: readonly LoadedResilience[];
  /** State of the budget that rules with `sharesBudget` draw on. */
  readonly shared: Float64Array;
};

/** That of the table before, or a fresh one. */
export function sharedBudget(before: readonly LoadedResilience[]): Float64Array {
  const known = before.find(({ retry }) => retry?.policy.sharesBudget)?.retry;
  return known?.budget ?? new Float64Array(retryBudgetSlots);
}

export function loadResilience(
  table: OutboundTable,
  at: number,
  { counts, workers, before, shared }: ResilienceContext,
): LoadedResilience {
  const rule = table.rules[at];
  const place = table.http.rules[at];
  const meta = place === undefined ? undefined : table.http.routes[place.route]?.meta;
  const scope = meta === undefined ? "" : `${describeMeta(meta)} rule ${place?.index ?? 0}`;
  const policy = rule?.retry;
  if (rule === undefined || policy === undefined) {
    return { retry: undefined, scope, isGuarded: rule !== undefined && isGuarded(rule) };
  }
  const known = before.find((one) => one.scope === scope)?.retry;
  const retry = {
    policy: { ...policy, budget: shareOf(policy.budget, workers) },
    budget: policy.sharesBudget ? shared : (known?.budget ?? new Float64Array(retryBudgetSlots)),
    counts: new RetryCounts(counts, outboundRouteLabels(table.parent, meta)),
  };
  return { retry, scope, isGuarded: true };
}

function isGuarded({ timeouts, session }: OutboundRule): boolean {
  const { backendRequestMs, responseMs, idleMs } = timeouts;
  return session !== undefined || backendRequestMs > 0 || responseMs > 0 || idleMs > 0;
}

type Before = { readonly balancers: readonly (Balancer | undefined)[] };

/** One for each backend that leads somewhere. The balancers that were in force until now are over. */
export function loadBalancers(
  table: OutboundTable,
  groups: readonly (TargetGroup | undefined)[],
  counts: Counts,
  before: Before | undefined,
): readonly (Balancer | undefined)[] {
  const { parent, accrual } = table;
  const old = before?.balancers ?? [];
  for (const balancer of old) balancer?.retire();
  return table.backends.map(({ meta: backend }, at) => {
    const group = groups[at];
    if (group === undefined) return undefined;
    const known = old.find((one) => one?.group === group)?.breaker;
    return new Balancer({ group, parent, backend, accrual, counts, known });
  });
}

export type BalancerOptions = {
  readonly group: TargetGroup;
  readonly parent: Meta;
  readonly backend: Meta;
  readonly accrual: FailureAccrual | undefined;
  readonly counts: Counts;
  /** The breaker that this one takes the place of. What it knows stays. */
  readonly known: Breaker | undefined;
};

/** The endpoints of a backend as the requests of one destination see them. */
export class Balancer {
  readonly group: TargetGroup;
  /** Undefined: endpoints are never taken out because of their answers. */
  readonly breaker: Breaker | undefined;
  readonly #counts: Counts;
  readonly #ready: number;
  readonly #pending: number;
  #shown: EndpointTally = { ready: 0, pending: 0 };

  constructor({ group, parent, backend, accrual, counts, known }: BalancerOptions) {
    this.group = group;
    this.breaker = accrual === undefined ? undefined : new Breaker(accrual, known);
    this.#counts = counts;
    const labels = { ...parentLabels(parent), ...backendLabels(backend) };
    const place = (endpoint_state: string): number =>
      counts.place("outbound_http_balancer_endpoints", { ...labels, endpoint_state });
    this.#ready = place("ready");
    this.#pending = place("pending");
  }

  /** Brings the gauge up to date. Several balancers may have one series, so each adds what has changed. */
  report(nowMs: number): void {
    this.#show(this.group.tally(nowMs, this.breaker));
  }

  /** Another one takes its place, or none. */
  retire(): void {
    this.#show({ ready: 0, pending: 0 });
  }

  #show(tally: EndpointTally): void {
    this.#counts.add(this.#ready, tally.ready - this.#shown.ready);
    this.#counts.add(this.#pending, tally.pending - this.#shown.pending);
    this.#shown = tally;
  }
}
