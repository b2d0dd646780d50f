/** What a route asks of a request (Gateway API HTTPRouteMatch, HTTPHeaderMatch, HTTPQueryParamMatch). */
export type PathMatch = {
  readonly kind: "exact" | "prefix" | "regex";
  readonly value: string;
};

export type ValueMatch = {
  readonly name: string;
  readonly kind: "exact" | "regex";
  readonly value: string;
};

export type HttpMatch = {
  readonly path: PathMatch;
  /** Lower-case names, each once. */
  readonly headers: readonly ValueMatch[];
  /** Case-sensitive names, each once. */
  readonly queryParams: readonly ValueMatch[];
  /** Empty: any method. */
  readonly method: string;
  /** What a ServiceProfile asks beside (linkerd.io/v1alpha2, `routes[].condition`). No message of a policy can carry it. */
  readonly condition?: RequestCondition;
  /** Of a gRPC route: what `path` and `method` were made of, which decides its place among others (see rpc-match). */
  readonly rpc?: RpcMatch;
  /**
   * Set when a part of the match could not be read: why. What is left then takes in more requests than was meant, so it ranks above every other
   * match and answers 500, lest a request that it was to catch be judged by a weaker rule.
   */
  readonly unreadable?: string;
};

/** `all` of nothing holds, `any` of nothing does not. A path pattern is a regular expression of the whole path; one of an RPC is one of a segment of it. */
export type RequestCondition =
  | { readonly kind: "path"; readonly pattern: string }
  | { readonly kind: "method"; readonly method: string }
  | { readonly kind: "rpc-service" | "rpc-method"; readonly pattern: string }
  | { readonly kind: "all" | "any"; readonly of: readonly RequestCondition[] }
  | { readonly kind: "not"; readonly of: RequestCondition };

/** Gateway API GRPCMethodMatch: the two segments of the path of a gRPC request. */
export type RpcMatch = { readonly service: RpcName; readonly method: RpcName };

/** `any`: its value is empty. */
export type RpcName = { readonly kind: "any" | "exact" | "regex"; readonly value: string };

/** `suffix` holds the labels of `*.example.com` without the star: `example.com`. */
export type HostMatch = {
  readonly kind: "exact" | "suffix";
  readonly value: string;
};

/** Gateway API: a rule without matches, and a match without a path, takes every path. */
export const everyPath: PathMatch = { kind: "prefix", value: "/" };

export const everyRequest: HttpMatch = {
  path: everyPath,
  headers: [],
  queryParams: [],
  method: "",
};
