import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import test from "ava";
import { resourceMeta } from "../../../src/core/model/meta.ts";
import { noProfile, type Profile } from "../../../src/core/model/profile.ts";
import {
  type DestinationProfile,
  DestinationProfileSchema,
  RequestMatchSchema,
  ResponseMatchSchema,
} from "../../../src/core/wire/gen/linkerd/destination_pb.ts";
import { fromWireProfile, toWireProfile } from "../../../src/core/wire/profile.ts";

const full: Profile = {
  name: "web.demo.svc.cluster.local",
  opaque: true,
  parent: resourceMeta({ group: "core", kind: "Service", namespace: "demo", name: "web" }),
  source: resourceMeta({
    group: "linkerd.io",
    kind: "ServiceProfile",
    namespace: "demo",
    name: "w",
  }),
  budget: { percent: 20, intervalMs: 10_000, minPerSecond: 10 },
  overrides: [{ authority: "a.demo.svc.cluster.local:80", weight: 9, backend: undefined }],
  endpoint: {
    ip: "10.0.0.1",
    port: 80,
    weight: 1,
    tls: undefined,
    inboundPort: 4143,
    hint: "h2",
    labels: {},
  },
  routes: [
    {
      name: "r",
      condition: {
        kind: "any",
        of: [
          {
            kind: "all",
            of: [
              { kind: "method", method: "GET" },
              { kind: "path", pattern: "/a" },
            ],
          },
          { kind: "not", of: { kind: "method", method: "PURGE" } },
        ],
      },
      unreadable: "",
      isRetryable: true,
      timeoutMs: 1_500,
      responseClasses: [
        {
          condition: {
            kind: "all",
            of: [
              { kind: "status", min: 500, max: 599 },
              { kind: "not", of: { kind: "status", min: 503, max: 503 } },
            ],
          },
          isFailure: true,
        },
      ],
    },
  ],
};

function overTheWire(message: DestinationProfile): DestinationProfile {
  return fromBinary(DestinationProfileSchema, toBinary(DestinationProfileSchema, message));
}

for (const [title, profile] of [
  ["with everything", full],
  ["with nothing", noProfile],
] as const) {
  test(`fromWireProfile() reads a profile ${title} as it was written`, (t) => {
    const { value, faults } = fromWireProfile(overTheWire(toWireProfile(profile)));
    t.deepEqual(value, profile);
    t.deepEqual(faults, []);
  });
}

test("fromWireProfile() reports a condition that it cannot read, and no request escapes its route", (t) => {
  const nothing = create(RequestMatchSchema);
  const inside = create(RequestMatchSchema, {
    match: { case: "all", value: { matches: [nothing] } },
  });
  const routes = [{}, { condition: nothing }, { condition: inside }];
  for (const { unreadable } of fromWireProfile(create(DestinationProfileSchema, { routes })).value
    .routes) {
    t.regex(unreadable, /condition: is missing or of no known kind$/);
  }
});

for (const [title, retryBudget] of [
  ["a ttl below a second", { retryRatio: 1, ttl: { seconds: 0n, nanos: 999_999 } }],
  ["a ttl above a minute", { retryRatio: 1, ttl: { seconds: 61n } }],
  ["no ttl", { retryRatio: 1 }],
  ["a ratio above 1000", { retryRatio: 1_001, ttl: { seconds: 10n } }],
  ["a negative ratio", { retryRatio: -1, ttl: { seconds: 10n } }],
] as const) {
  test(`fromWireProfile() retries nothing for a budget with ${title}`, (t) => {
    const found = fromWireProfile(create(DestinationProfileSchema, { retryBudget }));
    t.is(found.value.budget, undefined);
    t.is(found.faults.length, 1);
  });
}

test("fromWireProfile() leaves out a class whose statuses are none", (t) => {
  const condition = create(ResponseMatchSchema, {
    match: { case: "status", value: { min: 0, max: 99 } },
  });
  const all = create(RequestMatchSchema, { match: { case: "path", value: { regex: "/" } } });
  const routes = [{ condition: all, responseClasses: [{ condition, isFailure: true }] }];
  const found = fromWireProfile(create(DestinationProfileSchema, { routes }));
  t.deepEqual(found.value.routes[0]?.responseClasses, []);
  t.is(found.faults.length, 1);
});
