/** Limits of time: of the rule itself, of the annotations of its route, or of those of the Service. */
import { noTimeouts, type Timeouts } from "../model/timeouts.ts";
import type { HttpRouteTimeouts } from "../resource/http-route.ts";
import type { Annotations } from "./annotation.ts";

/** Undefined: not said. 0: no limit, said aloud. */
export type TimeoutWishes = {
  readonly requestMs: number | undefined;
  readonly responseMs: number | undefined;
  readonly idleMs: number | undefined;
};

export const timeoutAnnotations = {
  request: "timeout.linkerd.io/request",
  response: "timeout.linkerd.io/response",
  idle: "timeout.linkerd.io/idle",
} as const;

export function readTimeoutWishes(annotations: Annotations): TimeoutWishes {
  return {
    requestMs: annotations.durationMs(timeoutAnnotations.request),
    responseMs: annotations.durationMs(timeoutAnnotations.response),
    idleMs: annotations.durationMs(timeoutAnnotations.idle),
  };
}

/**
 * Linkerd: an annotation of the route is stronger than the field, and those of the Service hold only for a rule that says nothing of its own. They are taken
 * as a whole, never mixed with what a rule says.
 */
export function resolveTimeouts(
  ofRule: HttpRouteTimeouts,
  ofRoute: TimeoutWishes,
  ofService: TimeoutWishes,
): Timeouts {
  const own = {
    requestMs: ofRoute.requestMs ?? ofRule.requestMs,
    backendRequestMs: ofRule.backendRequestMs,
    responseMs: ofRoute.responseMs,
    idleMs: ofRoute.idleMs,
  };
  const saysSomething = Object.values(own).some((ms) => ms !== undefined);
  return saysSomething ? complete(own) : complete({ ...ofService, backendRequestMs: undefined });
}

function complete(wishes: TimeoutWishes & HttpRouteTimeouts): Timeouts {
  return {
    requestMs: wishes.requestMs ?? noTimeouts.requestMs,
    backendRequestMs: wishes.backendRequestMs ?? noTimeouts.backendRequestMs,
    responseMs: wishes.responseMs ?? noTimeouts.responseMs,
    idleMs: wishes.idleMs ?? noTimeouts.idleMs,
  };
}
