import test from "ava";
import { findEgress, overlapOf } from "../../../src/core/resolve/egress.ts";
import { readBrokenStore, readStore, settings } from "./world.ts";

function network(name: string, namespace: string, spec: string, created = "2024"): string {
  return `---
apiVersion: policy.linkerd.io/v1alpha1
kind: EgressNetwork
metadata: { name: ${name}, namespace: ${namespace}, creationTimestamp: "${created}-01-01T00:00:00Z" }
spec: { trafficPolicy: Deny${spec} }
`;
}

const cidr = (...networks: readonly string[]): string =>
  `, networks: [${networks.map((one) => `{ cidr: ${one} }`).join(", ")}]`;

function found(texts: readonly string[], ip: string, namespace = "demo"): string | undefined {
  const egress = findEgress(readBrokenStore(...texts), settings, ip, namespace);
  if (egress === undefined) return undefined;
  return egress.kind === "broken"
    ? `broken ${egress.network.name}`
    : `${egress.network.meta.namespace}/${egress.network.meta.name}`;
}

test("findEgress() takes the smallest network, then the oldest, then the first by name", (t) => {
  const texts = [
    network("all", "demo", "", "2020"),
    network("wide", "demo", cidr("93.0.0.0/8")),
    network("old", "demo", cidr("93.1.0.0/16"), "2021"),
    network("new", "demo", cidr("93.1.0.0/16"), "2022"),
    network("b", "demo", cidr("94.1.0.0/16"), "2022"),
    network("a", "demo", cidr("94.1.0.0/16"), "2022"),
  ];
  t.is(found(texts, "93.1.2.3"), "demo/old");
  t.is(found(texts, "93.2.2.3"), "demo/wide");
  t.is(found(texts, "94.1.2.3"), "demo/a");
  t.is(found(texts, "1.1.1.1"), "demo/all");
  t.is(found(texts, "2001:db8::1"), "demo/all");
});

test("findEgress() asks the client's namespace, then linkerd-egress, and no other", (t) => {
  const texts = [
    network("own", "demo", cidr("93.0.0.0/8")),
    network("global", "linkerd-egress", cidr("93.1.0.0/16", "94.0.0.0/8")),
    network("foreign", "other", ""),
  ];
  t.is(found(texts, "93.1.2.3"), "demo/own");
  t.is(found(texts, "94.1.2.3"), "linkerd-egress/global");
  t.is(found(texts, "95.1.2.3"), undefined);
});

test("findEgress() leaves exceptions out", (t) => {
  const texts = [network("a", "demo", ", networks: [{ cidr: 93.0.0.0/8, except: [93.1.0.0/16] }]")];
  t.is(found(texts, "93.2.0.1"), "demo/a");
  t.is(found(texts, "93.1.0.1"), undefined);
});

test("findEgress() names what cannot be read, since it may have meant the address", (t) => {
  const texts = [network("a", "demo", cidr("93.0.0.0/8")), network("b", "demo", cidr("nowhere"))];
  t.is(found(texts, "93.2.0.1"), "broken b");
  t.is(found([network("b", "other", cidr("nowhere"))], "93.2.0.1"), undefined);
});

test("overlapOf() refuses a network that takes in addresses of the cluster, and findEgress() passes it over", (t) => {
  const overlaps = (spec: string): boolean => {
    const store = readStore(network("a", "demo", spec));
    return [...store.egressNetworks.values()].some((one) => overlapOf(settings, one) !== undefined);
  };
  t.true(overlaps(cidr("10.1.0.0/16")));
  t.true(overlaps(cidr("0.0.0.0/0")));
  t.false(overlaps(""));
  t.false(overlaps(cidr("93.0.0.0/8")));
  t.false(overlaps(", networks: [{ cidr: 0.0.0.0/0, except: [10.0.0.0/8] }]"));
  t.is(found([network("a", "demo", cidr("0.0.0.0/0"))], "93.2.0.1"), undefined);
});
