/** What `Destination.GetProfile` tells about a destination, beside its policy: Linkerd's ServiceProfile, or one known place. */
import type { Endpoint } from "./endpoint.ts";
import type { RequestCondition } from "./match.ts";
import type { Meta } from "./meta.ts";
import type { RetryBudget } from "./retry.ts";

export type Profile = {
  /** Of the Service, without a port; empty: the destination has none. */
  readonly name: string;
  /** Nothing is detected, the bytes go as they are. */
  readonly opaque: boolean;
  /** The Service port. */
  readonly parent: Meta | undefined;
  /** The ServiceProfile; undefined: nobody has written one. */
  readonly source: Meta | undefined;
  /** The first whose condition holds is taken. */
  readonly routes: readonly ProfileRoute[];
  /** Undefined: nothing is retried. */
  readonly budget: RetryBudget | undefined;
  /** By weight. Empty: the destination itself. */
  readonly overrides: readonly ProfileOverride[];
  /** The one place behind an address: there is nothing to balance. */
  readonly endpoint: Endpoint | undefined;
};

export type ProfileRoute = {
  /** Empty: unnamed. */
  readonly name: string;
  readonly condition: RequestCondition;
  /** Not empty: the condition could not be read, for this reason, and the route refuses what gets to it. */
  readonly unreadable: string;
  readonly isRetryable: boolean;
  /** The whole exchange, retries included; 0: no limit. */
  readonly timeoutMs: number;
  /** The first whose condition holds speaks; without any the statuses from 500 on are failures. */
  readonly responseClasses: readonly ResponseClass[];
};

export type ResponseClass = {
  readonly condition: ResponseCondition;
  readonly isFailure: boolean;
};

export type ResponseCondition =
  /** Inclusive. */
  | { readonly kind: "status"; readonly min: number; readonly max: number }
  | { readonly kind: "all" | "any"; readonly of: readonly ResponseCondition[] }
  | { readonly kind: "not"; readonly of: ResponseCondition };

export type ProfileOverride = {
  /** `name:port`, as `Destination.Get` takes it. */
  readonly authority: string;
  readonly weight: number;
  /** Undefined: nobody says which Service it is. */
  readonly backend: Meta | undefined;
};

export const noProfile: Profile = {
  name: "",
  opaque: false,
  parent: undefined,
  source: undefined,
  routes: [],
  budget: undefined,
  overrides: [],
  endpoint: undefined,
};

/** Linkerd's bounds; outside of them its proxy retries nothing. */
export const budgetTtlMs: { readonly min: number; readonly max: number } = {
  min: 1_000,
  max: 60_000,
};

export const maxBudgetRatio = 1_000;
