import test from "ava";
import { parseService } from "../../../src/core/resource/service.ts";
import { edit, faultsOf, parsed, type Refusal, service, titleOf } from "./manifests.ts";

test("parseService() fills in what a manifest leaves out", (t) => {
  const { meta: _, ...value } = parsed(parseService(service));
  t.deepEqual(value, {
    kind: "Service",
    group: "",
    type: "ClusterIP",
    clusterIps: ["10.0.0.1"],
    headless: false,
    externalName: "",
    selector: new Map([["app", "web"]]),
    ports: [{ name: "", port: 80, targetPort: 80, protocol: "TCP", appProtocol: undefined }],
    sessionAffinity: "None",
    publishNotReadyAddresses: false,
    internalTrafficPolicy: "Cluster",
    trafficDistribution: undefined,
  });
});

test("parseService() reads each address once and in its canonical form", (t) => {
  const both = edit(service, "spec.clusterIPs", ["10.0.0.1", "FD00::0:1"]);
  t.deepEqual(parsed(parseService(both)).clusterIps, ["10.0.0.1", "fd00::1"]);
});

test("parseService() tells a headless Service from one without an address yet", (t) => {
  const headless = parsed(parseService(edit(service, "spec.clusterIP", "None")));
  t.true(headless.headless);
  t.deepEqual(headless.clusterIps, []);
  const early = parsed(parseService(edit(service, "spec.clusterIP", undefined)));
  t.false(early.headless);
  t.deepEqual(early.clusterIps, []);
});

test("parseService() reads ports by number and by name", (t) => {
  const ports = [
    { name: "http", port: 80, targetPort: "web", appProtocol: "kubernetes.io/h2c" },
    { name: "dns", port: 80, targetPort: 5353, protocol: "UDP" },
  ];
  t.deepEqual(parsed(parseService(edit(service, "spec.ports", ports))).ports, [
    {
      name: "http",
      port: 80,
      targetPort: "web",
      protocol: "TCP",
      appProtocol: "kubernetes.io/h2c",
    },
    { name: "dns", port: 80, targetPort: 5353, protocol: "UDP", appProtocol: undefined },
  ]);
});

test("parseService() reads an ExternalName", (t) => {
  const spec = { type: "ExternalName", externalName: "example.com" };
  const value = parsed(parseService({ ...service, spec }));
  t.is(value.externalName, "example.com");
  t.deepEqual(value.ports, []);
});

const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  [
    "spec.type",
    "clusterip",
    'spec.type: must be "ClusterIP", "NodePort", "LoadBalancer" or "ExternalName", is "clusterip"',
  ],
  ["spec.clusterIP", "web", 'spec.clusterIP: must be an IP address, is "web"'],
  [
    "spec.clusterIPs",
    ["None"],
    'spec.clusterIP: must be "None" like the other address, is "10.0.0.1"',
  ],
  ["spec.ports[0].port", undefined, "spec.ports[0].port: is required"],
  [
    "spec.ports[1].port",
    81,
    "spec.ports[0].name: is required when a Service has more than one port",
  ],
  [
    "spec.ports[0].protocol",
    "HTTP",
    'spec.ports[0].protocol: must be "TCP", "UDP" or "SCTP", is "HTTP"',
  ],
  [
    "spec.sessionAffinity",
    "Cookie",
    'spec.sessionAffinity: must be "None" or "ClientIP", is "Cookie"',
  ],
  ["spec.selector", { a: true }, "spec.selector.a: must be text, is true"],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseService() ${titleOf(refusal)}`, (t) => {
    t.is(faultsOf(parseService(edit(service, path, value)))[0], fault);
  });
}

test("parseService() wants each port name and number once", (t) => {
  const ports = [
    { name: "a", port: 80 },
    { name: "a", port: 80 },
  ];
  t.deepEqual(faultsOf(parseService(edit(service, "spec.ports", ports))), [
    'spec.ports[1].name: must be unique in the Service, "a" stands twice',
    "spec.ports[1].port: must be unique, 80/TCP stands twice",
  ]);
});

test("parseService() wants a name, and no address, for type ExternalName", (t) => {
  const spec = { type: "ExternalName", clusterIP: "10.0.0.1" };
  t.deepEqual(faultsOf(parseService({ ...service, spec })), [
    "spec.clusterIP: must be absent for type ExternalName",
    "spec.externalName: is required",
  ]);
});
