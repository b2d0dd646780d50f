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
};

export type Filter =
  | { readonly kind: "request-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "response-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "redirect"; readonly redirect: Redirect }
  | { readonly kind: "failure"; readonly failure: FailureInjector };

/** The form in which a broken part of a policy answers for its own requests: always, with its reason. */
export function failAlways(status: number, message: string): Filter {
  return { kind: "failure", failure: { status, message, numerator: 1, denominator: 1 } };
}
