/** The small parts that every message is made of. */
import { create, toJson } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import test from "ava";
import { defaultMeta, resourceMeta } from "../../../src/core/model/meta.ts";
import { noProfile } from "../../../src/core/model/profile.ts";
import { defaultRetryBudget } from "../../../src/core/model/retry.ts";
import { formatCidr, parseIp } from "../../../src/core/std/ip.ts";
import { decode, maxDecodeFaults, report, under } from "../../../src/core/wire/decode.ts";
import {
  fromWireDuration,
  maxDurationMs,
  toWireDuration,
} from "../../../src/core/wire/duration.ts";
import { DestinationProfileSchema } from "../../../src/core/wire/gen/linkerd/destination_pb.ts";
import { MetadataSchema } from "../../../src/core/wire/gen/linkerd/meta_pb.ts";
import { IPAddressSchema, IPNetworkSchema } from "../../../src/core/wire/gen/linkerd/net_pb.ts";
import { fromWireMeta, toWireMeta } from "../../../src/core/wire/meta.ts";
import { fromWireIp, fromWireNetwork, toWireIp } from "../../../src/core/wire/net.ts";
import { fromOctets, toOctets } from "../../../src/core/wire/octets.ts";
import { toWireProfile } from "../../../src/core/wire/profile.ts";

test("under() and report() say where a fault is", (t) => {
  const { value, faults } = decode((trace) =>
    report(under(under(under(trace, "routes", 1), "rules", 0), "path"), "has no kind"),
  );
  t.is(value, "routes[1].rules[0].path: has no kind");
  t.deepEqual(faults, [{ path: "routes[1].rules[0].path", reason: "has no kind" }]);
});

test("report() stops to count after the limit", (t) => {
  const { faults } = decode((trace) => {
    for (let at = 0; at < maxDecodeFaults + 10; at++) report(trace, "is broken");
  });
  t.is(faults.length, maxDecodeFaults);
});

test("toWireIp() writes 10.0.0.1 as 0x0A000001 and IPv6 as two halves", (t) => {
  const wire = (text: string): unknown => {
    const ip = parseIp(text);
    return ip && create(IPAddressSchema, toWireIp(ip)).ip;
  };
  t.deepEqual(wire("10.0.0.1"), { case: "ipv4", value: 0x0a000001 });
  t.like(wire("2001:db8::ffff:1"), {
    case: "ipv6",
    value: { first: 0x20010db8_00000000n, last: 0xffff_0001n },
  });
});

test("fromWireIp() knows no address without a number", (t) => {
  t.is(fromWireIp(undefined), undefined);
  t.is(fromWireIp(create(IPAddressSchema)), undefined);
});

test("fromWireNetwork() reads an IPv4 network that is written as IPv6", (t) => {
  const network = (prefixLen: number): string | undefined => {
    const ip = { ip: { case: "ipv6", value: { first: 0n, last: 0xffff_0a00_0000n } } } as const;
    const read = fromWireNetwork(create(IPNetworkSchema, { ip, prefixLen }));
    return read && formatCidr(read);
  };
  t.is(network(104), "10.0.0.0/8");
  t.is(network(128), "10.0.0.0/32");
  t.is(network(129), undefined);
});

test("toWireMeta() spells the core group out", (t) => {
  const meta = resourceMeta({ group: "", kind: "Service", namespace: "demo", name: "a" });
  t.like(toWireMeta(meta).kind, { case: "resource", value: { group: "core" } });
});

test("fromWireMeta() has a name for what came without one", (t) => {
  t.deepEqual(decode((trace) => fromWireMeta(undefined, trace)).value, defaultMeta("unnamed"));
  t.deepEqual(decode((trace) => fromWireMeta(create(MetadataSchema), trace)).faults, [
    { path: "", reason: "is missing" },
  ]);
});

test("fromWireMeta() notes a resource without a name and a port that is none", (t) => {
  const message = create(MetadataSchema, {
    kind: { case: "resource", value: { kind: "Service", port: 70_000 } },
  });
  const { value, faults } = decode((trace) => fromWireMeta(message, trace));
  t.like(value, { kind: "Service", name: "", port: 0 });
  t.is(faults.length, 2);
});

test("fromWireDuration() rounds up, so that a short limit stays one", (t) => {
  const read = (seconds: bigint, nanos: number): number | undefined =>
    fromWireDuration(create(DurationSchema, { seconds, nanos }));
  t.is(read(0n, 1), 1);
  t.is(read(1n, 500_000_000), 1_500);
  t.is(read(0n, 0), 0);
  t.is(read(-1n, 0), undefined);
  t.is(read(1n << 62n, 0), maxDurationMs);
});

test("toWireDuration() keeps milliseconds", (t) => {
  t.deepEqual(toWireDuration(1_001), { seconds: 1n, nanos: 1_000_000 });
  t.deepEqual(toWireDuration(0), { seconds: 0n, nanos: 0 });
});

test("fromOctets() reads each octet as a character, and toOctets() writes UTF-8", (t) => {
  t.is(fromOctets(Uint8Array.of(0x61, 0xff)), "a\u00ff");
  t.deepEqual([...toOctets("aé")], [0x61, 0xc3, 0xa9]);
});

const budget = { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: "10s" };

test("toWireProfile() is the default profile of a Service", (t) => {
  const parent = resourceMeta({ group: "core", kind: "Service", namespace: "demo", name: "a" });
  const name = "a.demo.svc.cluster.local";
  const json = toJson(
    DestinationProfileSchema,
    toWireProfile({ ...noProfile, name, parent, budget: defaultRetryBudget }),
  );
  t.like(json, { fullyQualifiedName: name, parentRef: { resource: { name: "a" } } });
  t.is(JSON.stringify((json as { retryBudget: unknown }).retryBudget), JSON.stringify(budget));
});

test("toWireProfile() names the one endpoint of an address", (t) => {
  const endpoint = {
    ip: "10.0.0.1",
    port: 80,
    weight: 1,
    tls: undefined,
    inboundPort: 0,
    hint: "none",
    labels: {},
  } as const;
  const profile = toWireProfile({ ...noProfile, endpoint, opaque: true });
  t.true(profile.opaqueProtocol);
  t.is(profile.endpoint?.addr?.port, 80);
});

test("toWireProfile() is empty for what is not known", (t) => {
  t.deepEqual(toJson(DestinationProfileSchema, toWireProfile(noProfile)), {});
});
