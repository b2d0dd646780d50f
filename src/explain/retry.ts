import type { Retry } from "../core/model/retry.ts";
import type { RetryView } from "./explanation.ts";

export function describeRetry({ limit, statuses, perTryMs, backoff, budget }: Retry): RetryView {
  return {
    limit,
    statuses: statuses.map(({ start, end }) => (start === end ? `${start}` : `${start}-${end}`)),
    perTryMs,
    backoffMinMs: backoff.minMs,
    backoffMaxMs: backoff.maxMs,
    budgetPercent: budget.percent,
  };
}
