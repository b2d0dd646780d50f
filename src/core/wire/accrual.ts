import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  defaultAccrualBackoff,
  defaultAccrualDecayMs,
  defaultAccrualMinRequests,
  type FailureAccrual,
} from "../model/accrual.ts";
import { fromWireBackoff, toWireBackoff } from "./backoff.ts";
import { report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import type {
  ExponentialBackoff,
  FailureAccrual_Unified,
  FailureAccrualSchema,
  FailureAccrual as WireFailureAccrual,
} from "./gen/linkerd/outbound_pb.ts";
import { toUint32 } from "./uint32.ts";

/** Linkerd's proxy refuses a policy with a shorter window. */
const minDecayMs = 10;

/** Linkerd's proxy refuses a policy with more. */
const maxMinRequests = 1_000_000;

/** The older of the two forms says all there is when no rate counts. */
export function toWireAccrual(
  accrual: FailureAccrual,
): MessageInitShape<typeof FailureAccrualSchema> {
  const maxFailures = toUint32(accrual.maxConsecutiveFailures);
  const backoff = {
    ...toWireBackoff(accrual.backoff),
    respectRetryAfterHint: accrual.honorsRetryAfter === true,
  };
  if (accrual.successRateThreshold === 0) {
    return { kind: { case: "consecutiveFailures", value: { maxFailures, backoff } } };
  }
  return {
    kind: {
      case: "unified",
      value: {
        successRateThreshold: Math.min(Math.max(accrual.successRateThreshold, 0), 1),
        decay: toWireDuration(Math.max(accrual.decayMs, minDecayMs)),
        minRequests: toUint32(accrual.minRequests, maxMinRequests),
        maxConsecutiveFailures: maxFailures,
        backoff,
      },
    },
  };
}

/** Undefined: endpoints stay whatever they answer. To keep one refuses nobody and opens nothing, so that what cannot be read is left out. */
export function fromWireAccrual(
  { kind, ejection }: WireFailureAccrual,
  trace: Trace,
): FailureAccrual | undefined {
  if (ejection !== undefined && ejection.minReadyEndpoints > 0) {
    report(under(trace, "ejection"), "is not supported; any number may be taken out");
  }
  switch (kind.case) {
    case "consecutiveFailures":
      return {
        maxConsecutiveFailures: kind.value.maxFailures,
        successRateThreshold: 0,
        decayMs: defaultAccrualDecayMs,
        minRequests: defaultAccrualMinRequests,
        ...readPauses(kind.value.backoff, under(trace, "consecutiveFailures")),
      };
    case "unified":
      return fromWireUnified(kind.value, under(trace, "unified"));
    case undefined:
      report(trace, "is of no known kind; endpoints are not taken out");
      return undefined;
  }
}

function fromWireUnified(message: FailureAccrual_Unified, trace: Trace): FailureAccrual {
  return {
    maxConsecutiveFailures: message.maxConsecutiveFailures,
    successRateThreshold: readThreshold(message.successRateThreshold, trace),
    decayMs: readDecay(message, trace),
    minRequests: Math.min(message.minRequests, maxMinRequests),
    ...readPauses(message.backoff, trace),
  };
}

function readThreshold(threshold: number, trace: Trace): number {
  if (threshold >= 0 && threshold <= 1) return threshold;
  report(under(trace, "successRateThreshold"), "must be 0 to 1; the rate does not count");
  return 0;
}

function readDecay({ decay }: FailureAccrual_Unified, trace: Trace): number {
  if (decay === undefined) return defaultAccrualDecayMs;
  const decayMs = fromWireDuration(decay);
  if (decayMs !== undefined && decayMs >= minDecayMs) return decayMs;
  report(under(trace, "decay"), `must be ${minDecayMs} ms or more; the default is taken`);
  return defaultAccrualDecayMs;
}

function readPauses(
  message: ExponentialBackoff | undefined,
  trace: Trace,
): Pick<FailureAccrual, "backoff" | "honorsRetryAfter"> {
  const at = under(trace, "backoff");
  if (message === undefined) {
    report(at, "is missing; the defaults are taken");
    return { backoff: defaultAccrualBackoff };
  }
  const backoff = fromWireBackoff(message, defaultAccrualBackoff, at);
  return message.respectRetryAfterHint ? { backoff, honorsRetryAfter: true } : { backoff };
}
