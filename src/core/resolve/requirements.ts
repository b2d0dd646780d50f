/**
 * What several requirements ask together. Networks and identities that have to fit all at once are networks and identities again, so that the contract
 * carries them as they are and every reader of it is right about them.
 */
import type { Authentication, Network } from "../model/authorization.ts";
import { type Cidr, cidrContains, formatCidr } from "../std/ip.ts";

type Clients = Extract<Authentication, { readonly kind: "identities" }>;

/**
 * Each pair of networks may leave one, so that lists of many exceptions multiply. Clusters name some dozens; beyond this a policy admits nobody and says so.
 */
export const maxCommonNetworks = 1_000;

/** The networks that are in both lists. Of two networks, one holds the other or they have nothing in common. */
export function commonNetworks(
  left: readonly Network[],
  right: readonly Network[],
): readonly Network[] {
  const found = new Map<string, Network>();
  for (const one of left) {
    for (const other of right) {
      const common = commonNetwork(one, other);
      if (common !== undefined) found.set(textOf(common), common);
      if (found.size > maxCommonNetworks) return [...found.values()];
    }
  }
  return [...found.values()];
}

function commonNetwork(one: Network, other: Network): Network | undefined {
  const net = smaller(one.net, other.net);
  if (net === undefined) return undefined;
  const holes = [...one.except, ...other.except];
  if (holes.some((hole) => covers(hole, net))) return undefined;
  return { net, except: holes.filter((hole) => covers(net, hole)) };
}

function smaller(one: Cidr, other: Cidr): Cidr | undefined {
  if (covers(one, other)) return other;
  return covers(other, one) ? one : undefined;
}

function covers(outer: Cidr, inner: Cidr): boolean {
  return outer.prefix <= inner.prefix && cidrContains(outer, inner.ip);
}

function textOf({ net, except }: Network): string {
  return [net, ...except].map(formatCidr).join(" ");
}

/** The identities that are in both lists: names of one that the other takes, and of two endings the longer one. */
export function commonIdentities(left: Clients, right: Clients): Clients {
  const identities = [
    ...left.identities.filter((name) => takes(right, name)),
    ...right.identities.filter((name) => takes(left, name)),
  ];
  const suffixes = left.suffixes.flatMap((one) =>
    right.suffixes.flatMap((other) => {
      if (one.endsWith(other)) return [one];
      return other.endsWith(one) ? [other] : [];
    }),
  );
  return {
    kind: "identities",
    identities: [...new Set(identities)],
    suffixes: [...new Set(suffixes)],
  };
}

/** As the data plane judges it (decide/admit.ts): an ending is one of DNS names, and the empty one fits all identities. */
function takes({ identities, suffixes }: Clients, name: string): boolean {
  return (
    identities.includes(name) ||
    suffixes.some((suffix) => suffix === "" || (name.endsWith(suffix) && !name.includes("/")))
  );
}
