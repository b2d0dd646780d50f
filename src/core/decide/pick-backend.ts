/** Which backend of a rule serves a request (Gateway API HTTPBackendRef.weight). */
import type { OutboundRule } from "../table/outbound.ts";

type Distributed = Pick<OutboundRule, "distribution" | "choices" | "totalWeight">;

/** The rule has no backend, or none that takes traffic. */
export const noBackend = -1;

/**
 * An index into `rule.choices`, or `noBackend`. The share of a choice is its weight divided by the sum; weight 0 is never picked. Of a rule that takes the first
 * backend that is ready this is the first one, and the caller goes on to the next while one is not ready. `random01` is from 0 to 1, without 1.
 */
export function pickBackend(rule: Distributed, random01: number): number {
  switch (rule.distribution) {
    case "empty":
      return noBackend;
    case "first-available":
      return rule.choices.length > 0 ? 0 : noBackend;
    case "random-available":
      return pickByWeight(rule, random01);
  }
}

function pickByWeight({ choices, totalWeight }: Distributed, random01: number): number {
  let rest = random01 * totalWeight;
  let last = noBackend;
  for (let at = 0; at < choices.length; at++) {
    const weight = choices[at]?.weight ?? 0;
    if (weight <= 0) continue;
    if (rest < weight) return at;
    rest -= weight;
    // Rounding may leave a rest behind the last choice.
    last = at;
  }
  return last;
}
