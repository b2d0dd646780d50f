import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Timeouts } from "../model/timeouts.ts";
import { report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import type { TimeoutsSchema } from "./gen/linkerd/http_route_pb.ts";
import type { HttpRoute_Rule } from "./gen/linkerd/outbound_pb.ts";

type DurationInit = ReturnType<typeof toWireDuration>;

type RuleTimeouts = {
  readonly requestTimeout?: DurationInit;
  readonly timeouts?: MessageInitShape<typeof TimeoutsSchema>;
};

export function toWireTimeouts({
  requestMs,
  backendRequestMs,
  responseMs,
  idleMs,
}: Timeouts): RuleTimeouts {
  if (requestMs + backendRequestMs + responseMs + idleMs === 0) return {};
  return {
    // For readers that are older than the other field.
    ...(requestMs === 0 ? {} : { requestTimeout: toWireDuration(requestMs) }),
    timeouts: {
      ...(requestMs === 0 ? {} : { request: toWireDuration(requestMs) }),
      ...(backendRequestMs === 0 ? {} : { backendRequest: toWireDuration(backendRequestMs) }),
      ...(responseMs === 0 ? {} : { response: toWireDuration(responseMs) }),
      ...(idleMs === 0 ? {} : { idle: toWireDuration(idleMs) }),
    },
  };
}

/** Undefined: one of them cannot be kept. */
export function fromWireTimeouts(
  { timeouts, requestTimeout }: Pick<HttpRoute_Rule, "timeouts" | "requestTimeout">,
  trace: Trace,
): Timeouts | undefined {
  const requestMs = limitOf(timeouts?.request ?? requestTimeout);
  const backendRequestMs = limitOf(timeouts?.backendRequest);
  const responseMs = limitOf(timeouts?.response);
  const idleMs = limitOf(timeouts?.idle);
  if (
    requestMs === undefined ||
    backendRequestMs === undefined ||
    responseMs === undefined ||
    idleMs === undefined
  ) {
    report(under(trace, "timeouts"), "must not be negative");
    return undefined;
  }
  return { requestMs, backendRequestMs, responseMs, idleMs };
}

function limitOf(duration: Duration | undefined): number | undefined {
  return duration === undefined ? 0 : fromWireDuration(duration);
}
