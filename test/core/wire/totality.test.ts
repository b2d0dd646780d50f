/** What a control plane sends may be damaged, or newer than we are. Reading it never throws, and never opens what the whole message keeps shut. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import test from "ava";
import fc from "fast-check";
import { admitConnection, admitRequest, type Peer } from "../../../src/core/decide/admit.ts";
import {
  findRoute,
  loadHttpRoutes,
  type RequestView,
} from "../../../src/core/decide/find-route.ts";
import type { Filter } from "../../../src/core/model/filter.ts";
import { endpointTable } from "../../../src/core/table/endpoints.ts";
import { inboundTable } from "../../../src/core/table/inbound.ts";
import { type FilterEntry, outboundTable } from "../../../src/core/table/outbound.ts";
import { applyUpdate, toWireUpdates } from "../../../src/core/wire/endpoint.ts";
import { UpdateSchema } from "../../../src/core/wire/gen/linkerd/destination_pb.ts";
import { type Server, ServerSchema } from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import {
  type OutboundPolicy,
  OutboundPolicySchema,
} from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { fromWireInbound, toWireInbound } from "../../../src/core/wire/inbound.ts";
import { fromWireOutbound, toWireOutbound } from "../../../src/core/wire/outbound.ts";
import { anyEndpointSet } from "../../arbitrary/backend.ts";
import { anyInboundPolicy, anyOutboundPolicy } from "../../arbitrary/model.ts";
import { anyPeer, anyRequest, viewOf } from "../../arbitrary/request.ts";
import { damage, sitesOf } from "./damage.ts";

const anyView = anyRequest.map(viewOf);

/** Whether a request gets to the application at least sometimes. */
function isAdmitted(server: Server, request: RequestView, peer: Peer): boolean {
  const table = inboundTable(fromWireInbound(server).value);
  const found = findRoute(loadHttpRoutes(table.http), request);
  const rule = table.http.entries[found]?.rule;
  if (rule === undefined) return false;
  const route = table.http.rules[rule]?.route ?? -1;
  return (table.filters[rule] ?? []).every(letsPass) && admitRequest(table, route, peer) >= 0;
}

function letsPass(filter: Filter | FilterEntry): boolean {
  if (filter.kind === "failure") return filter.failure.numerator < filter.failure.denominator;
  return filter.kind !== "redirect" && filter.kind !== "direct-response";
}

/** The rule that sends a request on, as text; undefined when it is refused. */
function ruleOf(policy: OutboundPolicy, request: RequestView): string | undefined {
  const table = outboundTable(fromWireOutbound(policy).value);
  const found = findRoute(loadHttpRoutes(table.http), request);
  const rule = table.http.entries[found]?.rule;
  if (rule === undefined || !(table.rules[rule]?.filters ?? []).every(letsPass)) return undefined;
  return JSON.stringify(table.http.rules[rule]);
}

test("fromWireInbound() admits nobody to a damaged policy whom the whole one does not admit", (t) => {
  let damaged = 0;
  let admitted = 0;
  fc.assert(
    fc.property(
      anyInboundPolicy,
      fc.nat(),
      fc.array(fc.tuple(anyView, anyPeer), { minLength: 12, maxLength: 12 }),
      (policy, site, clients) => {
        const whole = toWireInbound(policy);
        const broken = damage(ServerSchema, whole, site);
        damaged++;
        for (const [request, peer] of clients) {
          if (!isAdmitted(broken, request, peer)) continue;
          admitted++;
          t.true(isAdmitted(whole, request, peer));
        }
        const [first] = clients;
        const table = inboundTable(fromWireInbound(broken).value);
        if (first !== undefined && admitConnection(table, first[1]) >= 0) {
          t.true(admitConnection(inboundTable(policy), first[1]) >= 0);
        }
      },
    ),
    { numRuns: 800 },
  );
  t.is(damaged, 800);
  t.true(admitted > 100, `only ${admitted} clients were admitted`);
});

test("fromWireOutbound() sends no request by another rule because one is damaged", (t) => {
  let sent = 0;
  fc.assert(
    fc.property(
      anyOutboundPolicy,
      fc.nat(),
      fc.array(anyView, { minLength: 10, maxLength: 10 }),
      (policy, site, requests) => {
        const whole = toWireOutbound(policy, { extensions: true });
        const broken = damage(OutboundPolicySchema, whole, site);
        for (const request of requests) {
          const rule = ruleOf(broken, request);
          if (rule === undefined) continue;
          sent++;
          t.is(ruleOf(whole, request), rule);
        }
      },
    ),
    { numRuns: 600 },
  );
  t.true(sent > 200, `only ${sent} requests were sent`);
});

test("every damage is reported", (t) => {
  fc.assert(
    fc.property(anyInboundPolicy, fc.nat(), (policy, site) => {
      const whole = toWireInbound(policy);
      fc.pre(sitesOf(ServerSchema, whole).length > 0);
      t.true(fromWireInbound(damage(ServerSchema, whole, site)).faults.length > 0);
    }),
    { numRuns: 300 },
  );
});

type Edit = { readonly at: number; readonly octet: number };

/** Octets are exchanged in place: what changes the length of a nested message is seldom a message at all. */
const anyEdits: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.record({ at: fc.nat(), octet: fc.oneof(fc.nat(255), fc.nat(40)) }),
  { minLength: 1, maxLength: 2 },
);

function mutate(bytes: Uint8Array, edits: readonly Edit[]): Uint8Array {
  const out = Uint8Array.from(bytes);
  for (const { at, octet } of edits) out[at % Math.max(out.length, 1)] = octet;
  return out;
}

/** Undefined: the bytes are no message at all, which is for the gRPC layer to say. */
function parse<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

test("no bytes that are an inbound policy make a reader throw", (t) => {
  let read = 0;
  fc.assert(
    fc.property(anyInboundPolicy, anyEdits, anyView, anyPeer, (policy, edits, request, peer) => {
      const bytes = mutate(toBinary(ServerSchema, toWireInbound(policy)), edits);
      const message = parse(() => fromBinary(ServerSchema, bytes));
      if (message === undefined) return;
      read++;
      isAdmitted(message, request, peer);
      toBinary(ServerSchema, toWireInbound(fromWireInbound(message).value));
    }),
    { numRuns: 1_500 },
  );
  t.true(read > 500, `only ${read} of the byte strings were messages`);
});

test("no bytes that are an outbound policy make a reader throw", (t) => {
  let read = 0;
  fc.assert(
    fc.property(anyOutboundPolicy, anyEdits, anyView, (policy, edits, request) => {
      const bytes = mutate(
        toBinary(OutboundPolicySchema, toWireOutbound(policy, { extensions: true })),
        edits,
      );
      const message = parse(() => fromBinary(OutboundPolicySchema, bytes));
      if (message === undefined) return;
      read++;
      ruleOf(message, request);
      toBinary(
        OutboundPolicySchema,
        toWireOutbound(fromWireOutbound(message).value, { extensions: edits.length > 1 }),
      );
    }),
    { numRuns: 1_500 },
  );
  t.true(read > 500, `only ${read} of the byte strings were messages`);
});

test("no bytes that are an update of endpoints make a reader throw", (t) => {
  let read = 0;
  fc.assert(
    fc.property(anyEndpointSet, anyEdits, (set, edits) => {
      for (const update of toWireUpdates(undefined, set)) {
        const bytes = mutate(toBinary(UpdateSchema, update), edits);
        const message = parse(() => fromBinary(UpdateSchema, bytes));
        if (message === undefined) continue;
        read++;
        endpointTable(applyUpdate(set, message).value);
      }
    }),
    { numRuns: 1_500 },
  );
  t.true(read > 200, `only ${read} of the byte strings were messages`);
});

test("random bytes are a message or are not, and reading goes on either way", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const server = parse(() => fromBinary(ServerSchema, bytes));
      if (server !== undefined) t.truthy(fromWireInbound(server).value);
      const policy = parse(() => fromBinary(OutboundPolicySchema, bytes));
      if (policy !== undefined) t.truthy(fromWireOutbound(policy).value);
    }),
    { numRuns: 5_000 },
  );
});
