import type { Cidr } from "../std/ip.ts";
import type { Meta } from "./meta.ts";
import type { TokenRule } from "./token.ts";

export type Network = { readonly net: Cidr; readonly except: readonly Cidr[] };

export type Authentication =
  | { readonly kind: "unauthenticated" }
  /** Mutual TLS ended by this proxy, whoever the client is. */
  | { readonly kind: "tls" }
  /** `suffixes` are name endings with their dot (`.demo.serviceaccount.identity.…`); the empty one admits every identity. */
  | {
      readonly kind: "identities";
      readonly identities: readonly string[];
      readonly suffixes: readonly string[];
    };

/** Admits a client that is in one of the networks, passes the authentication and, where tokens are asked for, sends them all. */
export type Authorization = {
  readonly meta: Meta;
  readonly networks: readonly Network[];
  readonly authentication: Authentication;
  /** Absent: none. A connection whose bytes are not HTTP has no tokens. */
  readonly tokens?: readonly TokenRule[];
};
