/** HTTP/2 and gRPC of programs that we did not write, through two sidecars, by both address families, with nothing readable on the wire. */
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import { NetnsMesh } from "../../src/demo/netns/mesh.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";
import { needing } from "../harness/needing.ts";
import { pythonClient, pythonGrpc, pythonServer, saidByPython } from "../harness/python-grpc.ts";
import { Capture } from "./capture.ts";
import { metricSum } from "./metrics.ts";
import { startNginx } from "./servers.ts";

const ports = { nginx: 8080, python: 50_051, grpcJs: 50_052 } as const;
const trial = ["--version"];
const curl = { command: "curl", trial, debianPackage: "curl" };
const nghttp = { command: "nghttp", trial, debianPackage: "nghttp2-client" };
const h2load = { command: "h2load", trial, debianPackage: "nghttp2-client" };

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const node = [process.execPath, "--disable-warning=ExperimentalWarning"];
const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);

/** Requests that each sidecar of the way has counted so far. */
function counted(a: Pod, b: Pod): Promise<readonly number[]> {
  return Promise.all([
    metricSum(a, "request_total", 'direction="outbound"'),
    metricSum(b, "request_total", 'direction="inbound"'),
  ]);
}

type Use = {
  readonly title: string;
  readonly command: readonly string[];
  readonly said: RegExp;
  readonly requests: number;
};

function uses(hosts: readonly string[]): readonly Use[] {
  const at = (port: number): readonly string[] => hosts.map((host) => `${bracketed(host)}:${port}`);
  const calls = 5;
  const grpc = (title: string, command: readonly string[]): Use => ({
    title,
    command,
    said: new RegExp(`^${saidByPython.replaceAll("+", "\\+").repeat(hosts.length)}$`),
    requests: calls * hosts.length,
  });
  const toPython = at(ports.python);
  const toGrpcJs = at(ports.grpcJs);
  const ask = ["curl", "-sSg", "-m", "20", "--http2-prior-knowledge"];
  const verbose = ["nghttp", "-v", "-t", "20", "-m", "10"];
  const load = ["h2load", "-n", "400", "-c", "4", "-m", "10"];
  return [
    ...at(ports.nginx).flatMap((address) => [
      {
        title: `curl to ${address}`,
        command: [...ask, "-w", " %{http_version} %{http_code}", `http://${address}/a-secret`],
        said: /^nginx for \/a-secret 2 200$/,
        requests: 1,
      },
      {
        title: `nghttp to ${address}`,
        command: [...verbose, `http://${address}/a-secret`],
        said: /(?:(?:.|\n)*?:status: 200){10}/,
        requests: 10,
      },
      {
        title: `h2load to ${address}`,
        // Left to itself it writes an address of IPv6 without brackets, which is no authority (RFC 3986 §3.2.2).
        command: [...load, "-H", `:authority: ${address}`, `http://${address}/a-secret`],
        said: /400 succeeded, 0 failed, 0 errored/,
        requests: 400,
      },
    ]),
    grpc("Python to Python", pythonClient("", ...toPython)),
    grpc("Python to grpc-js", pythonClient("", ...toGrpcJs)),
    grpc("grpc-js to Python", [...node, script("rpc-client.ts"), ...toPython]),
    grpc("grpc-js to grpc-js", [...node, script("rpc-client.ts"), ...toGrpcJs]),
  ];
}

async function startServers(pod: Pod, folder: string): Promise<void> {
  await Promise.all([
    startNginx(pod, folder, { http2: [ports.nginx] }),
    pod.start("application", pythonServer(`[::]:${ports.python}`)).untilSays(/listening/),
    pod
      .start("application", [...node, script("rpc-server.ts"), `[::]:${ports.grpcJs}`])
      .untilSays(/listening/),
  ]);
}

async function use(t: ExecutionContext, a: Pod, b: Pod, one: Use): Promise<void> {
  const before = await counted(a, b);
  const { out, err } = await a.exec("application", one.command);
  t.regex(out, one.said, `${one.title}: ${err}`);
  const after = await counted(a, b);
  const expected = before.map((count) => count + one.requests);
  t.deepEqual(after, expected, one.title);
}

needing(
  curl,
  nghttp,
  h2load,
  pythonGrpc,
)(
  "curl, nghttp, h2load and gRPC clients in Python and of grpc-js work through two sidecars, encrypted on the wire",
  async (t) => {
    await using mesh = await NetnsMesh.start();
    const a = await mesh.addPod("a");
    const b = await mesh.addPod("b", Object.values(ports));
    const service = await mesh.addService({
      name: "b",
      ports: Object.values(ports).map((port) => ({ port, targetPort: port })),
      endpoints: [b],
    });
    await startServers(b, mesh.node.folder);
    await Promise.all([a, b].map((pod) => mesh.startSidecar(pod, { isTransparent: true })));
    const capture = await Capture.start(mesh.node);
    // By its Service, and by its own address, which no policy of the Service speaks for.
    for (const one of uses([service.ip4, service.ip6, b.ip4, b.ip6])) await use(t, a, b, one);
    // Plain text on the same bridge, so that a capture which sees nothing does not pass.
    const visible = `http://${mesh.policyPod.ip4}:9990/a-visible-path`;
    await a.exec("application", ["curl", "-s", "-m", "20", visible]);
    const bytes = await capture.stop();
    t.true(bytes.includes("/a-visible-path"));
    // The first is how every connection of HTTP/2 begins (RFC 9113 §3.4), the last what a call failed with.
    for (const plain of ["PRI * HTTP/2.0", "nginx for", "asked to fail"]) {
      t.false(bytes.includes(plain), plain);
    }
  },
);
