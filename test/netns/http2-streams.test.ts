/** A stream that is open for long: what changes around it does not touch it, and a sidecar that goes lets it end. */
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { NetnsMesh, podIdentity } from "../../src/demo/netns/mesh.ts";
import { namespace, type Pod } from "../../src/demo/netns/pod.ts";
import type { Running } from "../../src/demo/netns/running.ts";

const port = 50_051;
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const node = [process.execPath, "--disable-warning=ExperimentalWarning"];

/** As long as the answers of these calls take at the most on a busy machine, and to spare. */
const patient = {
  WEFT_WORKERS: "2",
  WEFT_SHUTDOWN_GRACE_PERIOD: "30s",
  WEFT_SHUTDOWN_QUIET_TIME: "1s",
};

type Replica = { readonly pod: Pod; readonly sidecar: Running };

async function startReplica(mesh: NetnsMesh, pod: Pod): Promise<Replica> {
  const server = [...node, script("rpc-server.ts"), `[::]:${port}`, pod.name];
  await pod.start("application", server).untilSays(/listening/);
  const sidecar = await mesh.startSidecar(pod, { isTransparent: true, env: patient });
  return { pod, sidecar };
}

/** Some more answers on the stream from now on. */
async function moves(stream: Running): Promise<void> {
  await stream.untilSays(/(?:tick \d+\n(?:.|\n)*?){3}/, stream.output.length);
}

/** Who answers a call that begins now. */
async function caller(stream: Running): Promise<string> {
  const behind = stream.output.length;
  stream.signal("SIGUSR1");
  const [, code = "", server = ""] = await stream.untilSays(/call: (\d+) by (\S*) .*\n/, behind);
  return `${code} ${server}`;
}

/** The client ends its side; what it is told then. */
async function ended(stream: Running): Promise<string> {
  stream.signal("SIGUSR2");
  const [, end = ""] = await stream.untilSays(/ended with (.*): /);
  return end;
}

function server(name: string, identities: readonly string[]): readonly object[] {
  const meta = { name, namespace };
  return [
    {
      apiVersion: "policy.linkerd.io/v1beta3",
      kind: "Server",
      metadata: meta,
      spec: { podSelector: { matchLabels: { app: name } }, port, proxyProtocol: "gRPC" },
    },
    {
      apiVersion: "policy.linkerd.io/v1alpha1",
      kind: "MeshTLSAuthentication",
      metadata: meta,
      spec: { identities },
    },
    {
      apiVersion: "policy.linkerd.io/v1alpha1",
      kind: "AuthorizationPolicy",
      metadata: meta,
      spec: {
        targetRef: { group: "policy.linkerd.io", kind: "Server", name },
        requiredAuthenticationRefs: [
          { group: "policy.linkerd.io", kind: "MeshTLSAuthentication", name },
        ],
      },
    },
  ];
}

const routed = (timeout: string): object => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "GRPCRoute",
  metadata: { name: "b", namespace, annotations: { "timeout.linkerd.io/idle": timeout } },
  spec: {
    parentRefs: [{ group: "", kind: "Service", name: "b", port }],
    rules: [
      {
        matches: [{ method: { service: "demo.Echo" } }],
        backendRefs: [{ name: "b", port }],
      },
    ],
  },
});

async function untilRenewed(sidecars: readonly Running[]): Promise<void> {
  const twice = /"identity_certified"(?:.|\n)*"identity_certified"/;
  await Promise.all(sidecars.map((sidecar) => sidecar.untilSays(twice)));
}

async function endsWell(t: ExecutionContext, sidecar: Running): Promise<void> {
  t.is(await sidecar.ended, 0);
  const [drained = ""] = await sidecar.untilSays(/.*"drained".*/);
  t.regex(drained, /"cutOff":\{"requests":0,"tunnels":0,"opaque":0\}/);
}

/** Calls again until the answer is as it should be from now on. */
async function untilCalled(stream: Running, wanted: string): Promise<void> {
  while ((await caller(stream)) !== wanted);
}

type Mesh = {
  readonly mesh: NetnsMesh;
  readonly a: Pod;
  readonly near: Running;
  readonly b1: Replica;
  readonly b2: Replica;
};

/** What changes while the stream is open: who may call, which routes there are, the certificates of both sidecars, and the endpoints. */
async function change(stream: Running, { mesh, a, near, b1, b2 }: Mesh): Promise<void> {
  mesh.declare("policies", [routed("30s"), ...server("b1", ["nobody.example"])]);
  await untilCalled(stream, "7 ");
  await moves(stream);
  mesh.declare("policies", [routed("40s"), ...server("b1", [podIdentity(a)])]);
  await untilCalled(stream, "0 b1");
  await mesh.setEndpoints("b", [b2.pod]);
  await untilCalled(stream, "0 b2");
  await moves(stream);
  await mesh.setEndpoints("b", [b1.pod, b2.pod]);
  await untilCalled(stream, "0 b1");
  await untilRenewed([near, b1.sidecar]);
  await moves(stream);
}

test("a bidirectional stream lives through policies, renewals and other endpoints, and ends with its status and trailers while either sidecar drains", async (t) => {
  await using mesh = await NetnsMesh.start({ certificateLifetime: "10s" });
  const a = await mesh.addPod("a");
  const pods = [await mesh.addPod("b1", [port]), await mesh.addPod("b2", [port])] as const;
  const ports = [{ port, targetPort: port }];
  const service = await mesh.addService({ name: "b", ports, endpoints: [pods[0]] }, [4]);
  const [near, b1, b2] = await Promise.all([
    mesh.startSidecar(a, { isTransparent: true, env: patient }),
    startReplica(mesh, pods[0]),
    startReplica(mesh, pods[1]),
  ]);
  const client = [...node, script("rpc-stream.ts"), `${service.ip4}:${port}`];
  const first = a.start("application", client);
  await moves(first);
  t.is(await caller(first), "0 b1");
  await change(first, { mesh, a, near, b1, b2 });

  b1.sidecar.signal("SIGTERM");
  // Clients learn late that a pod goes, and none of their calls fails for that.
  for (let at = 0; at < 6; at++) {
    t.regex(await caller(first), /^0 b[12]$/);
    await moves(first);
  }
  await mesh.setEndpoints("b", [b2.pod]);
  await untilCalled(first, "0 b2");
  t.is(await ended(first), "0 by b1, 0 unanswered");
  await endsWell(t, b1.sidecar);

  const second = a.start("application", client);
  await moves(second);
  near.signal("SIGTERM");
  await moves(second);
  t.is(await ended(second), "0 by b2, 0 unanswered");
  await endsWell(t, near);
  for (const { output } of [first, second]) t.notRegex(output, /out of order|call: (?!0|7)/);
});
