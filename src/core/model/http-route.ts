import type { Authorization } from "./authorization.ts";
import type { Distribution } from "./backend.ts";
import type { Filter } from "./filter.ts";
import type { HostMatch, HttpMatch } from "./match.ts";
import type { Meta } from "./meta.ts";

/** A rule takes a request when one of its matches does. The list is never empty. */
type HttpRule = {
  readonly matches: readonly HttpMatch[];
  readonly filters: readonly Filter[];
};

export type OutboundHttpRule = HttpRule & {
  readonly backends: Distribution;
  /** Whole exchange as the client sees it; 0: no limit. */
  readonly requestTimeoutMs: number;
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
