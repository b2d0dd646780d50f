import type { Endpoint } from "./endpoint.ts";
import type { Filter } from "./filter.ts";
import type { Meta } from "./meta.ts";

/** Where a rule sends a request. */
export type Backend = {
  readonly meta: Meta;
  readonly dispatch:
    | { readonly kind: "balancer"; readonly authority: string; readonly load: PeakEwma }
    | { readonly kind: "forward"; readonly endpoint: Endpoint }
    /** No way to reach it; a failure filter beside it says why. */
    | { readonly kind: "fail" };
};

/** Linkerd's defaults: 30 ms and 10 s. */
export type PeakEwma = { readonly defaultRttMs: number; readonly decayMs: number };

export const defaultLoad: PeakEwma = { defaultRttMs: 30, decayMs: 10_000 };

export type RouteBackend = {
  readonly backend: Backend;
  readonly filters: readonly Filter[];
  /** Share = weight ÷ sum of weights. 0: no traffic. */
  readonly weight: number;
};

export type Distribution =
  /** Nothing can be picked: 503. */
  | { readonly kind: "empty" }
  /** The first backend that is ready. */
  | { readonly kind: "first-available"; readonly backends: readonly RouteBackend[] }
  /** By weight. */
  | { readonly kind: "random-available"; readonly backends: readonly RouteBackend[] };
