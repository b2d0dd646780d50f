import type { Meta } from "./meta.ts";

/** Requests a second that a port takes in all, and from each client. 0: no limit. */
export type RateLimit = {
  readonly meta: Meta;
  readonly totalPerSecond: number;
  /** Of each client that no override names. Clients without an identity count as one. */
  readonly identityPerSecond: number;
  /** The first that names a client holds for it; each of its clients has the rate for itself. */
  readonly overrides: readonly RateOverride[];
};

type RateOverride = {
  readonly perSecond: number;
  readonly identities: readonly string[];
};
