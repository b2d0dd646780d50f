import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ExecutionContext } from "ava";
import test from "ava";
import * as destination from "../../src/core/wire/gen/linkerd/destination_pb.ts";
import * as httpRoute from "../../src/core/wire/gen/linkerd/http_route_pb.ts";
import * as httpTypes from "../../src/core/wire/gen/linkerd/http_types_pb.ts";
import * as identity from "../../src/core/wire/gen/linkerd/identity_pb.ts";
import * as inbound from "../../src/core/wire/gen/linkerd/inbound_pb.ts";
import * as meta from "../../src/core/wire/gen/linkerd/meta_pb.ts";
import * as net from "../../src/core/wire/gen/linkerd/net_pb.ts";
import * as outbound from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import * as transportHeader from "../../src/core/wire/gen/linkerd/transport_header_pb.ts";

/** The reader of protobuf that comes with the gRPC library: another implementation, fed with our .proto files. */
type ForeignType = {
  decode(bytes: Uint8Array): object;
  encode(message: object): { finish(): Uint8Array };
};
type ForeignRoot = {
  resolvePath: (origin: string, target: string) => string;
  loadSync(files: readonly string[], options: { keepCase: boolean }): ForeignRoot;
  lookupType(name: string): ForeignType;
};

function loadForeign(): ForeignRoot {
  const fromGrpc = createRequire(import.meta.resolve("@grpc/grpc-js"));
  const fromLoader = createRequire(fromGrpc.resolve("@grpc/proto-loader"));
  const { Root } = fromLoader("protobufjs") as { Root: new () => ForeignRoot };
  const proto = fileURLToPath(new URL("../../proto/", import.meta.url));
  const root = new Root();
  const wellKnown = fromLoader.resolve("protobufjs/package.json").replace("package.json", "");
  root.resolvePath = (_origin, target) =>
    join(target.startsWith("google/") ? wellKnown : proto, target);
  const names = ["destination", "identity", "inbound", "outbound", "transport_header"];
  return root.loadSync(
    names.map((name) => `linkerd/${name}.proto`),
    { keepCase: true },
  );
}

const foreign = loadForeign();

/** The bytes were put together by hand: tag (number times 8 plus wire type), then the value, lengths included. */
const wire = test.macro({
  exec<D extends DescMessage>(
    t: ExecutionContext,
    schema: D,
    value: MessageInitShape<D>,
    hex: string,
  ) {
    const bytes = Uint8Array.fromHex(hex.replaceAll(" ", ""));
    const message = create(schema, value);
    t.is(toBinary(schema, message).toHex(), bytes.toHex());
    t.deepEqual(fromBinary(schema, bytes), message);
    const other = foreign.lookupType(schema.typeName);
    t.is(Buffer.from(other.encode(other.decode(bytes)).finish()).toString("hex"), bytes.toHex());
  },
  title: (given) => `bytes: ${given}`,
});

test(
  "IPv4 is a big-endian number in a little-endian field",
  wire,
  net.TcpAddressSchema,
  { ip: { ip: { case: "ipv4", value: 0x0a000001 } }, port: 8080 },
  "0a 05 0d 01 00 00 0a 10 90 3f",
);
test(
  "the highest IPv4 address is not negative",
  wire,
  net.IPAddressSchema,
  { ip: { case: "ipv4", value: 4_294_967_295 } },
  "0d ff ff ff ff",
);
test(
  "0.0.0.0 is written although it is the default",
  wire,
  net.IPAddressSchema,
  { ip: { case: "ipv4", value: 0 } },
  "0d 00 00 00 00",
);
test(
  "IPv6 2001:db8::1 is two 64-bit halves",
  wire,
  net.IPAddressSchema,
  { ip: { case: "ipv6", value: { first: 0x2001_0db8_0000_0000n, last: 1n } } },
  "12 12 09 00 00 00 00 b8 0d 01 20 11 01 00 00 00 00 00 00 00",
);
test(
  "IPv6 with the highest bit set keeps all bits",
  wire,
  net.IPv6Schema,
  { first: 0xfe80_0000_0000_0000n, last: 0xffff_ffff_ffff_ffffn },
  "09 00 00 00 00 00 00 80 fe 11 ff ff ff ff ff ff ff ff",
);
test(
  ":: is an address, not an unset one",
  wire,
  net.IPAddressSchema,
  { ip: { case: "ipv6", value: {} } },
  "12 00",
);
test(
  "the method GET is written although it is zero",
  wire,
  httpTypes.HttpMethodSchema,
  { type: { case: "registered", value: httpTypes.HttpMethod_Registered.GET } },
  "08 00",
);
test(
  "the scheme HTTP is written although it is zero",
  wire,
  httpTypes.SchemeSchema,
  { type: { case: "registered", value: httpTypes.Scheme_Registered.HTTP } },
  "08 00",
);
test("an unset method is nothing", wire, httpTypes.HttpMethodSchema, {}, "");
test(
  "an empty prefix is written",
  wire,
  httpRoute.PathMatchSchema,
  { kind: { case: "prefix", value: "" } },
  "12 00",
);
test(
  "the value of a header match is bytes",
  wire,
  httpRoute.HeaderMatchSchema,
  { name: "x", value: { case: "exact", value: Uint8Array.of(0xff, 0x00) } },
  "0a 01 78 12 02 ff 00",
);
test(
  "an empty default of metadata is written",
  wire,
  meta.MetadataSchema,
  { kind: { case: "default", value: "" } },
  "0a 00",
);
test(
  "a distribution to nobody is written",
  wire,
  outbound.HttpRoute_DistributionSchema,
  { kind: { case: "empty", value: {} } },
  "0a 00",
);
test(
  "a filter that forbids is written",
  wire,
  outbound.TlsRoute_FilterSchema,
  { kind: { case: "forbidden", value: {} } },
  "12 00",
);
test(
  "the misspelled condition and the last one have their numbers",
  wire,
  outbound.GrpcRoute_Retry_ConditionsSchema,
  { deadineExceeded: true, unavailable: true },
  "20 01 70 01",
);
test(
  "a deprecated timeout keeps its number",
  wire,
  outbound.HttpRoute_RuleSchema,
  { requestTimeout: { seconds: 1n, nanos: 500_000_000 } },
  "22 08 08 01 10 80 ca b5 ee 01",
);
test(
  "a threshold is a double",
  wire,
  outbound.FailureAccrual_UnifiedSchema,
  { successRateThreshold: 0.5 },
  "09 00 00 00 00 00 00 e0 3f",
);
test(
  "jitter is a float",
  wire,
  outbound.ExponentialBackoffSchema,
  { jitterRatio: 1.5 },
  "1d 00 00 c0 3f",
);
test(
  "mesh TLS for anybody is two empty members in each other",
  wire,
  inbound.AuthnSchema,
  { permit: { case: "meshTLS", value: { clients: { case: "unauthenticated", value: {} } } } },
  "12 02 0a 00",
);
test(
  "a protocol without fields is written",
  wire,
  inbound.ProxyProtocolSchema,
  { kind: { case: "tls", value: {} } },
  "1a 00",
);
test(
  "labels are a map",
  wire,
  inbound.ServerSchema,
  { labels: { group: "x" } },
  "22 0a 0a 05 67 72 6f 75 70 12 01 78",
);
test(
  "a service that does not exist is written",
  wire,
  destination.UpdateSchema,
  { update: { case: "noEndpoints", value: { exists: false } } },
  "1a 00",
);
test(
  "opaque transport stands beside the protocol",
  wire,
  destination.ProtocolHintSchema,
  { protocol: { case: "h2", value: {} }, opaqueTransport: { inboundPort: 4143 } },
  "0a 00 12 03 08 af 20",
);
test(
  "the opaque hint has number 3",
  wire,
  destination.ProtocolHintSchema,
  { protocol: { case: "opaque", value: {} } },
  "1a 00",
);
test(
  "a certificate's end is seconds and nanoseconds",
  wire,
  identity.CertifyResponseSchema,
  { leafCertificate: Uint8Array.of(0x30), validUntil: { seconds: 300n } },
  "0a 01 30 1a 03 08 ac 02",
);
test(
  "a transport header names HTTP/2 by an empty message",
  wire,
  transportHeader.HeaderSchema,
  { port: 8080, sessionProtocol: { kind: { case: "http2", value: {} } } },
  "08 90 3f 1a 02 12 00",
);
test(
  "a negative port takes ten bytes",
  wire,
  transportHeader.HeaderSchema,
  { port: -1 },
  "08 ff ff ff ff ff ff ff ff ff 01",
);
test(
  "a filter of ours has a tag of two bytes",
  wire,
  outbound.HttpRoute_FilterSchema,
  { kind: { case: "urlRewrite", value: { host: "a", path: { case: "prefix", value: "" } } } },
  "c2 3e 05 0a 01 61 1a 00",
);
test(
  "the limit of one try stands beside those of Linkerd",
  wire,
  httpRoute.TimeoutsSchema,
  { idle: { seconds: 1n }, backendRequest: { seconds: 2n } },
  "1a 02 08 01 c2 3e 02 08 02",
);
test(
  "a function has the number behind static hosts",
  wire,
  outbound.BackendSchema,
  { kind: { case: "lambda", value: { name: "f", async: true } } },
  "ca 3e 05 1a 01 66 28 01",
);
