/** The polite end of a call of gRPC that a drain finds under way when its time is nearly over, such as a stream that is open for ever. */
import type { Exchange } from "./exchange.ts";
import { rescue } from "./rescue.ts";

/**
 * The client learns by the status of the call that it may try elsewhere. False: it is not such a call, and there is no word for "not all of it" in
 * its response.
 */
export function leaveCall(exchange: Exchange): boolean {
  if (!exchange.isGrpc || !exchange.downstream.isBusy) return false;
  rescue(exchange, "shutting-down");
  return true;
}
