/** What the annotations of a Service ask for on behalf of all who send to it. */
import type { FailureAccrual } from "../model/accrual.ts";
import type { PeakEwma } from "../model/backend.ts";
import type { Service } from "../resource/service.ts";
import type { Fault } from "../std/result.ts";
import { readAccrual, readLoad } from "./accrual.ts";
import { Annotations } from "./annotation.ts";
import { type RetryWishes, readRetryWishes } from "./retry.ts";
import { readTimeoutWishes, type TimeoutWishes } from "./timeouts.ts";

export type ServiceWishes = {
  readonly timeouts: TimeoutWishes;
  readonly retry: RetryWishes;
  readonly accrual: FailureAccrual | undefined;
  readonly load: PeakEwma;
  /** What cannot be read is not in force; the Service's status says so. */
  readonly faults: readonly Fault[];
};

/** An EgressNetwork may have the same. */
export function readServiceWishes(service: Pick<Service, "meta">): ServiceWishes {
  const annotations = new Annotations(service.meta.annotations);
  const timeouts = readTimeoutWishes(annotations);
  const retry = readRetryWishes(annotations);
  const accrual = readAccrual(annotations);
  const load = readLoad(annotations);
  const faults = annotations.faults;
  return { timeouts, retry, accrual, load, faults };
}
