import test from "ava";
import { readPolicyServiceConfig } from "../../src/config/policy-service.ts";
import { formatCidr } from "../../src/core/std/ip.ts";
import { describeFaults } from "../../src/core/std/result.ts";

test("readPolicyServiceConfig() has a default for everything", (t) => {
  const config = readPolicyServiceConfig({});
  if (!config.ok) throw new Error(describeFaults(config.faults));
  const { clusterNetworks, ...rest } = config.value;
  t.deepEqual(rest, {
    policy: { host: "127.0.0.1", port: 8090 },
    destination: { host: "127.0.0.1", port: 8086 },
    admin: { host: "127.0.0.1", port: 9990 },
    clusterDomain: "cluster.local",
    defaultInboundPolicy: "all-unauthenticated",
    controlNamespace: "weft",
    trustDomain: "cluster.local",
    logLevel: "info",
    identity: undefined,
  });
  t.deepEqual(clusterNetworks.map(formatCidr), [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fd00::/8",
  ]);
});

test("readPolicyServiceConfig() reads every variable", (t) => {
  const config = readPolicyServiceConfig({
    WEFT_POLICY_LISTEN_ADDR: "0.0.0.0:1",
    WEFT_DESTINATION_LISTEN_ADDR: "[::]:2",
    WEFT_ADMIN_LISTEN_ADDR: "127.0.0.2:3",
    WEFT_CLUSTER_DOMAIN: "example.org",
    WEFT_CLUSTER_NETWORKS: "10.1.0.0/16",
    WEFT_DEFAULT_INBOUND_POLICY: "deny",
    WEFT_CONTROL_NAMESPACE: "mesh",
    WEFT_IDENTITY_TRUST_DOMAIN: "trust.example",
    WEFT_LOG_LEVEL: "debug",
  });
  if (!config.ok) throw new Error(describeFaults(config.faults));
  const { clusterNetworks, ...rest } = config.value;
  t.deepEqual(rest, {
    policy: { host: "0.0.0.0", port: 1 },
    destination: { host: "::", port: 2 },
    admin: { host: "127.0.0.2", port: 3 },
    clusterDomain: "example.org",
    defaultInboundPolicy: "deny",
    controlNamespace: "mesh",
    trustDomain: "trust.example",
    logLevel: "debug",
    identity: undefined,
  });
  t.deepEqual(clusterNetworks.map(formatCidr), ["10.1.0.0/16"]);
});

test("readPolicyServiceConfig() names every variable that cannot be used", (t) => {
  const config = readPolicyServiceConfig({
    WEFT_POLICY_LISTEN_ADDR: "localhost:8090",
    WEFT_CLUSTER_DOMAIN: "Cluster.Local",
    WEFT_DEFAULT_INBOUND_POLICY: "allow",
  });
  t.deepEqual(config.ok ? [] : config.faults.map(({ path }) => path), [
    "WEFT_POLICY_LISTEN_ADDR",
    "WEFT_CLUSTER_DOMAIN",
    "WEFT_DEFAULT_INBOUND_POLICY",
  ]);
});

test("readPolicyServiceConfig() needs to know who certifies it when it has a name", (t) => {
  const config = readPolicyServiceConfig({ WEFT_IDENTITY_LOCAL_NAME: "weft-policy.weft.id" });
  t.deepEqual(config.ok ? [] : config.faults.map(({ path }) => path).sort(), [
    "WEFT_IDENTITY_SVC_ADDR",
    "WEFT_IDENTITY_TOKEN_FILE",
    "WEFT_IDENTITY_TRUST_ANCHORS",
  ]);
});
