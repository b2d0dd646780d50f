/** Circuit breaking and the weight of failures, as annotations of a Service ask for them (Linkerd's `balancer.linkerd.io/*`). */
import {
  defaultAccrualBackoff,
  defaultAccrualDecayMs,
  defaultAccrualMinRequests,
  type FailureAccrual,
} from "../model/accrual.ts";
import { defaultLoad, defaultLoadPenalty, type PeakEwma } from "../model/backend.ts";
import type { Backoff } from "../model/retry.ts";
import type { Annotations } from "./annotation.ts";

const names = {
  mode: "balancer.linkerd.io/failure-accrual",
  maxFailures: "balancer.linkerd.io/failure-accrual-consecutive-max-failures",
  minPenalty: "balancer.linkerd.io/failure-accrual-consecutive-min-penalty",
  maxPenalty: "balancer.linkerd.io/failure-accrual-consecutive-max-penalty",
  jitter: "balancer.linkerd.io/failure-accrual-consecutive-jitter-ratio",
  threshold: "balancer.alpha.linkerd.io/failure-accrual-success-rate-threshold",
  window: "balancer.alpha.linkerd.io/failure-accrual-success-rate-window",
  minRequests: "balancer.alpha.linkerd.io/failure-accrual-success-rate-min-requests",
  honorRetryAfter: "balancer.alpha.linkerd.io/failure-accrual-honor-retry-after",
  penalize: "balancer.alpha.linkerd.io/penalize-failures",
  penalty: "balancer.alpha.linkerd.io/load-biaser-penalty",
  maxRetryAfter: "balancer.alpha.linkerd.io/load-biaser-max-retry-after",
} as const;

/** Linkerd's default and bounds of what the annotations leave out. */
const defaultMaxFailures = 7;
const defaultThreshold = 0.8;
const failuresRange = { min: 0, max: 4_294_967_295 } as const;
const jitterRange = { min: 0, max: 100 } as const;
const thresholdRange = { min: 0, max: 1 } as const;
const requestsRange = { min: 0, max: 1_000_000 } as const;
const minWindowMs = 10;

/** Undefined: endpoints are never taken out. One annotation that cannot be read leaves the whole of it off, because half a breaker is another one than was meant. */
export function readAccrual(annotations: Annotations): FailureAccrual | undefined {
  const before = annotations.faults.length;
  const mode = annotations.text(names.mode);
  const maxConsecutiveFailures = annotations.integer(names.maxFailures, failuresRange);
  const backoff = readBackoff(annotations);
  const successRateThreshold = annotations.ratio(names.threshold, thresholdRange);
  const decayMs = annotations.durationMs(names.window, { min: minWindowMs });
  const minRequests = annotations.integer(names.minRequests, requestsRange);
  const honorsRetryAfter = annotations.flag(names.honorRetryAfter) === true;
  if (mode !== undefined && mode !== "consecutive" && mode !== "unified") {
    annotations.refuse(names.mode, '"consecutive" or "unified"');
  }
  if (mode === undefined || annotations.faults.length > before) return undefined;
  const consecutive: FailureAccrual = {
    maxConsecutiveFailures: maxConsecutiveFailures ?? defaultMaxFailures,
    successRateThreshold: 0,
    decayMs: defaultAccrualDecayMs,
    minRequests: defaultAccrualMinRequests,
    backoff,
    ...(honorsRetryAfter ? { honorsRetryAfter } : {}),
  };
  if (mode === "consecutive") return consecutive;
  return {
    ...consecutive,
    successRateThreshold: successRateThreshold ?? defaultThreshold,
    decayMs: decayMs ?? defaultAccrualDecayMs,
    minRequests: minRequests ?? defaultAccrualMinRequests,
  };
}

function readBackoff(annotations: Annotations): Backoff {
  const minMs = annotations.durationMs(names.minPenalty, { min: 1 });
  const maxMs = annotations.durationMs(names.maxPenalty, { min: 1 });
  const jitter = annotations.ratio(names.jitter, jitterRange);
  const backoff = {
    minMs: minMs ?? defaultAccrualBackoff.minMs,
    maxMs: maxMs ?? defaultAccrualBackoff.maxMs,
    jitter: jitter ?? defaultAccrualBackoff.jitter,
  };
  if (backoff.minMs > backoff.maxMs) {
    const name = minMs === undefined ? names.maxPenalty : names.minPenalty;
    annotations.refuse(name, "such that the least penalty is not above the greatest");
  }
  return backoff;
}

/** As with the breaker: all of it or nothing. */
export function readLoad(annotations: Annotations): PeakEwma {
  const before = annotations.faults.length;
  const penalize = annotations.flag(names.penalize);
  const penaltyMs = annotations.durationMs(names.penalty);
  const maxRetryAfterMs = annotations.durationMs(names.maxRetryAfter);
  if (penalize !== true || annotations.faults.length > before) return defaultLoad;
  return {
    ...defaultLoad,
    penalty: {
      penaltyMs: penaltyMs ?? defaultLoadPenalty.penaltyMs,
      maxRetryAfterMs: maxRetryAfterMs ?? defaultLoadPenalty.maxRetryAfterMs,
      decayMs: defaultLoadPenalty.decayMs,
    },
  };
}
