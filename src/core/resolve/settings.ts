import type { AccessPolicy } from "../resource/server.ts";
import type { Cidr } from "../std/ip.ts";

/** What the operator decides once for the whole mesh. Every answer of this folder is a function of a store and these. */
export type ResolveSettings = {
  /** Last labels of each Service's name: `cluster.local`. */
  readonly clusterDomain: string;
  /** What counts as inside: `cluster-*` policies admit from here, and addresses elsewhere are egress. */
  readonly clusterNetworks: readonly Cidr[];
  /** For ports that no Server speaks for. */
  readonly defaultInboundPolicy: AccessPolicy;
  /** Pods with this value in the label `linkerd.io/control-plane-ns` are meshed by us. */
  readonly controlNamespace: string;
  readonly trustDomain: string;
  /**
   * Why a regular expression cannot be used, or undefined when it can. The engine belongs to the data plane's decisions,
   * which this folder does not import.
   */
  readonly checkPattern: (source: string) => string | undefined;
};

/** A policy, or why there is none to give. */
export type Resolution<T> = { readonly policy: T } | { readonly unknown: string };
