import test from "ava";
import fc from "fast-check";
import { findObstacle, type Peer } from "../../../src/core/decide/admit.ts";
import type { Authentication, Network } from "../../../src/core/model/authorization.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import {
  commonIdentities,
  commonNetworks,
  maxCommonNetworks,
} from "../../../src/core/resolve/requirements.ts";
import { parseCidr, parseIp } from "../../../src/core/std/ip.ts";

type Clients = Extract<Authentication, { readonly kind: "identities" }>;

const meta = defaultMeta("a");

function admits(networks: readonly Network[], authentication: Authentication, peer: Peer): boolean {
  return findObstacle({ meta, networks, authentication }, peer) === undefined;
}

function read<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("Wrote something that cannot be read");
  return value;
}

const cidr = fc
  .constantFrom(
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.128/25",
    "10.1.2.3/32",
    "10.2.0.0/16",
    "::/0",
    "fd00::/8",
    "fd00:1::/32",
    "fd00:1::1/128",
  )
  .map((text) => read(parseCidr(text)));
const networks = fc.array(fc.record({ net: cidr, except: fc.array(cidr, { maxLength: 2 }) }), {
  maxLength: 3,
});
const ip = fc
  .constantFrom(
    "10.1.2.3",
    "10.1.2.129",
    "10.1.3.1",
    "10.2.0.1",
    "192.0.2.1",
    "fd00:1::1",
    "fd00::1",
    "2001:db8::1",
  )
  .map((text) => read(parseIp(text)));

test("commonNetworks() has exactly the addresses that are in both lists", (t) => {
  fc.assert(
    fc.property(networks, networks, ip, (left, right, address) => {
      const peer = { ip: address, tls: false, identity: undefined };
      const open = (list: readonly Network[]): boolean =>
        admits(list, { kind: "unauthenticated" }, peer);
      t.is(open(commonNetworks(left, right)), open(left) && open(right));
    }),
    { numRuns: 2_000 },
  );
});

test("commonNetworks() stops when there are too many to hold", (t) => {
  const list = Array.from({ length: 100 }, (_, at) => ({
    net: read(parseCidr("10.0.0.0/8")),
    except: [read(parseCidr(`10.0.0.${at}`))],
  }));
  t.is(commonNetworks(list, list).length, maxCommonNetworks + 1);
});

const clients: fc.Arbitrary<Clients> = fc.record({
  kind: fc.constant("identities" as const),
  identities: fc.subarray(["a.prod.example", "b.example", "spiffe://x.prod.example/a.example"]),
  suffixes: fc.subarray(["", ".example", ".prod.example", ".other"], { maxLength: 2 }),
});
const identity = fc.constantFrom(
  "a.prod.example",
  "c.prod.example",
  "b.example",
  "x.other",
  "prod.example",
  "spiffe://x.prod.example/a.example",
);

test("commonIdentities() admits exactly those whom both lists admit", (t) => {
  const everywhere = commonNetworks(
    [{ net: read(parseCidr("0.0.0.0/0")), except: [] }],
    [{ net: read(parseCidr("0.0.0.0/0")), except: [] }],
  );
  fc.assert(
    fc.property(clients, clients, identity, (left, right, name) => {
      const peer = { ip: read(parseIp("10.0.0.1")), tls: true, identity: name };
      const open = (list: Clients): boolean => admits(everywhere, list, peer);
      t.is(open(commonIdentities(left, right)), open(left) && open(right));
    }),
    { numRuns: 2_000 },
  );
});
