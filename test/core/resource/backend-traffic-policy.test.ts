import test from "ava";
import { parseBackendTrafficPolicy } from "../../../src/core/resource/backend-traffic-policy.ts";
import { edit, faultsOf, parsed, type Refusal, titleOf, trafficPolicy } from "./manifests.ts";

test("parseBackendTrafficPolicy() reads targets of its own namespace, and fills in a budget", (t) => {
  const { targetRefs, retryConstraint, sessionPersistence } = parsed(
    parseBackendTrafficPolicy(trafficPolicy),
  );
  t.deepEqual(targetRefs, [{ group: "", kind: "Service", namespace: "demo", name: "web" }]);
  t.deepEqual(retryConstraint, {
    percent: 5,
    intervalMs: 10_000,
    minRetryCount: 10,
    minRetryIntervalMs: 1_000,
  });
  t.is(sessionPersistence, undefined);
});

test("parseBackendTrafficPolicy() reads a budget, a rate and a session", (t) => {
  const json = edit(trafficPolicy, "spec", {
    targetRefs: [{ group: "", kind: "Service", name: "web" }],
    retryConstraint: {
      budget: { percent: 0, interval: "1h" },
      minRetryRate: { count: 3, interval: "1m" },
    },
    sessionPersistence: { sessionName: "s" },
  });
  const { retryConstraint, sessionPersistence } = parsed(parseBackendTrafficPolicy(json));
  t.deepEqual(retryConstraint, {
    percent: 0,
    intervalMs: 3_600_000,
    minRetryCount: 3,
    minRetryIntervalMs: 60_000,
  });
  t.like(sessionPersistence, { type: "Cookie", name: "s" });
});

const constraint = "spec.retryConstraint";
const refused: readonly Refusal[] = [
  ["spec.targetRefs", undefined, "spec.targetRefs: is required"],
  ["spec.targetRefs", [], "spec.targetRefs: must have at least one entry"],
  ["spec.targetRefs[0].name", undefined, "spec.targetRefs[0].name: is required"],
  [
    `${constraint}.budget.percent`,
    101,
    `${constraint}.budget.percent: must be a whole number from 0 to 100, is 101`,
  ],
  [
    `${constraint}.budget.interval`,
    "999ms",
    `${constraint}.budget.interval: must be from "1s" to "1h", is "999ms"`,
  ],
  [
    `${constraint}.minRetryRate.interval`,
    "61m",
    `${constraint}.minRetryRate.interval: must be from "1s" to "1h", is "61m"`,
  ],
  [
    `${constraint}.minRetryRate.count`,
    0,
    `${constraint}.minRetryRate.count: must be a whole number from 1 to 1000000, is 0`,
  ],
];
for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseBackendTrafficPolicy() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseBackendTrafficPolicy(edit(trafficPolicy, path, value))), [fault]);
  });
}
