import type { Secret } from "../std/secret.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Filter } from "./filter.ts";
import type { Meta } from "./meta.ts";

/** Where a rule sends a request. */
export type Backend = {
  readonly meta: Meta;
  readonly dispatch:
    | { readonly kind: "balancer"; readonly authority: string; readonly load: PeakEwma }
    | { readonly kind: "forward"; readonly endpoint: Endpoint }
    /** Outside the mesh: names are looked up again and again, addresses are taken as they are. */
    | { readonly kind: "static"; readonly hosts: readonly StaticHost[] }
    | { readonly kind: "lambda"; readonly function: LambdaFunction }
    /** No way to reach it; a failure filter beside it says why. */
    | { readonly kind: "fail" };
  /** What its port is said to speak. Absent: what the policy is said to. */
  readonly protocol?: BackendProtocol;
};

/** `detect`: nobody has said. */
export type BackendProtocol = "detect" | "http1" | "http2";

export type StaticHost = { readonly host: string; readonly port: number };

/** A function of AWS Lambda, called by a signed request. The keys are secrets of whoever wrote the Backend. */
export type LambdaFunction = {
  readonly region: string;
  readonly accountId: string;
  readonly name: string;
  readonly qualifier: string;
  readonly mode: "sync" | "async";
  /** `envoy`: the request is wrapped in JSON and the JSON answer unwrapped; `none`: bodies go as they are. */
  readonly payload: "envoy" | "none";
  /** Empty: the public address of the region. */
  readonly endpointUrl: string;
  readonly accessKey: Secret<string>;
  readonly secretKey: Secret<string>;
  readonly sessionToken: Secret<string>;
};

/** Linkerd's defaults: 30 ms and 10 s. */
export type PeakEwma = {
  readonly defaultRttMs: number;
  readonly decayMs: number;
  /** Undefined: failures do not weigh. */
  readonly penalty?: LoadPenalty;
};

/** What failures, 503 and 429 add to the load of an endpoint (`balancer.alpha.linkerd.io/penalize-failures`). */
export type LoadPenalty = {
  readonly penaltyMs: number;
  /** What a Retry-After may ask for at the most. */
  readonly maxRetryAfterMs: number;
  readonly decayMs: number;
};

export const defaultLoad: PeakEwma = { defaultRttMs: 30, decayMs: 10_000 };

/** Linkerd's. */
export const defaultLoadPenalty: LoadPenalty = {
  penaltyMs: 5_000,
  maxRetryAfterMs: 300_000,
  decayMs: 10_000,
};

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
