import test from "ava";
import { parseServiceProfile } from "../../../src/core/resource/service-profile.ts";
import {
  edit,
  faultsOf,
  parsed,
  serviceProfile as profile,
  type Refusal,
  titleOf,
} from "./manifests.ts";

const conditions: readonly (readonly [unknown, unknown])[] = [
  [{ method: "GET" }, { kind: "method", method: "GET" }],
  [
    { method: "GET", pathRegex: "/a" },
    {
      kind: "all",
      of: [
        { kind: "method", method: "GET" },
        { kind: "path", pattern: "/a" },
      ],
    },
  ],
  [
    { any: [{ method: "GET" }, { not: { pathRegex: "/a" } }] },
    {
      kind: "any",
      of: [
        { kind: "method", method: "GET" },
        { kind: "not", of: { kind: "path", pattern: "/a" } },
      ],
    },
  ],
];
for (const [given, expected] of conditions) {
  test(`parseServiceProfile() reads the condition ${JSON.stringify(given)}`, (t) => {
    const json = edit(profile, "spec.routes[0].condition", given);
    t.deepEqual<unknown, unknown>(parsed(parseServiceProfile(json)).routes[0]?.condition, expected);
  });
}

test("parseServiceProfile() takes a status range without one of its ends as open", (t) => {
  const classes = [
    { condition: { status: { min: 500 } }, isFailure: true },
    { condition: { status: { max: 404 } } },
  ];
  const json = edit(profile, "spec.routes[0].responseClasses", classes);
  t.deepEqual(parsed(parseServiceProfile(json)).routes[0]?.responseClasses, [
    { condition: { kind: "status", min: 500, max: 599 }, isFailure: true },
    { condition: { kind: "status", min: 100, max: 404 }, isFailure: false },
  ]);
});

for (const [weight, milliWeight] of [
  [0, 0],
  [10, 10_000],
  ["500m", 500],
  ["0.5", 500],
  ["1.1", 1_100],
  ["0.5m", 1],
] as const) {
  test(`parseServiceProfile() reads the weight ${JSON.stringify(weight)}`, (t) => {
    const json = edit(profile, "spec.dstOverrides", [{ authority: "a.demo", weight }]);
    t.deepEqual(parsed(parseServiceProfile(json)).dstOverrides, [
      { authority: "a.demo", milliWeight },
    ]);
  });
}

test("parseServiceProfile() reads opaque ports and ranges of them", (t) => {
  const json = edit(profile, "spec.opaquePorts", ["3306", "4000-4999"]);
  t.deepEqual(parsed(parseServiceProfile(json)).opaquePorts, [
    { min: 3306, max: 3306 },
    { min: 4000, max: 4999 },
  ]);
});

function nested(depth: number): unknown {
  return depth === 0 ? { method: "GET" } : { not: nested(depth - 1) };
}

test("parseServiceProfile() takes conditions that are nested eight deep, and none that are deeper", (t) => {
  const at = "spec.routes[0].condition";
  t.deepEqual(faultsOf(parseServiceProfile(edit(profile, at, nested(7)))), []);
  t.deepEqual(faultsOf(parseServiceProfile(edit(profile, at, nested(8)))), [
    `${at}${".not".repeat(8)}: must not be nested deeper than 8 conditions`,
  ]);
});

const budget = { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: "10s" };
const duration = 'must be a duration like "500ms", "1.5s" or "1h30m", not negative';
const refusals: readonly Refusal[] = [
  [
    "metadata.name",
    "Web_",
    'metadata.name: must be a DNS name (RFC 1123: a-z, 0-9, - and ., at most 253 characters), is "Web_"',
  ],
  ["spec.routes[0].name", "", "spec.routes[0].name: must not be empty"],
  ["spec.routes[0].condition", undefined, "spec.routes[0].condition: is required"],
  [
    "spec.routes[0].condition",
    {},
    "spec.routes[0].condition: must have at least one of pathRegex, method, all, any, not",
  ],
  [
    "spec.routes[0].condition",
    { method: "G T" },
    'spec.routes[0].condition.method: must be a method of HTTP (RFC 9110 §9.1), is "G T"',
  ],
  ["spec.routes[0].timeout", "-1s", `spec.routes[0].timeout: ${duration}, is "-1s"`],
  [
    "spec.routes[0].responseClasses",
    [{ condition: { status: { min: 99 } } }],
    "spec.routes[0].responseClasses[0].condition.status.min: must be a whole number from 100 to 599, is 99",
  ],
  [
    "spec.routes[0].responseClasses",
    [{ condition: { status: {} } }],
    "spec.routes[0].responseClasses[0].condition.status: must have at least one of min, max",
  ],
  [
    "spec.retryBudget",
    { ...budget, retryRatio: -0.1 },
    "spec.retryBudget.retryRatio: must be a number of at least 0, is -0.1",
  ],
  ["spec.retryBudget", { ...budget, ttl: undefined }, "spec.retryBudget.ttl: is required"],
  ["spec.retryBudget", { ...budget, ttl: "" }, `spec.retryBudget.ttl: ${duration}, is ""`],
  [
    "spec.dstOverrides",
    [{ authority: "a", weight: -1 }],
    'spec.dstOverrides[0].weight: must be a weight like 10 or "500m", up to 9999999, is -1',
  ],
  [
    "spec.opaquePorts",
    ["70000"],
    'spec.opaquePorts[0]: must be a port or a range like "4000-4999", is "70000"',
  ],
];
for (const refusal of refusals) {
  const [path, value, fault] = refusal;
  test(`parseServiceProfile() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseServiceProfile(edit(profile, path, value))), [fault]);
  });
}
