/** What is known of a caller's token, whoever looked at it: a key of our own, or the cluster's token review. */
export type TokenVerdict =
  /** `username` is Kubernetes' name for the account, not yet read. */
  | { readonly kind: "authenticated"; readonly username: string }
  /** Not a token at all. */
  | { readonly kind: "malformed"; readonly reason: string }
  /** A token, but not one that proves anything here and now. */
  | { readonly kind: "refused"; readonly reason: string }
  /** Nobody could tell. */
  | { readonly kind: "unknown"; readonly reason: string };
