import type { Authorization } from "./authorization.ts";
import type { Distribution } from "./backend.ts";
import type { Filter } from "./filter.ts";
import type { HostMatch, HttpMatch } from "./match.ts";
import type { Meta } from "./meta.ts";
import type { Retry } from "./retry.ts";
import type { SessionPersistence } from "./session.ts";
import type { Timeouts } from "./timeouts.ts";

/** A rule takes a request when one of its matches does. The list is never empty. */
type HttpRule = {
  readonly matches: readonly HttpMatch[];
  readonly filters: readonly Filter[];
};

export type OutboundHttpRule = HttpRule & {
  readonly backends: Distribution;
  readonly timeouts: Timeouts;
  /** Undefined: a request is sent once. */
  readonly retry: Retry | undefined;
  readonly session: SessionPersistence | undefined;
  /** What requests carry in `l5d-dst-canonical`, as under a ServiceProfile. No message of a policy can carry it. */
  readonly canonical?: string;
};

export type OutboundHttpRoute = {
  readonly meta: Meta;
  readonly hosts: readonly HostMatch[];
  readonly rules: readonly OutboundHttpRule[];
};

export type InboundHttpRule = HttpRule;

export type InboundHttpRoute = {
  readonly meta: Meta;
  readonly hosts: readonly HostMatch[];
  /** Added to those of the Server: any of either admits. */
  readonly authorizations: readonly Authorization[];
  readonly rules: readonly InboundHttpRule[];
};
