import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Backoff } from "../model/retry.ts";
import { report, type Trace } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import type { ExponentialBackoff, ExponentialBackoffSchema } from "./gen/linkerd/outbound_pb.ts";

/** Linkerd's proxy refuses a policy with more. */
const maxJitter = 100;

/** The same proxy refuses a policy whose longest pause is 0 or shorter than the shortest. */
export function toWireBackoff({
  minMs,
  maxMs,
  jitter,
}: Backoff): MessageInitShape<typeof ExponentialBackoffSchema> {
  return {
    minBackoff: toWireDuration(minMs),
    maxBackoff: toWireDuration(Math.max(minMs, maxMs, 1)),
    jitterRatio: Math.min(Math.max(jitter, 0), maxJitter),
  };
}

/** How long a pause is opens nothing, so that `fallback` can stand in for one that cannot be read. */
export function fromWireBackoff(
  { minBackoff, maxBackoff, jitterRatio }: ExponentialBackoff,
  fallback: Backoff,
  trace: Trace,
): Backoff {
  const minMs = minBackoff && fromWireDuration(minBackoff);
  const maxMs = maxBackoff && fromWireDuration(maxBackoff);
  const isUsable = minMs !== undefined && maxMs !== undefined && maxMs > 0 && minMs <= maxMs;
  if (!isUsable || !(jitterRatio >= 0 && jitterRatio <= maxJitter)) {
    report(trace, "has no usable pauses; the defaults are taken");
    return fallback;
  }
  return { minMs, maxMs, jitter: fromFloat(jitterRatio) };
}

/** What a person wrote as 0.1 comes out of the 32 bits of the field as 0.1 again. */
function fromFloat(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
