/**
 * Linkerd's proxy refuses a policy as a whole when one message in it lacks something. These are its rules, as the tables of the contract have them,
 * held against every policy that the model allows.
 */
import { isMessage } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import test from "ava";
import fc from "fast-check";
import { toWireUpdates } from "../../../src/core/wire/endpoint.ts";
import { toWireInbound } from "../../../src/core/wire/inbound.ts";
import { toWireOutbound } from "../../../src/core/wire/outbound.ts";
import { anyEndpointSet } from "../../arbitrary/backend.ts";
import { anyInboundPolicy, anyOutboundPolicy } from "../../arbitrary/model.ts";

type Fields = Readonly<Record<string, unknown>>;
type Rule = (message: Fields) => boolean;

const has =
  (...fields: readonly string[]): Rule =>
  (message) =>
    fields.every((field) => message[field] !== undefined);
/** A member of the oneof is set. */
const chosen =
  (field: string): Rule =>
  (message) =>
    (message[field] as { case?: string }).case !== undefined;
const some =
  (field: string): Rule =>
  (message) =>
    (message[field] as unknown[]).length > 0;
const one =
  (field: string): Rule =>
  (message) =>
    (message[field] as unknown[]).length === 1;
const text =
  (...fields: readonly string[]): Rule =>
  (message) =>
    fields.every((field) => message[field] !== "");
const weighted: Rule = ({ backends }) =>
  (backends as { weight: number }[]).some(({ weight }) => weight > 0);

function nanos(duration: unknown): bigint {
  const { seconds, nanos: rest } = duration as Duration;
  return seconds * 1_000_000_000n + BigInt(rest);
}

const rules: Readonly<Record<string, readonly Rule[]>> = {
  "net.IPAddress": [chosen("ip")],
  "net.IPNetwork": [has("ip")],
  "net.TcpAddress": [has("ip"), ({ port }) => port !== 0],
  "meta.Metadata": [chosen("kind")],
  "meta.Resource": [text("group", "kind", "name", "namespace")],
  "http_types.HttpMethod": [chosen("type")],
  "http_types.Scheme": [chosen("type")],
  "http_route.HostMatch": [chosen("match")],
  "http_route.PathMatch": [chosen("kind")],
  "http_route.HeaderMatch": [chosen("value")],
  "http_route.QueryParamMatch": [chosen("value")],
  "http_route.PathModifier": [
    chosen("replace"),
    ({ replace }) => (replace as { value: string }).value.startsWith("/"),
  ],
  "http_route.Ratio": [({ denominator }) => denominator !== 0],
  "destination.WeightedAddr": [has("addr")],
  "destination.TlsIdentity": [chosen("strategy"), has("serverName")],
  "outbound.OutboundPolicy": [has("protocol", "metadata")],
  "outbound.ProxyProtocol": [chosen("kind")],
  "outbound.ProxyProtocol.Detect": [has("timeout", "opaque", "http1", "http2")],
  "outbound.ProxyProtocol.Opaque": [one("routes")],
  "outbound.HttpRoute": [has("metadata")],
  "outbound.HttpRoute.Rule": [
    has("backends"),
    ({ timeouts, requestTimeout }) =>
      ((timeouts as Fields | undefined)?.["request"] === undefined) ===
      (requestTimeout === undefined),
  ],
  "outbound.HttpRoute.Filter": [chosen("kind")],
  "outbound.HttpRoute.Distribution": [chosen("kind")],
  "outbound.HttpRoute.Distribution.FirstAvailable": [some("backends")],
  "outbound.HttpRoute.Distribution.RandomAvailable": [some("backends"), weighted],
  "outbound.HttpRoute.RouteBackend": [has("backend")],
  "outbound.HttpRoute.WeightedRouteBackend": [has("backend")],
  "outbound.OpaqueRoute": [has("metadata"), one("rules")],
  "outbound.OpaqueRoute.Rule": [has("backends")],
  "outbound.OpaqueRoute.Filter": [chosen("kind")],
  "outbound.OpaqueRoute.Distribution": [chosen("kind")],
  "outbound.OpaqueRoute.Distribution.RandomAvailable": [some("backends"), weighted],
  "outbound.TlsRoute": [has("metadata"), one("rules")],
  "outbound.TlsRoute.Rule": [has("backends")],
  "outbound.TlsRoute.Distribution": [chosen("kind")],
  "outbound.Backend": [has("metadata", "queue")],
  "outbound.Queue": [has("failfastTimeout"), ({ capacity }) => capacity === 100],
  "outbound.Backend.EndpointDiscovery": [chosen("kind")],
  "outbound.Backend.BalanceP2c": [has("discovery"), chosen("load")],
  "outbound.Backend.BalanceP2c.PeakEwma": [has("defaultRtt", "decay")],
  "outbound.Backend.BalanceP2c.PenaltyPeakEwma": [
    has("defaultRtt", "decay", "penalty", "maxRetryAfter", "penaltyDecay"),
  ],
  "outbound.HttpRoute.Retry": [
    has("conditions", "backoff"),
    ({ maxRetries }) => (maxRetries as number) <= 65_535,
  ],
  "outbound.HttpRoute.Retry.Conditions.StatusRange": [
    ({ start, end }) =>
      1 <= (start as number) && (start as number) <= (end as number) && (end as number) <= 599,
  ],
  "outbound.HttpRoute.Mirror": [has("backend")],
  "outbound.HttpRoute.ExternalAuth": [has("backend")],
  "outbound.FailureAccrual": [chosen("kind")],
  "outbound.FailureAccrual.ConsecutiveFailures": [has("backoff")],
  "outbound.FailureAccrual.Unified": [has("backoff", "decay")],
  "outbound.ExponentialBackoff": [
    has("minBackoff", "maxBackoff"),
    ({ minBackoff, maxBackoff }) =>
      nanos(minBackoff) <= nanos(maxBackoff) && nanos(maxBackoff) > 0n,
    ({ jitterRatio }) => (jitterRatio as number) >= 0 && (jitterRatio as number) <= 100,
  ],
  "inbound.Server": [has("protocol")],
  "inbound.ProxyProtocol": [chosen("kind")],
  "inbound.ProxyProtocol.Detect": [has("timeout")],
  "inbound.Authz": [
    some("networks"),
    has("authentication", "metadata"),
    ({ labels }) =>
      Object.keys(labels as object)
        .sort()
        .join() === "group,kind,name",
  ],
  "inbound.Network": [has("net")],
  "inbound.Authn": [chosen("permit")],
  "inbound.Authn.PermitMeshTLS": [chosen("clients")],
  "inbound.HttpRoute": [has("metadata")],
  "inbound.HttpRoute.Filter": [chosen("kind")],
};

const prefix = "io.linkerd.proxy.";

/** What a message breaks, below it too; `held` counts the messages of each type that have a rule. */
function breaches(value: unknown, held: Map<string, number>): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((each) => breaches(each, held));
  if (typeof value !== "object" || value === null) return [];
  const below = Object.values(value).flatMap((each) => breaches(each, held));
  if (!isMessage(value)) return below;
  const name = value.$typeName.slice(prefix.length);
  const broken = (rules[name] ?? []).flatMap((rule, at) =>
    rule(value as unknown as Fields) ? [] : [`${name} breaks its rule ${at}`],
  );
  held.set(name, (held.get(name) ?? 0) + 1);
  return [...below, ...broken];
}

test("toWireOutbound(), toWireInbound() and toWireUpdates() leave out nothing that a proxy requires", (t) => {
  const held = new Map<string, number>();
  fc.assert(
    fc.property(anyOutboundPolicy, anyInboundPolicy, anyEndpointSet, (outbound, inbound, set) => {
      for (const extensions of [true, false]) {
        t.deepEqual(breaches(toWireOutbound(outbound, { extensions }), held), []);
      }
      t.deepEqual(breaches(toWireInbound(inbound), held), []);
      t.deepEqual(breaches(toWireUpdates(undefined, set), held), []);
    }),
    { numRuns: 500 },
  );
  t.deepEqual(
    Object.keys(rules).filter((name) => !held.has(name)),
    [],
    "a rule was held against nothing",
  );
});
