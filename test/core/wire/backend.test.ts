import { create } from "@bufbuild/protobuf";
import test from "ava";
import {
  type Backend,
  type Distribution,
  defaultLoad,
  defaultLoadPenalty,
  type RouteBackend,
} from "../../../src/core/model/backend.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import {
  fromWireBackend,
  fromWireDistribution,
  toWireDistribution,
} from "../../../src/core/wire/backend.ts";
import { decode } from "../../../src/core/wire/decode.ts";
import {
  type Backend_BalanceP2c_PenaltyPeakEwmaSchema,
  type Backend_BalanceP2cSchema,
  BackendSchema,
  HttpRoute_DistributionSchema,
} from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import type { Init } from "./init.ts";

const metadata = { kind: { case: "default" as const, value: "a" } };
const discovery = { kind: { case: "dst" as const, value: { path: "a.demo:80" } } };
const load = { case: "peakEwma" as const, value: {} };

type Balancer = Init<typeof Backend_BalanceP2cSchema>;

function balancer(value: Balancer): ReturnType<typeof fromWireBackend> & { faults: number } {
  const message = create(BackendSchema, { metadata, kind: { case: "balancer", value } });
  const { value: read, faults } = decode((trace) => fromWireBackend(message, trace));
  return { ...read, faults: faults.length };
}

test("fromWireBackend() fails a balancer that does not say what to balance over", (t) => {
  const paths = ["", "a.demo", "a.demo:", "a.demo:0", "a b:80", ":80"];
  for (const path of [undefined, ...paths]) {
    const value =
      path === undefined
        ? { load }
        : { load, discovery: { kind: { case: "dst", value: { path } } } };
    const { backend, refusal } = balancer(value as Balancer);
    t.deepEqual(backend, { meta: defaultMeta("a"), dispatch: { kind: "fail" } });
    t.truthy(refusal);
  }
});

test("fromWireBackend() balances by the defaults where load is not described", (t) => {
  const loads: readonly [Balancer, number][] = [
    [{ discovery }, 1],
    [{ discovery, load }, 0],
    [{ discovery, load: { case: "peakEwma", value: { decay: { seconds: -1n } } } }, 0],
  ];
  for (const [value, faults] of loads) {
    const read = balancer(value);
    t.is(read.refusal, undefined);
    t.is(read.faults, faults);
    t.like(read.backend.dispatch, { kind: "balancer", load: defaultLoad });
  }
});

test("fromWireBackend() takes Linkerd's penalty where none is described", (t) => {
  const read = (value: Init<typeof Backend_BalanceP2c_PenaltyPeakEwmaSchema>): unknown => {
    const { dispatch } = balancer({ discovery, load: { case: "penaltyPeakEwma", value } }).backend;
    return dispatch.kind === "balancer" ? dispatch.load : undefined;
  };
  t.deepEqual(read({}), { ...defaultLoad, penalty: defaultLoadPenalty });
  t.deepEqual(read({ maxRetryAfter: {}, penaltyDecay: {}, penalty: { seconds: -1n } }), {
    ...defaultLoad,
    penalty: { ...defaultLoadPenalty, maxRetryAfterMs: 0 },
  });
});

test("fromWireBackend() has no reason to refuse where none can be reached", (t) => {
  const message = create(BackendSchema, { metadata });
  t.deepEqual(decode((trace) => fromWireBackend(message, trace)).value, {
    backend: { meta: defaultMeta("a"), dispatch: { kind: "fail" } },
    refusal: undefined,
  });
});

test("fromWireBackend() fails an address that cannot be used", (t) => {
  const message = create(BackendSchema, { metadata, kind: { case: "forward", value: {} } });
  const { refusal } = decode((trace) => fromWireBackend(message, trace)).value;
  t.regex(refusal ?? "", /^forward/);
});

function distribution(
  kind: Init<typeof HttpRoute_DistributionSchema>["kind"],
): Distribution | undefined {
  const message = create(HttpRoute_DistributionSchema, { kind: kind ?? { case: undefined } });
  return decode((trace) => fromWireDistribution(message, () => [], trace)).value;
}

test("fromWireDistribution() knows no distribution without backends", (t) => {
  t.is(distribution({ case: undefined }), undefined);
  t.is(distribution({ case: "firstAvailable", value: {} }), undefined);
  t.is(distribution({ case: "randomAvailable", value: {} }), undefined);
  t.deepEqual(distribution({ case: "empty", value: {} }), { kind: "empty" });
});

test("fromWireDistribution() fails the share of a backend that is missing", (t) => {
  const good = { metadata, kind: { case: "balancer", value: { discovery, load } } } as const;
  const read = distribution({
    case: "randomAvailable",
    value: {
      backends: [
        { weight: 1 },
        { weight: 2, backend: {} },
        { weight: 3, backend: { backend: good } },
      ],
    },
  });
  const backends = read?.kind === "random-available" ? read.backends : [];
  t.deepEqual(
    backends.map(({ weight, filters }) => [weight, filters.length]),
    [
      [1, 1],
      [2, 1],
      [3, 0],
    ],
  );
});

const to: Backend = { meta: defaultMeta("a"), dispatch: { kind: "fail" } };
const weight = (value: number): RouteBackend => ({ backend: to, filters: [], weight: value });

type Sent = ReturnType<typeof toWireDistribution>["kind"]["case"];

const sends = test.macro({
  exec: (t, model: Distribution, kind: Sent) => {
    t.is(toWireDistribution(model, () => ({})).kind.case, kind);
  },
  title: (given) => `toWireDistribution() ${given}`,
});
// Linkerd's proxy panics over zero weights, refuses empty lists, and ignores the weight of a single backend.
test(
  "sends several weights of 0 as empty",
  sends,
  { kind: "random-available", backends: [weight(0), weight(0)] },
  "empty",
);
test(
  "sends a single weight of 0 as empty",
  sends,
  { kind: "random-available", backends: [weight(0)] },
  "empty",
);
test("sends no backends as empty", sends, { kind: "first-available", backends: [] }, "empty");
test(
  "sends some weights as they are",
  sends,
  { kind: "random-available", backends: [weight(0), weight(1)] },
  "randomAvailable",
);

test("fromWireBackend() leaves to the policy a protocol that it does not know", (t) => {
  const kind = { case: "balancer" as const, value: { discovery, load } };
  const message = create(BackendSchema, { metadata, kind, protocol: {} });
  const { value: read, faults } = decode((trace) => fromWireBackend(message, trace));
  t.is(read.refusal, undefined);
  t.is(read.backend.protocol, undefined);
  t.is(faults.length, 1);
});
