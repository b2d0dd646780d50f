import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import test from "ava";
import fc from "fast-check";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import { Secret } from "../../../src/core/std/secret.ts";
import { fromWireBackend, toWireBackend } from "../../../src/core/wire/backend.ts";
import { type Decoded, decode } from "../../../src/core/wire/decode.ts";
import {
  applyUpdate,
  fromWireEndpoint,
  toWireEndpoint,
  toWireUpdates,
} from "../../../src/core/wire/endpoint.ts";
import {
  fromWireFilter,
  toWireInboundFilter,
  toWireOutboundFilter,
} from "../../../src/core/wire/filter.ts";
import {
  UpdateSchema,
  WeightedAddrSchema,
} from "../../../src/core/wire/gen/linkerd/destination_pb.ts";
import {
  HostMatchSchema,
  HttpRouteMatchSchema,
} from "../../../src/core/wire/gen/linkerd/http_route_pb.ts";
import {
  HttpRoute_FilterSchema as InboundFilterSchema,
  HttpRouteSchema as InboundRouteSchema,
  ServerSchema,
} from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { MetadataSchema } from "../../../src/core/wire/gen/linkerd/meta_pb.ts";
import { IPAddressSchema, IPNetworkSchema } from "../../../src/core/wire/gen/linkerd/net_pb.ts";
import {
  BackendSchema,
  HttpRoute_FilterSchema as OutboundFilterSchema,
  OutboundPolicySchema,
  HttpRouteSchema as OutboundRouteSchema,
} from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import {
  fromWireInboundRoute,
  fromWireOutboundRoute,
  toWireInboundRoute,
  toWireOutboundRoute,
} from "../../../src/core/wire/http-route.ts";
import { fromWireInbound, toWireInbound } from "../../../src/core/wire/inbound.ts";
import {
  fromWireHosts,
  fromWireMatch,
  toWireHost,
  toWireMatch,
} from "../../../src/core/wire/match.ts";
import { fromWireMeta, toWireMeta } from "../../../src/core/wire/meta.ts";
import {
  fromWireIp,
  fromWireNetwork,
  toWireIp,
  toWireNetwork,
} from "../../../src/core/wire/net.ts";
import { fromWireOutbound, toWireOutbound } from "../../../src/core/wire/outbound.ts";
import { withoutExtensions } from "../../../src/core/wire/without-extensions.ts";
import {
  anyBackend,
  anyCidr,
  anyEndpoint,
  anyEndpointSet,
  anyIp,
  anyMeta,
} from "../../arbitrary/backend.ts";
import { anyFilter, anyInboundFilter } from "../../arbitrary/filter.ts";
import {
  anyHost,
  anyInboundPolicy,
  anyInboundRoute,
  anyMatch,
  anyOutboundPolicy,
  anyOutboundRoute,
} from "../../arbitrary/model.ts";

function throughBytes<D extends DescMessage>(
  schema: D,
  init: MessageInitShape<D>,
): MessageShape<D> {
  return fromBinary(schema, toBinary(schema, create(schema, init)));
}

/** A copy with the text of secrets in their place: to an assertion all secrets are alike. */
function disclose(value: unknown): unknown {
  if (value instanceof Secret) return { secret: value.reveal() };
  if (Array.isArray(value)) return value.map(disclose);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, disclose(each)]));
}

function comesBack<T>(
  concept: string,
  model: fc.Arbitrary<T>,
  thereAndBack: (model: T) => unknown,
): void {
  test(`${concept} comes back from the wire as it was`, (t) => {
    fc.assert(
      fc.property(model, (value) => {
        t.deepEqual(disclose(thereAndBack(value)), disclose(value));
      }),
      { numRuns: 300 },
    );
  });
}

comesBack("an IP address", anyIp, (ip) => fromWireIp(throughBytes(IPAddressSchema, toWireIp(ip))));

comesBack("a network", anyCidr, (cidr) =>
  fromWireNetwork(throughBytes(IPNetworkSchema, toWireNetwork(cidr))),
);

comesBack("metadata", anyMeta, (meta) => {
  const message = throughBytes(MetadataSchema, toWireMeta(meta));
  return decode((trace) => fromWireMeta(message, trace)).value;
});

comesBack("a host", anyHost, (host) => {
  const message = throughBytes(HostMatchSchema, toWireHost(host));
  return decode((trace) => fromWireHosts([message], trace)).value.hosts[0];
});

comesBack("a match", anyMatch, (match) => {
  const message = throughBytes(HttpRouteMatchSchema, toWireMatch(match));
  return decode((trace) => fromWireMatch(message, trace)).value;
});

comesBack("a filter of an outbound rule", anyFilter, (filter) => {
  const message = throughBytes(OutboundFilterSchema, toWireOutboundFilter(filter));
  return decode((trace) => fromWireFilter(message, trace)).value;
});

comesBack("a filter of an inbound rule", anyInboundFilter, (filter) => {
  const message = throughBytes(InboundFilterSchema, toWireInboundFilter(filter));
  return decode((trace) => fromWireFilter(message, trace)).value;
});

comesBack("an endpoint", anyEndpoint, (endpoint) => {
  const message = throughBytes(WeightedAddrSchema, toWireEndpoint(endpoint));
  return decode((trace) => fromWireEndpoint(message, trace)).value;
});

comesBack("a backend", anyBackend, (backend) => {
  const message = throughBytes(BackendSchema, toWireBackend(backend));
  return decode((trace) => fromWireBackend(message, trace)).value.backend;
});

comesBack("an outbound route", anyOutboundRoute, (route) => {
  const message = throughBytes(OutboundRouteSchema, toWireOutboundRoute(route));
  return decode((trace) => fromWireOutboundRoute(message, trace)).value;
});

comesBack("an inbound route", anyInboundRoute, (route) => {
  const message = throughBytes(InboundRouteSchema, toWireInboundRoute(route));
  return decode((trace) => fromWireInboundRoute(message, trace)).value;
});

function throughWire(policy: OutboundPolicy, extensions: boolean): Decoded<OutboundPolicy> {
  const bytes = toBinary(OutboundPolicySchema, toWireOutbound(policy, { extensions }));
  return fromWireOutbound(fromBinary(OutboundPolicySchema, bytes));
}

test("toWireOutbound() and fromWireOutbound() keep every policy, without a fault", (t) => {
  fc.assert(
    fc.property(anyOutboundPolicy, (policy) => {
      const expected = { value: policy, faults: [] };
      t.deepEqual(disclose(throughWire(policy, true)), disclose(expected));
    }),
    { numRuns: 500 },
  );
});

test("toWireOutbound() without extensions keeps every policy but for the rules that need one", (t) => {
  fc.assert(
    fc.property(anyOutboundPolicy, (policy) => {
      const expected = { value: withoutExtensions(policy), faults: [] };
      t.deepEqual(disclose(throughWire(policy, false)), disclose(expected));
    }),
    { numRuns: 500 },
  );
});

test("toWireInbound() and fromWireInbound() keep every policy, without a fault", (t) => {
  fc.assert(
    fc.property(anyInboundPolicy, (policy) => {
      const message = fromBinary(ServerSchema, toBinary(ServerSchema, toWireInbound(policy)));
      t.deepEqual(fromWireInbound(message), { value: policy, faults: [] });
    }),
    { numRuns: 300 },
  );
});

test("applyUpdate() follows toWireUpdates() through any history", (t) => {
  fc.assert(
    fc.property(fc.array(anyEndpointSet, { minLength: 1, maxLength: 5 }), (history) => {
      let known = { value: { exists: false, endpoints: [] } as (typeof history)[number] };
      let previous: (typeof history)[number] | undefined;
      for (const next of history) {
        for (const update of toWireUpdates(previous, next)) {
          const bytes = toBinary(UpdateSchema, update);
          const applied = applyUpdate(known.value, fromBinary(UpdateSchema, bytes));
          t.deepEqual(applied.faults, []);
          known = applied;
        }
        t.is(known.value.exists, next.exists);
        t.deepEqual(sorted(known.value.endpoints), sorted(next.endpoints));
        previous = next;
      }
    }),
    { numRuns: 300 },
  );
});

function sorted<T>(values: readonly T[]): readonly T[] {
  return values.toSorted((left, right) => (JSON.stringify(left) < JSON.stringify(right) ? -1 : 1));
}
