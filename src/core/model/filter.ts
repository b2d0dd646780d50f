import type { Backend } from "./backend.ts";

/** What a rule does to a request or a response before it goes on (Gateway API HTTPRouteFilter). */
export type HeaderValue = { readonly name: string; readonly value: string };

/** Applied in the order remove, set, add: one name in two lists then has one defined outcome. */
export type HeaderModifier = {
  readonly set: readonly HeaderValue[];
  readonly add: readonly HeaderValue[];
  readonly remove: readonly string[];
};

export type PathModifier = { readonly kind: "full" | "prefix"; readonly value: string };

/** Empty strings, 0 and undefined keep what the request had. */
export type Redirect = {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: PathModifier | undefined;
  readonly status: number;
};

/** Answers in place of a backend. `numerator` of `denominator` requests are hit; the others go on. */
export type FailureInjector = {
  readonly status: number;
  readonly message: string;
  readonly numerator: number;
  readonly denominator: number;
  /** What a gRPC client is told; absent: what `status` means there. */
  readonly grpcStatus?: number;
};

/** Empty host and undefined path keep what the request had. */
export type UrlRewrite = { readonly host: string; readonly path: PathModifier | undefined };

/** A copy of the request goes to one endpoint of the backend, and what comes back is thrown away. */
export type Mirror = {
  readonly backend: Backend;
  readonly numerator: number;
  readonly denominator: number;
};

/** Gateway API HTTPCORSFilter. `*` stands alone in its list. */
export type Cors = {
  /** `scheme://host[:port]`; a `*` at the start of the host takes any number of labels; `*` alone takes every origin. */
  readonly origins: readonly string[];
  readonly credentials: boolean;
  readonly methods: readonly string[];
  /** Lower-case names. */
  readonly headers: readonly string[];
  readonly exposed: readonly string[];
  readonly maxAgeSeconds: number;
};

/** Gateway API HTTPExternalAuthFilter: somebody else is asked first. No answer is a refusal. */
export type ExternalAuth = {
  readonly protocol: "http" | "grpc";
  readonly backend: Backend;
  /** Put in front of the path of the request; HTTP only. */
  readonly pathPrefix: string;
  /** Lower-case names. HTTP: sent beside those that always are. gRPC: only these, or all when empty. */
  readonly requestHeaders: readonly string[];
  /** Which headers of the answer go on to the backend; empty: all but Host. HTTP only. */
  readonly responseHeaders: readonly string[];
  /** 0: the body is not shown. A longer body than this is refused with 413. */
  readonly maxBodyBytes: number;
};

export type DirectResponse = {
  readonly status: number;
  readonly body: string;
  readonly contentType: string;
};

/** Makes `numerator` of `denominator` requests wait before they go on. */
export type Delay = {
  readonly delayMs: number;
  readonly numerator: number;
  readonly denominator: number;
};

export type Filter =
  | { readonly kind: "request-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "response-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "redirect"; readonly redirect: Redirect }
  | { readonly kind: "failure"; readonly failure: FailureInjector }
  | { readonly kind: "url-rewrite"; readonly rewrite: UrlRewrite }
  | { readonly kind: "mirror"; readonly mirror: Mirror }
  | { readonly kind: "cors"; readonly cors: Cors }
  | { readonly kind: "external-auth"; readonly auth: ExternalAuth }
  | { readonly kind: "direct-response"; readonly response: DirectResponse }
  | { readonly kind: "delay"; readonly delay: Delay };

/** The form in which a broken part of a policy answers for its own requests: always, with its reason. */
export function failAlways(status: number, message: string): Filter {
  return { kind: "failure", failure: { status, message, numerator: 1, denominator: 1 } };
}
