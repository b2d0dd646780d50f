import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "ava";
import type { Environment } from "../../src/config/env.ts";
import {
  defaultLimits,
  maxWorkers,
  readSidecarConfig,
  type SidecarConfig,
} from "../../src/config/sidecar.ts";
import { describeFaults } from "../../src/core/std/result.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { makeAuthority } from "../edge/x509/authority.ts";

const anchors = certificateToPem(makeAuthority().root.certificate);
const least: Environment = {
  WEFT_POLICY_SVC_ADDR: "127.0.0.1:8090",
  WEFT_DESTINATION_SVC_ADDR: "127.0.0.1:8086",
  WEFT_IDENTITY_SVC_ADDR: "[::1]:8080",
  WEFT_POLICY_WORKLOAD: '{"ns":"demo", "pod":"frontend-1"}\n',
  WEFT_IDENTITY_LOCAL_NAME: "frontend.demo.serviceaccount.identity.weft.cluster.local",
  WEFT_IDENTITY_TRUST_ANCHORS: anchors,
  WEFT_IDENTITY_TOKEN_FILE: "/var/run/token",
};

function faultsOf(change: Environment): string {
  const read = readSidecarConfig({ ...least, ...change }, { cores: 4, hasIpv6: false });
  return read.ok ? "" : describeFaults(read.faults);
}

function configOf(change: Environment = {}, cores = 4, hasIpv6 = false): SidecarConfig {
  const read = readSidecarConfig({ ...least, ...change }, { cores, hasIpv6 });
  if (!read.ok) throw new Error(describeFaults(read.faults));
  return read.value;
}

test("readSidecarConfig() needs few variables and has a default for every other", (t) => {
  t.deepEqual(configOf(), {
    policyService: { host: "127.0.0.1", port: 8090 },
    destinationService: { host: "127.0.0.1", port: 8086 },
    identityService: { host: "::1", port: 8080 },
    serviceNames: { policy: undefined, destination: undefined, identity: undefined },
    workload: { namespace: "demo", pod: "frontend-1" },
    workloadText: '{"ns":"demo", "pod":"frontend-1"}\n',
    destinationContext: '{"ns":"demo","pod":"frontend-1"}',
    identityName: "frontend.demo.serviceaccount.identity.weft.cluster.local",
    trustAnchors: anchors,
    trustAnchorsFile: undefined,
    tokenFile: "/var/run/token",
    outboundListen: [{ host: "127.0.0.1", port: 4140 }],
    inboundListen: { host: "0.0.0.0", port: 4143 },
    redirect: { isRequired: false, podIps: [] },
    inboundPorts: [],
    adminListen: { host: "127.0.0.1", port: 4191 },
    inboundForwards: [],
    workers: 4,
    clusterDomain: "cluster.local",
    shutdown: { graceMs: 120_000, quietMs: 5_000, refuseMs: 10_000 },
    discoveryIdleMs: 90_000,
    limits: defaultLimits,
    logLevel: "info",
    decisionHeader: "errors",
    sockets: "kernel",
    accessLog: "off",
    tracing: undefined,
  });
});

test("readSidecarConfig() listens for both address families where the machine has them", (t) => {
  const { outboundListen, inboundListen } = configOf({}, 1, true);
  t.deepEqual(outboundListen, [
    { host: "127.0.0.1", port: 4140 },
    { host: "::1", port: 4140 },
  ]);
  t.deepEqual(inboundListen, { host: "::", port: 4143 });
  const one = configOf({ WEFT_OUTBOUND_LISTEN_ADDR: "10.0.0.7:4140" }, 1, true);
  t.deepEqual(one.outboundListen, [{ host: "10.0.0.7", port: 4140 }]);
  const listed = configOf({ WEFT_OUTBOUND_LISTEN_ADDRS: "127.0.0.1:1,[::1]:2" });
  t.deepEqual(listed.outboundListen, [
    { host: "127.0.0.1", port: 1 },
    { host: "::1", port: 2 },
  ]);
});

test("readSidecarConfig() requires that redirection can be seen by whoever names addresses of the pod", (t) => {
  const redirect = (change: Environment): unknown => configOf(change).redirect;
  t.deepEqual(redirect({ WEFT_INBOUND_IPS: "10.0.0.7,FD00::0007" }), {
    isRequired: true,
    podIps: ["10.0.0.7", "fd00::7"],
  });
  t.deepEqual(redirect({ WEFT_TRANSPARENT: "always" }), { isRequired: true, podIps: [] });
  t.is(redirect({ WEFT_TRANSPARENT: "never" }), undefined);
  t.deepEqual(configOf({ WEFT_INBOUND_PORTS: "80,443,80" }).inboundPorts, [80, 443]);
});

test("readSidecarConfig() names every required variable at once", (t) => {
  const read = readSidecarConfig({}, { cores: 1, hasIpv6: true });
  const names = read.ok ? [] : read.faults.map(({ path: name }) => name);
  t.deepEqual(names.toSorted(), Object.keys(least).toSorted());
});

const limits: readonly (readonly [keyof SidecarConfig["limits"], string, string, number])[] = [
  ["connectTimeoutMs", "WEFT_OUTBOUND_CONNECT_TIMEOUT", "2s", 2_000],
  ["headTimeoutMs", "WEFT_HTTP1_HEAD_TIMEOUT", "3s", 3_000],
  ["detectTimeoutMs", "WEFT_INBOUND_DETECT_TIMEOUT", "4s", 4_000],
  ["idleTimeoutMs", "WEFT_HTTP1_IDLE_TIMEOUT", "5s", 5_000],
  ["poolIdleTimeoutMs", "WEFT_OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT", "6s", 6_000],
  ["maxIdlePerEndpoint", "WEFT_OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT", "7", 7],
  ["maxConnections", "WEFT_MAX_CONNECTIONS", "8", 8],
  ["discoveryTimeoutMs", "WEFT_DISCOVERY_TIMEOUT", "9s", 9_000],
  ["externalAuthTimeoutMs", "WEFT_EXTERNAL_AUTH_TIMEOUT", "8s", 8_000],
  ["maxWaitingForDiscovery", "WEFT_DISCOVERY_QUEUE_CAPACITY", "10", 10],
  ["maxInFlight", "WEFT_MAX_IN_FLIGHT", "11", 11],
  ["maxInFlightPerBackend", "WEFT_OUTBOUND_MAX_IN_FLIGHT_PER_BACKEND", "12", 12],
  ["revocationGraceMs", "WEFT_INBOUND_REVOCATION_GRACE", "12s", 12_000],
  ["tunnelIdleTimeoutMs", "WEFT_TUNNEL_IDLE_TIMEOUT", "13s", 13_000],
  ["failFastTimeoutMs", "WEFT_OUTBOUND_HTTP_FAILFAST_TIMEOUT", "14s", 14_000],
  ["maxWaitingForEndpoint", "WEFT_OUTBOUND_HTTP_QUEUE_CAPACITY", "15", 15],
  ["maxMirrorBytes", "WEFT_OUTBOUND_MIRROR_BUFFER", "65536", 65_536],
  ["maxMirrorBytesInAll", "WEFT_OUTBOUND_MIRROR_BUFFER_IN_ALL", "65537", 65_537],
];

test("readSidecarConfig() reads each limit from its own variable", (t) => {
  // Those of HTTP/2 have a list of their own.
  t.is(limits.length, Object.keys(defaultLimits).length - 1);
  for (const [key, name, text, value] of limits) {
    t.deepEqual(configOf({ [name]: text }).limits, { ...defaultLimits, [key]: value });
  }
});

for (const [key, name] of limits) {
  // Without that time nobody waits, which is a choice.
  if (key === "failFastTimeoutMs" || key === "revocationGraceMs") continue;
  test(`readSidecarConfig() refuses 0 for ${name}`, (t) => {
    t.regex(faultsOf({ [name]: "0" }), new RegExp(name));
  });
}

test("readSidecarConfig() takes as many workers as there are cores, within bounds", (t) => {
  t.is(configOf({}, 1_000).workers, maxWorkers);
  t.is(configOf({}, 0).workers, 1);
  t.is(configOf({ WEFT_WORKERS: "3" }).workers, 3);
  t.regex(faultsOf({ WEFT_WORKERS: "65" }), /1 to 64/);
});

test("readSidecarConfig() takes any address of a service whose name it knows", (t) => {
  const config = configOf({
    WEFT_POLICY_SVC_ADDR: "weft-policy.weft.svc:8090",
    WEFT_POLICY_SVC_NAME: "weft-policy.weft.id",
    WEFT_IDENTITY_SVC_ADDR: "10.0.0.1:8080",
    WEFT_IDENTITY_SVC_NAME: "weft-identity.weft.id",
  });
  t.deepEqual(config.policyService, { host: "weft-policy.weft.svc", port: 8090 });
  t.deepEqual(config.identityService, { host: "10.0.0.1", port: 8080 });
  t.deepEqual(config.serviceNames, {
    policy: "weft-policy.weft.id",
    destination: undefined,
    identity: "weft-identity.weft.id",
  });
  t.regex(faultsOf({ WEFT_POLICY_SVC_NAME: "*.weft.id" }), /WEFT_POLICY_SVC_NAME: .*DNS name/);
});

test("readSidecarConfig() reads trust anchors from a file", (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "weft-config-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "ca.crt");
  writeFileSync(file, anchors);
  const change = { WEFT_IDENTITY_TRUST_ANCHORS: undefined, WEFT_IDENTITY_TRUST_ANCHORS_FILE: file };
  t.is(configOf(change).trustAnchors, anchors);
  t.is(configOf(change).trustAnchorsFile, file);
  t.regex(faultsOf({ WEFT_IDENTITY_TRUST_ANCHORS_FILE: file }), /both are set/);
});

test("readSidecarConfig() reads forwards in order", (t) => {
  const text = "10.0.0.7:8080=127.0.0.1:8080, [::1]:0=[::1]:9090";
  t.deepEqual(configOf({ WEFT_INBOUND_FORWARDS: text }).inboundForwards, [
    {
      listen: { host: "10.0.0.7", port: 8080 },
      application: { host: "127.0.0.1", port: 8080 },
    },
    { listen: { host: "::1", port: 0 }, application: { host: "::1", port: 9090 } },
  ]);
});

test("readSidecarConfig() takes several forwards whose port is chosen later", (t) => {
  const text = "127.0.0.1:0=127.0.0.1:1,127.0.0.1:0=127.0.0.1:2";
  t.is(configOf({ WEFT_INBOUND_FORWARDS: text }).inboundForwards.length, 2);
});

const refusals = test.macro({
  exec: (t, change: Environment, reason: RegExp) => {
    const [name = ""] = Object.keys(change);
    const faults = faultsOf(change);
    t.true(faults.startsWith(`${name}: `), faults);
    t.regex(faults, reason);
  },
  title: (_given, change) => `readSidecarConfig() refuses ${JSON.stringify(change)}`,
});
for (const name of ["POLICY", "DESTINATION", "IDENTITY"]) {
  test(
    refusals,
    { [`WEFT_${name}_SVC_ADDR`]: "10.0.0.1:80" },
    /set WEFT_\w+_SVC_NAME .* loopback .* clear text/,
  );
  test(refusals, { [`WEFT_${name}_SVC_ADDR`]: "127.0.0.1:0" }, /1 to 65535/);
  test(refusals, { [`WEFT_${name}_SVC_ADDR`]: "weft-policy:80" }, /address such as/);
}
test(refusals, { WEFT_POLICY_WORKLOAD: '{"ns":"demo"}' }, /set JSON such as/);
test(refusals, { WEFT_IDENTITY_LOCAL_NAME: "Not A Name" }, /DNS name/);
test(refusals, { WEFT_IDENTITY_TRUST_ANCHORS: "-----BEGIN" }, /PEM/);
test(refusals, { WEFT_OUTBOUND_DISCOVERY_IDLE_TIMEOUT: "1s" }, /5000 ms/);
test(refusals, { WEFT_SHUTDOWN_GRACE_PERIOD: "soon" }, /duration/);
test(refusals, { WEFT_LOG_LEVEL: "loud" }, /one of/);
test(refusals, { WEFT_DECISION_HEADER: "maybe" }, /"off", "errors", "always"/);
test(refusals, { WEFT_ACCESS_LOG: "xml" }, /"off", "apache", "json"/);
for (const entry of ["x", "1.2.3.4:1", "1.2.3.4:1=", "1.2.3.4:1=1.2.3.4:2=1.2.3.4:3", "a:1=b:2"]) {
  test(refusals, { WEFT_INBOUND_FORWARDS: entry }, /write entries such as/);
}
test(refusals, { WEFT_INBOUND_FORWARDS: "1.2.3.4:1=1.2.3.4:1" }, /leads to itself/);
test(refusals, { WEFT_INBOUND_FORWARDS: "127.0.0.1:4140=127.0.0.1:1" }, /is taken/);
test(refusals, { WEFT_INBOUND_FORWARDS: "1.2.3.4:1=1.2.3.4:0" }, /application's port/);
test(
  refusals,
  { WEFT_INBOUND_FORWARDS: "1.2.3.4:1=1.2.3.4:2,1.2.3.5:1=1.2.3.4:3" },
  /name port 1 once/,
);
