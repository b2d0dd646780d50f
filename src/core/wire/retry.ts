import type { MessageInitShape } from "@bufbuild/protobuf";
import { grpcCode } from "../model/grpc-status.ts";
import {
  defaultRetryBackoff,
  defaultRetryBudget,
  type Retry,
  type RetryBudget,
  type StatusRange,
} from "../model/retry.ts";
import { fromWireBackoff, toWireBackoff } from "./backoff.ts";
import { report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import type {
  GrpcRoute_Retry,
  GrpcRoute_RetrySchema,
  HttpRoute_Retry,
  HttpRoute_Retry_Conditions,
  HttpRoute_RetrySchema,
} from "./gen/linkerd/outbound_pb.ts";
import type {
  RetryBudgetSchema,
  RetryBudget as WireRetryBudget,
} from "./gen/weft/extensions_pb.ts";
import { toUint32 } from "./uint32.ts";

type RetryInit = {
  readonly maxRetries: number;
  readonly maxRequestBytes: number;
  readonly conditions: { statusRanges: { start: number; end: number }[] };
  readonly timeout?: ReturnType<typeof toWireDuration>;
  readonly backoff: ReturnType<typeof toWireBackoff>;
  readonly budget?: MessageInitShape<typeof RetryBudgetSchema>;
};

/** What retries of both kinds of route have. */
type RetryParts = Pick<
  HttpRoute_Retry,
  "maxRetries" | "maxRequestBytes" | "timeout" | "backoff" | "budget"
> & { readonly conditions?: Pick<HttpRoute_Retry_Conditions, "statusRanges"> | undefined };

const noStatuses: Pick<HttpRoute_Retry_Conditions, "statusRanges"> = { statusRanges: [] };

/** Linkerd's proxy refuses a policy with more. */
const maxRetries = 65_535;

/** The default budget is what no budget means to the reader, so it is not sent. */
export function toWireRetry(retry: Retry): MessageInitShape<typeof HttpRoute_RetrySchema> {
  return toWireRetryParts(retry);
}

function toWireRetryParts(retry: Retry): RetryInit {
  const { limit, statuses, perTryMs, backoff, maxBodyBytes, budget } = retry;
  const statusRanges = statuses.filter(isStatusRange).map(({ start, end }) => ({ start, end }));
  return {
    maxRetries: toUint32(limit, maxRetries),
    maxRequestBytes: toUint32(maxBodyBytes),
    conditions: { statusRanges },
    ...(perTryMs === 0 ? {} : { timeout: toWireDuration(perTryMs) }),
    backoff: toWireBackoff(backoff),
    ...(isDefaultBudget(budget) ? {} : { budget: toWireBudget(budget) }),
  };
}

/** Undefined: requests are sent once, because nobody knows how long a try may take. What else is wrong makes for fewer retries. */
export function fromWireRetry(message: RetryParts, trace: Trace): Retry | undefined {
  const perTryMs = message.timeout === undefined ? 0 : fromWireDuration(message.timeout);
  if (perTryMs === undefined) {
    report(under(trace, "timeout"), "must not be negative; requests are sent once");
    return undefined;
  }
  if (message.maxRetries > maxRetries) {
    report(under(trace, "maxRetries"), `must be up to ${maxRetries}, which is taken`);
  }
  return {
    limit: Math.min(message.maxRetries, maxRetries),
    statuses: fromWireConditions(message.conditions, under(trace, "conditions")),
    perTryMs,
    backoff:
      message.backoff === undefined
        ? defaultRetryBackoff
        : fromWireBackoff(message.backoff, defaultRetryBackoff, under(trace, "backoff")),
    maxBodyBytes: message.maxRequestBytes,
    budget:
      message.budget === undefined
        ? defaultRetryBudget
        : fromWireBudget(message.budget, under(trace, "budget")),
  };
}

function fromWireConditions(
  message: Pick<HttpRoute_Retry_Conditions, "statusRanges"> | undefined,
  trace: Trace,
): readonly StatusRange[] {
  if (message === undefined) report(trace, "is missing; no status is retried");
  const ranges = message?.statusRanges ?? [];
  return ranges.flatMap((range, at) => {
    if (isStatusRange(range)) return [{ start: range.start, end: range.end }];
    const { start, end } = range;
    report(under(trace, "statusRanges", at), `is no range of statuses (${start} to ${end})`);
    return [];
  });
}

/** Linkerd's proxy refuses a policy with any other. */
function isStatusRange({ start, end }: StatusRange): boolean {
  return start >= 1 && start <= end && end <= 599;
}

function isDefaultBudget({ percent, intervalMs, minPerSecond }: RetryBudget): boolean {
  return (
    percent === defaultRetryBudget.percent &&
    intervalMs === defaultRetryBudget.intervalMs &&
    minPerSecond === defaultRetryBudget.minPerSecond
  );
}

const codeFields = [
  ["cancelled", grpcCode.cancelled],
  ["deadineExceeded", grpcCode.deadlineExceeded],
  ["resourceExhausted", grpcCode.resourceExhausted],
  ["internal", grpcCode.internal],
  ["unavailable", grpcCode.unavailable],
] as const;

/** The conditions of gRPC are codes; all else is as in HTTP routes. */
export function toWireGrpcRetry(retry: Retry): MessageInitShape<typeof GrpcRoute_RetrySchema> {
  const { conditions: _, ...shared } = toWireRetryParts(retry);
  const { grpcCodes = [] } = retry;
  const conditions = Object.fromEntries(
    codeFields.map(([field, code]) => [field, grpcCodes.includes(code)]),
  );
  return { ...shared, conditions };
}

export function fromWireGrpcRetry(message: GrpcRoute_Retry, trace: Trace): Retry | undefined {
  const retry = fromWireRetry({ ...message, conditions: noStatuses }, trace);
  if (retry === undefined) return undefined;
  const { conditions } = message;
  if (conditions === undefined)
    report(under(trace, "conditions"), "is missing; no code is retried");
  const grpcCodes = codeFields.flatMap(([field, code]) => (conditions?.[field] ? [code] : []));
  return { ...retry, grpcCodes };
}

function toWireBudget({
  percent,
  intervalMs,
  minPerSecond,
}: RetryBudget): MessageInitShape<typeof RetryBudgetSchema> {
  return {
    percent: toUint32(percent),
    interval: toWireDuration(intervalMs),
    minPerSecond: toUint32(minPerSecond),
  };
}

function fromWireBudget(
  { percent, interval, minPerSecond }: WireRetryBudget,
  trace: Trace,
): RetryBudget {
  const intervalMs = interval && fromWireDuration(interval);
  if (intervalMs === undefined || intervalMs === 0) {
    report(under(trace, "interval"), "must be longer than 0; the default budget is taken");
    return defaultRetryBudget;
  }
  return { percent, intervalMs, minPerSecond };
}
