import test from "ava";
import { parsePod } from "../../../src/core/resource/pod.ts";
import { edit, faultsOf, parsed, pod, type Refusal, titleOf } from "./manifests.ts";

test("parsePod() fills in what a manifest leaves out", (t) => {
  const value = parsed(parsePod(pod));
  t.is(value.serviceAccountName, "default");
  t.is(value.nodeName, "");
  t.false(value.hostNetwork);
  t.deepEqual(value.ips, []);
  t.is(value.phase, "Unknown");
  t.false(value.ready);
  t.deepEqual(value.containers, [
    {
      name: "web",
      init: false,
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
      probes: [],
    },
  ]);
});

test("parsePod() reads ports and probes of init containers too", (t) => {
  const initContainers = [
    {
      name: "proxy",
      ports: [{ containerPort: 4143, protocol: "UDP" }],
      livenessProbe: { httpGet: { path: "/live", port: 4191 } },
      readinessProbe: { httpGet: { port: "admin" } },
      startupProbe: { grpc: { port: 9000, service: "health" } },
    },
  ];
  const [first, second] = parsed(
    parsePod(edit(pod, "spec.initContainers", initContainers)),
  ).containers;
  t.deepEqual(first, {
    name: "proxy",
    init: true,
    ports: [{ name: "", port: 4143, protocol: "UDP" }],
    probes: [
      { kind: "http", path: "/live", port: 4191 },
      { kind: "http", path: "/", port: "admin" },
      { kind: "grpc", service: "health", port: 9000 },
    ],
  });
  t.is(second?.name, "web");
});

test("parsePod() leaves out probes that send no request", (t) => {
  const probe = { exec: { command: ["true"] } };
  const other = { tcpSocket: { port: 80 } };
  const spoilt = edit(
    edit(pod, "spec.containers[0].livenessProbe", probe),
    "spec.containers[0].readinessProbe",
    other,
  );
  t.deepEqual(parsed(parsePod(spoilt)).containers[0]?.probes, []);
});

test("parsePod() reads each address once and in its canonical form", (t) => {
  const status = {
    phase: "Running",
    podIP: "10.0.0.9",
    podIPs: [{ ip: "10.0.0.9" }, { ip: "FD00:0:0::1" }],
    conditions: [
      { type: "Initialized", status: "True" },
      { type: "Ready", status: "True" },
    ],
  };
  const value = parsed(parsePod(edit(pod, "status", status)));
  t.deepEqual(value.ips, ["10.0.0.9", "fd00::1"]);
  t.is(value.phase, "Running");
  t.true(value.ready);
});

test("parsePod() takes a pod whose Ready condition is False for not ready", (t) => {
  const conditions = [{ type: "Ready", status: "False" }];
  t.false(parsed(parsePod(edit(pod, "status.conditions", conditions))).ready);
});

const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  ["spec.containers[0].name", undefined, "spec.containers[0].name: is required"],
  [
    "spec.containers[0].ports[0].containerPort",
    0,
    "spec.containers[0].ports[0].containerPort: must be a whole number from 1 to 65535, is 0",
  ],
  [
    "spec.containers[0].ports[0].protocol",
    "tcp",
    'spec.containers[0].ports[0].protocol: must be "TCP", "UDP" or "SCTP", is "tcp"',
  ],
  [
    "spec.containers[0].livenessProbe.httpGet",
    {},
    "spec.containers[0].livenessProbe.httpGet.port: is required",
  ],
  ["status.podIP", "10.0.0", 'status.podIP: must be an IP address, is "10.0.0"'],
  [
    "status.phase",
    "Up",
    'status.phase: must be "Pending", "Running", "Succeeded", "Failed" or "Unknown", is "Up"',
  ],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parsePod() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parsePod(edit(pod, path, value))), [fault]);
  });
}
