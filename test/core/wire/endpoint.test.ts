import { create } from "@bufbuild/protobuf";
import test from "ava";
import type { Endpoint, EndpointSet } from "../../../src/core/model/endpoint.ts";
import { decode } from "../../../src/core/wire/decode.ts";
import {
  applyUpdate,
  fromWireEndpoint,
  maxEndpoints,
  toWireUpdates,
} from "../../../src/core/wire/endpoint.ts";
import {
  type Update,
  UpdateSchema,
  WeightedAddrSchema,
} from "../../../src/core/wire/gen/linkerd/destination_pb.ts";
import type { Init } from "./init.ts";

const missing: EndpointSet = { exists: false, endpoints: [] };
const empty: EndpointSet = { exists: true, endpoints: [] };

function endpoint(ip: string, parts: Partial<Endpoint> = {}): Endpoint {
  return {
    ip,
    port: 80,
    weight: 10_000,
    tls: undefined,
    inboundPort: 0,
    hint: "none",
    labels: {},
    ...parts,
  };
}

function set(...endpoints: readonly Endpoint[]): EndpointSet {
  return { exists: true, endpoints };
}

const [one, two, three] = [endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("::1")];

/** `add 2`, `remove 1`, `exists true`. */
function summary(updates: readonly Update[]): readonly string[] {
  return updates.map(({ update }) =>
    update.case === "noEndpoints"
      ? `exists ${update.value.exists}`
      : `${update.case} ${update.value?.addrs.length}`,
  );
}

const tells = test.macro({
  exec: (t, previous: EndpointSet | undefined, next: EndpointSet, updates: readonly string[]) => {
    t.deepEqual(summary(toWireUpdates(previous, next)), updates);
  },
  title: (given) => `toWireUpdates() ${given}`,
});

test("tells everything first", tells, undefined, set(one, two), ["add 2"]);
test("tells at once that a Service is empty", tells, undefined, empty, ["exists true"]);
test("tells that a Service is not there", tells, undefined, missing, ["exists false"]);
test("tells that a Service has become empty", tells, set(one), empty, ["exists true"]);
test("tells that a Service has gone", tells, set(one), missing, ["exists false"]);
test("tells that an empty Service has gone", tells, empty, missing, ["exists false"]);
test("tells that a Service has come, and is empty", tells, missing, empty, ["exists true"]);
test("tells what is new", tells, set(one), set(one, two), ["add 1"]);
test("tells what is gone", tells, set(one, two), set(two), ["remove 1"]);
test("tells what is new before what is gone", tells, set(one), set(two, three), [
  "add 2",
  "remove 1",
]);
test("tells nothing when nothing has changed", tells, set(one, two), set(two, one), []);
test("tells nothing twice about an empty Service", tells, empty, empty, []);
for (const [name, parts] of Object.entries({
  weight: { weight: 1 },
  tls: { tls: { identity: "a", serverName: "a" } },
  "inbound port": { inboundPort: 4143 },
  hint: { hint: "h2" },
  labels: { labels: { zone: "a" } },
} satisfies Record<string, Partial<Endpoint>>)) {
  test(
    `tells that the ${name} of an endpoint has changed`,
    tells,
    set(one),
    set(endpoint(one.ip, parts)),
    ["add 1"],
  );
}

test("toWireUpdates() tells an address once that is there twice", (t) => {
  t.deepEqual(summary(toWireUpdates(undefined, set(one, one))), ["add 1"]);
});

test("applyUpdate() ignores an update of no kind and an addition of nothing", (t) => {
  const nothing = create(UpdateSchema, { update: { case: "add", value: {} } });
  t.deepEqual(applyUpdate(missing, nothing), { value: missing, faults: [] });
  const unknown = applyUpdate(set(one), create(UpdateSchema));
  t.deepEqual(unknown.value, set(one));
  t.is(unknown.faults.length, 1);
});

type Addr = Init<typeof WeightedAddrSchema>;

const addr = { ip: { ip: { case: "ipv4" as const, value: 0x0a000001 } }, port: 80 };

function add(...addrs: readonly Addr[]): Update {
  return create(UpdateSchema, { update: { case: "add", value: { addrs: [...addrs] } } });
}

test("applyUpdate() forgets an address whose new description cannot be used", (t) => {
  const { value, faults } = applyUpdate(set(one, two), add({ addr, tlsIdentity: {} }));
  t.deepEqual(value, set(two));
  t.is(faults.length, 1);
});

test("applyUpdate() puts the labels of the set below those of the address", (t) => {
  const update = create(UpdateSchema, {
    update: {
      case: "add",
      value: {
        addrs: [{ addr, metricLabels: { pod: "a", zone: "z" } }],
        metricLabels: { zone: "y", service: "s" },
      },
    },
  });
  t.deepEqual(applyUpdate(missing, update).value.endpoints[0]?.labels, {
    zone: "z",
    service: "s",
    pod: "a",
  });
});

test("applyUpdate() keeps no more endpoints than the limit, and says so", (t) => {
  const addrs = Array.from({ length: maxEndpoints + 5 }, (_, at) => ({
    addr: { ip: { ip: { case: "ipv4" as const, value: at } }, port: 80 },
  }));
  const { value, faults } = applyUpdate(missing, add(...addrs));
  t.is(value.endpoints.length, maxEndpoints);
  t.is(faults.length, 1);
  const known = applyUpdate(value, add({ addr: addrs[0]?.addr ?? addr, weight: 7 }));
  t.is(known.value.endpoints[0]?.weight, 7);
  t.deepEqual(known.faults, []);
});

function read(init: Addr): Endpoint | undefined {
  return decode((trace) => fromWireEndpoint(create(WeightedAddrSchema, init), trace)).value;
}

const leftOut = test.macro({
  exec: (t, parts: Addr) => {
    t.is(read({ addr, ...parts }), undefined);
  },
  title: (given) => `fromWireEndpoint() leaves out ${given}`,
});
test("an address without a number", leftOut, { addr: { port: 80 } });
test("port 0", leftOut, { addr: { ...addr, port: 0 } });
test("a port beyond 65535", leftOut, { addr: { ...addr, port: 65_616 } });
test("an identity of no kind", leftOut, { tlsIdentity: {} });
test("an empty identity", leftOut, {
  tlsIdentity: { strategy: { case: "dnsLikeIdentity", value: {} }, serverName: { name: "a" } },
});
test("a URI without a server name", leftOut, {
  tlsIdentity: { strategy: { case: "uriLikeIdentity", value: { uri: "spiffe://a/b" } } },
});
test("a gateway of another cluster", leftOut, { authorityOverride: { authorityOverride: "a:80" } });
test("an inbound port that is none", leftOut, { protocolHint: { opaqueTransport: {} } });

test("fromWireEndpoint() takes the DNS identity for the server name", (t) => {
  const strategy = { case: "dnsLikeIdentity", value: { name: "a.demo" } } as const;
  t.deepEqual(read({ addr, tlsIdentity: { strategy } })?.tls, {
    identity: "a.demo",
    serverName: "a.demo",
  });
});

test("fromWireEndpoint() reads an IPv4 address that is written as IPv6", (t) => {
  const ip = { ip: { case: "ipv6", value: { first: 0n, last: 0xffff_0a00_0001n } } } as const;
  t.is(read({ addr: { ip, port: 80 } })?.ip, "10.0.0.1");
});
