/** A sidecar and a real policy service, with a ServiceProfile between them. */
import test from "ava";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { type Bench, startBench } from "../policy-service/harness.ts";
import { ControlPlane } from "./control-plane.ts";
import { SidecarProcess } from "./sidecar-process.ts";

function serviceAt(name: string, port: number): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: demo }
spec: { ports: [{ name: http, port: 8080 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-1, namespace: demo, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: http, port: ${port} }]
endpoints: [{ addresses: [127.0.0.1] }]
`;
}

/** The HTTPRoute sends everything to b. The profile sends everything to a, and knows a slow and a shaky route. */
const rules = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec:
  parentRefs: [{ group: "", kind: Service, name: a }]
  rules: [{ backendRefs: [{ name: b, port: 8080 }] }]
`;

const profile = `apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: { name: a.demo.svc.cluster.local, namespace: demo }
spec:
  routes:
    - { name: slow, condition: { pathRegex: /slow }, timeout: 200ms }
    - { name: shaky, condition: { all: [{ method: GET }, { pathRegex: /shaky }] }, isRetryable: true }
  retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 100, ttl: 10s }
`;

/** Never answers `/slow`, and only every third `/shaky`. */
function shakyOrigin(): Promise<RawOrigin> {
  let shaky = 0;
  return RawOrigin.start((socket, soFar) => {
    if (!soFar.endsWith("\r\n\r\n")) return;
    const line = soFar.split("\r\n\r\n").at(-2) ?? "";
    if (line.includes("/slow")) return;
    const isBad = line.includes("/shaky") && ++shaky % 3 !== 0;
    socket.write(`HTTP/1.1 ${isBad ? "503 No" : "200 OK"}\r\nContent-Length: 1\r\n\r\na`);
  });
}

function startSidecar(plane: ControlPlane, { service }: Bench): SidecarProcess {
  return SidecarProcess.start(plane, {
    env: {
      WEFT_POLICY_SVC_ADDR: `127.0.0.1:${service.policyPort}`,
      WEFT_DESTINATION_SVC_ADDR: `127.0.0.1:${service.destinationPort}`,
    },
  });
}

async function get(address: string, path: string): Promise<RawResponse> {
  using client = await RawClient.open(Number(address.slice(address.lastIndexOf(":") + 1)));
  return await client.send(`GET ${path} HTTP/1.1\r\nHost: a.demo:8080\r\n\r\n`).response();
}

test.serial("a sidecar does what a ServiceProfile of a real policy service says", async (t) => {
  await using plane = await ControlPlane.start();
  await using a = await shakyOrigin();
  await using b = await EchoOrigin.start("b");
  await using bench = await startBench({
    "mesh.yaml": serviceAt("a", a.port) + serviceAt("b", b.port),
    "route.yaml": rules,
    "profile.yaml": profile,
  });
  await using sidecar = startSidecar(plane, bench);
  const { outbound } = await sidecar.ready();

  t.is((await get(outbound, "/shaky")).status, 200);
  t.is(a.received.split("GET /shaky").length - 1, 3);
  t.true(a.received.includes("l5d-dst-canonical: a.demo.svc.cluster.local:8080"));
  t.is((await get(outbound, "/slow")).status, 504);
  t.is((await get(outbound, "/else")).body, "a");
  t.deepEqual(b.seen, []);
  t.regex(
    await sidecar.page("policy"),
    /"source": "ServiceProfile demo\/a.demo.svc.cluster.local"/,
  );

  await bench.put("profile.yaml", profile.replace("spec:", "spec: {}\nstatus:"));
  for (let found = ""; !found.startsWith("b"); found = (await get(outbound, "/else")).body);
  t.is(b.seen.at(-1)?.url, "/else");
});
