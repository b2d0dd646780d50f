import test from "ava";
import type { Endpoint } from "../../../src/core/model/endpoint.ts";
import { noProfile } from "../../../src/core/model/profile.ts";
import { resolveEndpoints } from "../../../src/core/resolve/endpoints.ts";
import { resolveProfile } from "../../../src/core/resolve/profile.ts";
import { readBrokenStore, readStore, settings } from "./world.ts";

const authority = "web.demo.svc.cluster.local:80";

const webService = `---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: demo }
spec:
  clusterIP: 10.96.0.1
  ports: [{ name: http, port: 80, targetPort: http }, { name: admin, port: 81, targetPort: 9000 }]
`;

function slice(name: string, endpoints: string, more = ""): string {
  return `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}, namespace: demo, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8080 }, { name: admin, port: 9000 }]
endpoints: [${endpoints}]
${more}`;
}

function pod(name: string, ip: string, metadata = ""): string {
  return `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: demo${metadata} }
spec: { serviceAccountName: web, containers: [{ name: app, ports: [{ name: http, containerPort: 8080 }] }] }
status: { podIPs: [{ ip: ${ip} }] }
`;
}

const meshed = ", labels: { linkerd.io/control-plane-ns: weft, pod-template-hash: abc }";

function places(...texts: readonly string[]): readonly string[] {
  return endpointsOf(...texts).map(({ ip, port }) => `${ip} ${port}`);
}

function endpointsOf(...texts: readonly string[]): readonly Endpoint[] {
  return resolveEndpoints(readBrokenStore(...texts), settings, authority).endpoints;
}

function only(...texts: readonly string[]): Endpoint {
  const [endpoint, second] = endpointsOf(...texts);
  if (endpoint === undefined || second !== undefined) throw new Error("not exactly one endpoint");
  return endpoint;
}

const toPod = "{ addresses: [10.1.0.1], targetRef: { kind: Pod, name: web-1, namespace: demo } }";

test("resolveEndpoints() tells a missing Service from an empty one", (t) => {
  t.deepEqual(resolveEndpoints(readStore(), settings, authority), { exists: false, endpoints: [] });
  t.deepEqual(resolveEndpoints(readStore(webService), settings, authority), {
    exists: true,
    endpoints: [],
  });
});

test("resolveEndpoints() knows no port that the Service does not declare", (t) => {
  const store = readStore(webService, slice("web-1", "{ addresses: [10.1.0.1] }"));
  const other = "web.demo.svc.cluster.local:82";
  t.deepEqual(resolveEndpoints(store, settings, other), { exists: false, endpoints: [] });
});

test("resolveEndpoints() takes the port of each slice by the name of the Service's port", (t) => {
  const shifted = slice("web-2", "{ addresses: [10.1.0.2] }").replace("port: 8080", "port: 8888");
  t.deepEqual(places(webService, slice("web-1", "{ addresses: [10.1.0.1] }"), shifted), [
    "10.1.0.1 8080",
    "10.1.0.2 8888",
  ]);
});

test("resolveEndpoints() leaves out what is not ready, unless the Service publishes it", (t) => {
  const endpoints = slice(
    "web-1",
    "{ addresses: [10.1.0.1], conditions: { ready: false } }, { addresses: [10.1.0.2], conditions: { ready: true } }, { addresses: [10.1.0.3] }",
  );
  t.deepEqual(places(webService, endpoints), ["10.1.0.2 8080", "10.1.0.3 8080"]);
  const publishing = webService.replace("spec:", "spec:\n  publishNotReadyAddresses: true");
  t.is(places(publishing, endpoints).length, 3);
});

test("resolveEndpoints() names a place once, in whichever slices it stands", (t) => {
  const two = [
    slice("web-1", "{ addresses: [10.1.0.1] }"),
    slice("web-2", "{ addresses: [10.1.0.1] }"),
  ];
  t.deepEqual(places(webService, ...two), ["10.1.0.1 8080"]);
});

test("resolveEndpoints() knows both families and leaves names out", (t) => {
  const six = slice("six", '{ addresses: ["2001:DB8::1"] }').replace("IPv4", "IPv6");
  const names = slice("names", "{ addresses: [www.example.com] }").replace("IPv4", "FQDN");
  t.deepEqual(places(webService, six, names), ["2001:db8::1 8080"]);
});

test("resolveEndpoints() takes the ports of the slices when a headless Service has none", (t) => {
  const headless = `---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: demo }
spec: { clusterIP: None }
`;
  const unnamed = slice("web-1", "{ addresses: [10.1.0.1] }").replace(
    /ports: .*/,
    "ports: [{ port: 8080 }]",
  );
  t.deepEqual(places(headless, unnamed), ["10.1.0.1 8080"]);
});

test("resolveEndpoints() reaches a meshed pod through its sidecar, by the name of its service account", (t) => {
  const identity = "web.demo.serviceaccount.identity.weft.cluster.local";
  t.deepEqual(only(webService, slice("web-1", toPod), pod("web-1", "10.1.0.1", meshed)), {
    ip: "10.1.0.1",
    port: 8080,
    weight: 10_000,
    tls: { identity, serverName: identity },
    inboundPort: 4143,
    hint: "none",
    labels: {
      service: "web",
      namespace: "demo",
      zone_locality: "unknown",
      pod: "web-1",
      serviceaccount: "web",
      control_plane_ns: "weft",
      pod_template_hash: "abc",
    },
  });
});

const plain = test.macro({
  exec: (t, metadata: string) => {
    const endpoint = only(webService, slice("web-1", toPod), pod("web-1", "10.1.0.1", metadata));
    t.like(endpoint, { tls: undefined, inboundPort: 0, hint: "none" });
  },
  title: (given) => `resolveEndpoints() dials a pod directly ${given}`,
});
test("without a sidecar", plain, "");
test("of another mesh", plain, ", labels: { linkerd.io/control-plane-ns: linkerd }");
test(
  "on a port that skips the sidecar",
  plain,
  `${meshed}, annotations: { config.linkerd.io/skip-inbound-ports: "8000-8100" }`,
);

test("resolveEndpoints() dials the sidecar's own admin port directly", (t) => {
  const admin = slice("web-1", toPod).replace("port: 8080", "port: 4191");
  const endpoint = only(webService, admin, pod("web-1", "10.1.0.1", meshed));
  t.like(endpoint, { port: 4191, tls: undefined, inboundPort: 0 });
});

const inboundPorts = test.macro({
  exec: (t, annotation: string, port: number) => {
    const metadata = `${meshed}, annotations: { config.linkerd.io/inbound-port: "${annotation}" }`;
    const endpoint = only(webService, slice("web-1", toPod), pod("web-1", "10.1.0.1", metadata));
    t.is(endpoint.inboundPort, port);
  },
  title: (_given, annotation: string, port: number) =>
    `resolveEndpoints() dials port ${port} for the annotation inbound-port "${annotation}"`,
});
test(inboundPorts, "5143", 5143);
test(inboundPorts, "0", 4143);
test(inboundPorts, "70000", 4143);
test(inboundPorts, "4143; x", 4143);

test("resolveEndpoints() says that a port is opaque when its pod or its Server does", (t) => {
  const opaqueServer = `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: s, namespace: demo }
spec: { podSelector: {}, port: http, proxyProtocol: opaque }
`;
  const annotated = `${meshed}, annotations: { config.linkerd.io/opaque-ports: "8080" }`;
  const one = slice("web-1", toPod);
  t.is(only(webService, one, pod("web-1", "10.1.0.1", annotated)).hint, "opaque");
  t.is(only(webService, one, pod("web-1", "10.1.0.1", meshed), opaqueServer).hint, "opaque");
});

test("resolveEndpoints() leaves out a pod that is not known, or cannot be read: it may be meshed", (t) => {
  const one = slice("web-1", `${toPod}, { addresses: [10.1.0.9] }`);
  t.deepEqual(places(webService, one), ["10.1.0.9 8080"]);
  const broken = pod("web-1", "10.1.0.1", meshed).replace(
    "containerPort: 8080",
    "containerPort: 0",
  );
  t.deepEqual(places(webService, one, broken), ["10.1.0.9 8080"]);
});

test("resolveEndpoints() answers for Services only", (t) => {
  const store = readStore(
    webService.replace(
      "clusterIP: 10.96.0.1",
      "type: ExternalName\n  externalName: www.example.com",
    ),
  );
  t.false(resolveEndpoints(store, settings, authority).exists);
  t.false(resolveEndpoints(store, settings, "www.example.com:80").exists);
});

test("resolveProfile() knows a Service by address and by name", (t) => {
  const store = readStore(webService);
  const byName = resolveProfile(store, settings, { kind: "authority", authority }, "demo");
  const target = { kind: "address", ip: "10.96.0.1", port: 80 } as const;
  const byAddress = resolveProfile(store, settings, target, "demo");
  const name = "web.demo.svc.cluster.local";
  t.like(byName, { policy: { name, opaque: false, parent: { port: 80 }, routes: [] } });
  t.deepEqual(byAddress, byName);
});

test("resolveProfile() does not know a port that the Service does not declare", (t) => {
  const target = { kind: "address", ip: "10.96.0.1", port: 82 } as const;
  t.deepEqual(resolveProfile(readStore(webService), settings, target, "demo"), {
    policy: noProfile,
  });
});

test("resolveProfile() tells how to reach a pod", (t) => {
  const store = readStore(pod("web-1", "10.1.0.1", meshed));
  const target = { kind: "address", ip: "10.1.0.1", port: 8080 } as const;
  const found = resolveProfile(store, settings, target, "demo");
  t.like(found, {
    policy: {
      name: "",
      opaque: false,
      endpoint: { ip: "10.1.0.1", port: 8080, inboundPort: 4143, labels: { namespace: "demo" } },
    },
  });
});

test("resolveProfile() sends what is outside of the mesh to where it was sent", (t) => {
  const target = { kind: "address", ip: "192.0.2.1", port: 443 } as const;
  t.like(resolveProfile(readStore(), settings, target, undefined), {
    policy: { endpoint: { ip: "192.0.2.1", tls: undefined } },
  });
});

test("resolveProfile() does not know a Service that does not exist", (t) => {
  const found = resolveProfile(readStore(), settings, { kind: "authority", authority }, "demo");
  t.deepEqual(found, { unknown: "Service demo/web does not exist" });
});
