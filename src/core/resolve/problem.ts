import { type Filter, failAlways } from "../model/filter.ts";

/**
 * What is wrong with a part of a route that is in force: its requests, or a backend's share of them, are answered with
 * 500 and `message`, and the status of the route says so (conditions.ts).
 */
export type Problem = {
  /** `unsupported` speaks against the rule (Accepted, PartiallyInvalid), `unresolved` against a reference (ResolvedRefs). */
  readonly kind: "unsupported" | "unresolved";
  /** Gateway API's RouteConditionReason. */
  readonly reason:
    | "UnsupportedValue"
    | "IncompatibleFilters"
    | "InvalidKind"
    | "BackendNotFound"
    | "RefNotPermitted"
    | "UnsupportedProtocol";
  readonly message: string;
};

/** A converted rule together with what could not be honoured in it. */
export type Converted<T> = { readonly value: T; readonly problems: readonly Problem[] };

/** The message travels in a response header; longer texts are for the log, where all faults stand. */
const maxFailureMessageLength = 512;

/** Gateway API HTTPRouteRule: what cannot be honoured is never skipped, its requests get a 500. */
export function answerWith500(message: string): Filter {
  // RFC 9110 §5.5: only visible characters and spaces; what a user wrote may hold others.
  const text = message.replaceAll(/[^\x20-\x7e]+/g, " ");
  const short =
    text.length <= maxFailureMessageLength
      ? text
      : `${text.slice(0, maxFailureMessageLength - 3)}...`;
  return failAlways(500, short);
}

export function unsupported(message: string): Problem {
  return { kind: "unsupported", reason: "UnsupportedValue", message };
}

export function incompatible(message: string): Problem {
  return { kind: "unsupported", reason: "IncompatibleFilters", message };
}

export function unresolved(reason: Problem["reason"], message: string): Problem {
  return { kind: "unresolved", reason, message };
}

export function joinMessages(problems: readonly Problem[]): string {
  return problems.map(({ message }) => message).join("; ");
}
