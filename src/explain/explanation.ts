/**
 * What `weft explain` knows about one request, as data: the JSON of `-o json`, and what the text for people is made from.
 * Scripts read these names, so a field is added but never renamed. What does not exist is `null`, an empty list or an
 * empty string; no field is ever missing.
 */

import type { AdmissionView } from "../core/decide/explain-admission.ts";

export type Explanation = {
  readonly question: AskedQuestion;
  readonly verdict: Verdict;
  /** Null: there is no policy for the destination, and `verdict` says why. */
  readonly outbound: OutboundView | null;
  /** What stands in front of the places where the request may arrive; places that say the same are one entry. */
  readonly inbound: readonly InboundView[];
  /** What is wrong with the routes of the Service, and with the policies of the pods that it leads to. */
  readonly conditions: readonly ConditionView[];
  /** One line each: file, document, line, object, path, reason. Objects of kinds that others serve and we do not are among them. */
  readonly refusedDocuments: readonly string[];
  /** What was assumed, and what looks like a mistake in the question. */
  readonly notes: readonly string[];
};

export type AskedQuestion = {
  /** `namespace/serviceaccount`. */
  readonly from: string;
  /** The name in the certificate of the client's sidecar. */
  readonly identity: string;
  /** The address that authorizations see. */
  readonly ip: string;
  /** The one spelling of the destination: `service.namespace.svc.domain:port`. */
  readonly to: string;
  readonly method: string;
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
  readonly headers: readonly NamedValue[];
};

export type NamedValue = { readonly name: string; readonly value: string };

/**
 * `forwarded`: at least a share of such requests gets to a backend. `answered`: none does, but a filter answers with a
 * status below 400. `refused`: neither.
 */
export type Verdict = {
  readonly kind: "forwarded" | "answered" | "refused";
  /** What becomes of such requests, the greatest share first. The shares add up to 100. */
  readonly fates: readonly Fate[];
};

export type Fate = {
  readonly percent: number;
  readonly kind: "backend" | "answer" | "refusal";
  /** Null: that of the backend. */
  readonly status: number | null;
  /** Who decides: a backend, a route, a Server. */
  readonly by: string;
  readonly reason: string;
};

export type OutboundView = {
  /** `Service demo/backend-a:8080`. */
  readonly service: string;
  readonly protocol: string;
  /** The ServiceProfile whose routes and splits hold in place of HTTPRoutes: `ServiceProfile demo/a.demo.svc.cluster.local`. Empty: none. */
  readonly profile: string;
  /** Every entry that was judged, in the order in which they are tried. */
  readonly considered: readonly EntryView[];
  /** Null: no entry takes the request, or the first that might cannot be judged. */
  readonly winner: WinnerView | null;
  /** Routes that name the Service and have no say in this request. */
  readonly setAside: readonly { readonly route: string; readonly reason: string }[];
  /** Of the rule, in the order in which they are applied. Those of a backend follow at the backend. */
  readonly filters: readonly FilterView[];
  /** 0: no limit. */
  readonly timeouts: {
    readonly requestMs: number;
    readonly backendRequestMs: number;
    readonly responseMs: number;
    readonly idleMs: number;
  };
  readonly retry: RetryView | null;
  readonly session: { readonly type: "cookie" | "header"; readonly name: string } | null;
  /** Whether endpoints of the Service are taken out because of their answers. */
  readonly circuitBreaker: boolean;
  readonly pick: "empty" | "first-available" | "random-available";
  readonly backends: readonly BackendView[];
};

/** The first criterion that does not hold, `match`, or `unjudged` when the rest cannot be judged. */
type Outcome = "match" | "unjudged" | "host" | "path" | "method" | "header" | "query" | "condition";

export type EntryView = EntryName & {
  readonly outcome: Outcome;
  /** Of the header or query parameter that is meant. */
  readonly name: string;
  readonly text: string;
};

export type EntryName = {
  readonly route: string;
  /** Places in the route's list of rules, and in the rule's list of matches. */
  readonly rule: number;
  readonly match: number;
};

export type WinnerView = EntryName & {
  /** The next entry that would have taken the request. */
  readonly before: EntryName | null;
  /** What put the other behind: a step of Gateway API's order of precedence. Empty when there is no other. */
  readonly criterion: string;
  readonly text: string;
};

export type FilterView = { readonly kind: string; readonly text: string };

export type RetryView = {
  /** Tries after the first. */
  readonly limit: number;
  /** `500-599` and single statuses. */
  readonly statuses: readonly string[];
  readonly perTryMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  readonly budgetPercent: number;
};

export type BackendView = {
  readonly backend: string;
  readonly weight: number;
  /** Of the requests that get this far. */
  readonly percent: number;
  /** `none`: weight 0 or behind another. */
  readonly state: "ready" | "no-endpoints" | "invalid" | "none";
  /** Authority, addresses or function. Empty for what leads nowhere. */
  readonly to: string;
  /** Empty: what the client speaks, as far as its endpoints do. */
  readonly speaks: "" | "HTTP/1.1" | "HTTP/2";
  readonly endpoints: number;
  /** How many of them are reached by mutual TLS. */
  readonly meshed: number;
  readonly reason: string;
  readonly filters: readonly FilterView[];
};

export type InboundView = {
  readonly backend: string;
  /** `namespace/name` of pods, or an address that is no pod's. */
  readonly pods: readonly string[];
  readonly port: number;
  /** Whether a sidecar stands in front and enforces anything. */
  readonly enforced: boolean;
  /** `server backend-a-http`, `default all-unauthenticated`. */
  readonly server: string;
  /** How the route was found, in one line. */
  readonly route: string;
  readonly considered: readonly EntryView[];
  /** Each that was tried, with the first condition that the client does not meet. */
  readonly authorizations: readonly AdmissionView[];
  readonly admitted: boolean;
  /** Admitted, and would be denied if the policies were enforced. */
  readonly audited: boolean;
  /** The authorization that admits, or why none does. */
  readonly reason: string;
  /** What is let through of more such requests; empty: all. */
  readonly rateLimit: string;
  readonly filters: readonly FilterView[];
};

export type ConditionView = {
  readonly object: string;
  /** Empty for conditions of the object itself. */
  readonly parent: string;
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
};
