/** A client is led back to the endpoint that answered it first (Gateway API GEP-1619). The scope is the rule. */
export type SessionPersistence = {
  readonly type: "cookie" | "header";
  /** Of the cookie or the header. */
  readonly name: string;
  readonly cookiePath: string;
  /** A permanent cookie outlives the browser; it needs `absoluteMs`. */
  readonly lifetime: "session" | "permanent";
  /** 0: no limit. */
  readonly absoluteMs: number;
  /** 0: no limit. */
  readonly idleMs: number;
};
