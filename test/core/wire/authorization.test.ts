import { create } from "@bufbuild/protobuf";
import test from "ava";
import type { Authorization } from "../../../src/core/model/authorization.ts";
import { formatCidr } from "../../../src/core/std/ip.ts";
import { fromWireAuthorizations } from "../../../src/core/wire/authorization.ts";
import { type Decoded, decode } from "../../../src/core/wire/decode.ts";
import {
  type AuthnSchema,
  AuthzSchema,
  type NetworkSchema,
} from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import type { Init } from "./init.ts";

type AuthzInit = Init<typeof AuthzSchema>;

const net = { ip: { ip: { case: "ipv4" as const, value: 0x0a000000 } }, prefixLen: 8 };
const good = {
  networks: [{ net }],
  authentication: { permit: { case: "unauthenticated" as const, value: {} } },
  metadata: { kind: { case: "default" as const, value: "a" } },
};

function read(init: AuthzInit): Decoded<readonly Authorization[]> {
  return decode((trace) => fromWireAuthorizations([create(AuthzSchema, init)], trace));
}

test("fromWireAuthorizations() reads one that is whole", (t) => {
  t.is(read(good).value.length, 1);
  t.deepEqual(read(good).faults, []);
});

const dropped = test.macro({
  exec: (t, part: AuthzInit) => {
    const { value, faults } = read({ ...good, ...part });
    t.deepEqual(value, []);
    t.true(faults.length > 0);
  },
  title: (given) => `fromWireAuthorizations() drops one ${given}`,
});

const authn = (permit: Init<typeof AuthnSchema>["permit"]): AuthzInit => ({
  authentication: { permit: permit ?? { case: undefined } },
});
const networks = (network: Init<typeof NetworkSchema>): AuthzInit => ({
  networks: [network],
});

test("without networks", dropped, { networks: [] });
test("whose only network is empty", dropped, networks({}));
test("whose only network has no address", dropped, networks({ net: { prefixLen: 8 } }));
test(
  "whose only network has too long a prefix",
  dropped,
  networks({ net: { ...net, prefixLen: 33 } }),
);
test("whose network has an exception that is none", dropped, networks({ net, except: [{}] }));
test("with an authentication of no kind", dropped, authn({ case: undefined }));
test("with mesh TLS for clients of no kind", dropped, authn({ case: "meshTLS", value: {} }));

test("fromWireAuthorizations() drops one without authentication", (t) => {
  t.deepEqual(read({ networks: good.networks }).value, []);
});

test("fromWireAuthorizations() keeps the networks that can be read", (t) => {
  const { value, faults } = read({ ...good, networks: [{}, { net, except: [net] }] });
  t.deepEqual(
    value[0]?.networks.map((network) => formatCidr(network.net)),
    ["10.0.0.0/8"],
  );
  t.is(faults.length, 1);
});

test("fromWireAuthorizations() admits nobody by empty names", (t) => {
  const identities = [{ name: "" }, { name: "a" }];
  const suffixes = [[""], ["a", ""], [".a"], ["a", "b"]].map((parts) => ({ parts }));
  const permit = authn({
    case: "meshTLS",
    value: { clients: { case: "identities", value: { identities, suffixes } } },
  });
  const { value, faults } = read({ ...good, ...permit });
  t.deepEqual(value[0]?.authentication, {
    kind: "identities",
    identities: ["a"],
    suffixes: [".a.b"],
  });
  t.is(faults.length, 1);
});

test("fromWireAuthorizations() names one without metadata by its labels", (t) => {
  const nameOf = (labels: Record<string, string>): unknown =>
    read({ networks: good.networks, authentication: good.authentication, labels }).value[0]?.meta;
  t.like(nameOf({ group: "g", kind: "k", name: "n" }), {
    type: "resource",
    group: "g",
    kind: "k",
    name: "n",
  });
  t.deepEqual(nameOf({ group: "", kind: "default", name: "n" }), { type: "default", name: "n" });
  t.deepEqual(nameOf({}), { type: "default", name: "unnamed" });
});
