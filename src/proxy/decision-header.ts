/** The id of a decision in the answer to those who may know that there is one. */
import type { Exchange } from "./exchange.ts";

/** A private name, so that applications cannot say it and clients cannot ask for what it does elsewhere. */
export const decisionHeader = "l5d-decision-id";

/**
 * Whether the answer tells the id: to the application beside us, and to clients whose identity is known. `errors`: on answers that
 * this proxy made because something is wrong; a request that went through well has nothing that needs an explanation.
 */
export function tellsDecision({ shard, origin, decision }: Exchange): boolean {
  const when = shard.settings.decisionHeader;
  if (when === "off" || (when === "errors" && decision.code === "")) return false;
  return origin.direction === "outbound" || origin.peer.identity !== undefined;
}
