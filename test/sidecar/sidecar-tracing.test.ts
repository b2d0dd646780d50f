import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { ServerCredentials } from "@grpc/grpc-js";
import test from "ava";
import { MeshServerCredentials } from "../../src/edge/grpc/mesh-credentials.ts";
import { CredentialSlot } from "../../src/edge/identity/credential-slot.ts";
import { issueCertificate, randomSerial } from "../../src/edge/x509/certificate.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { withPort } from "../harness/port.ts";
import { type CollectedSpan, TraceCollector } from "../harness/trace-collector.ts";
import { ControlPlane } from "./control-plane.ts";
import { endpoint, everybody, inboundFor, policyTo } from "./policies.ts";
import { SidecarProcess } from "./sidecar-process.ts";

const web = "web.demo.svc.cluster.local:8080";
const webIdentity = "web.demo.serviceaccount.identity.weft.cluster.local";
const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerId = "b7ad6b7169203331";
const sampled = `00-${traceId}-${callerId}-01`;

type Answer = { readonly status: number; readonly body: string };

function ask(
  address: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(`http://${address}`);
    const options = { agent: false as const, headers: { host: web, ...headers } };
    const request = http.get({ ...options, hostname, port, path }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on("error", reject);
  });
}

/** Takes connections and never says a word. */
class HangingServer implements AsyncDisposable {
  readonly #server: Server = createServer((socket) => {
    this.#sockets.push(socket.on("error", () => {}));
  });
  readonly #sockets: Socket[] = [];

  static async start(): Promise<HangingServer> {
    const hanging = new HangingServer();
    hanging.#server.listen(0, "127.0.0.1");
    await once(hanging.#server, "listening");
    return hanging;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

type Mesh = AsyncDisposable & {
  readonly plane: ControlPlane;
  readonly origin: EchoOrigin;
  readonly frontend: SidecarProcess;
  readonly backend: SidecarProcess;
  /** Where the application of the frontend asks. */
  readonly outbound: string;
  readonly port: number;
};

/** An application behind its sidecar, and the sidecar of a client, which both tell the collector. */
async function startMesh(
  env: Readonly<Record<string, string>>,
  given?: ControlPlane,
): Promise<Mesh> {
  const stack = new AsyncDisposableStack();
  const plane = given ?? stack.use(await ControlPlane.start());
  const origin = stack.use(await EchoOrigin.start("web"));
  const { backend, port } = await withPort(async (port) => {
    plane.setInbound(port, inboundFor(everybody()));
    const backend = SidecarProcess.start(plane, {
      env: {
        WEFT_POLICY_WORKLOAD: '{"ns":"demo","pod":"web-7d9f8b6c5c-x2x4k"}',
        WEFT_IDENTITY_LOCAL_NAME: webIdentity,
        WEFT_INBOUND_FORWARDS: `127.0.0.1:${port}=127.0.0.1:${origin.port}`,
        ...env,
      },
    });
    return { backend, port };
  });
  stack.use(backend);
  const { inbound } = await backend.ready();
  plane.setOutbound(web, policyTo(web));
  const meshed = {
    ...endpoint(port),
    tls: { identity: webIdentity, serverName: webIdentity },
    inboundPort: Number(inbound.split(":").at(-1)),
  };
  plane.setEndpoints(web, { exists: true, endpoints: [meshed] });
  const frontend = stack.use(SidecarProcess.start(plane, { env }));
  const { outbound } = await frontend.ready();
  return {
    plane,
    origin,
    frontend,
    backend,
    outbound,
    port,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function spanAt(
  spans: readonly CollectedSpan[],
  service: string,
  kind: CollectedSpan["kind"],
): CollectedSpan {
  const found = spans.find(
    (span) => span.resource.get("service.name") === service && span.kind === kind,
  );
  if (found === undefined) throw new Error(`No ${kind} span of ${service} has come`);
  return found;
}

function hasSaid({ lines }: SidecarProcess, event: string): boolean {
  return lines.some((line) => line.event === event);
}

/** The value of a counter. */
async function counter(sidecar: SidecarProcess, name: string): Promise<number> {
  const line = (await sidecar.page("metrics"))
    .split("\n")
    .find((text) => text.startsWith(`${name} `));
  return Number(line?.split(" ").at(-1) ?? Number.NaN);
}

test.serial(
  "a sampled request is one trace from its caller through both sidecars to the application",
  async (t) => {
    await using collector = await TraceCollector.start();
    await using mesh = await startMesh({
      WEFT_TRACE_COLLECTOR_SVC_ADDR: collector.address,
      WEFT_TRACE_EXTRA_ATTRIBUTES: "k8s.node.name=node-1",
      WEFT_ACCESS_LOG: "json",
    });
    const headers = { traceparent: sampled, "user-agent": "probe/1" };
    t.is((await ask(mesh.outbound, "/orders/1?token=secret", headers)).status, 200);
    const spans = await collector.until(4);
    const outServer = spanAt(spans, "frontend", "server");
    const outClient = spanAt(spans, "frontend", "client");
    const inServer = spanAt(spans, "web", "server");
    const inClient = spanAt(spans, "web", "client");
    for (const span of spans) t.is(span.traceId, traceId);
    t.is(outServer.parentId, callerId);
    t.is(outClient.parentId, outServer.spanId);
    t.is(inServer.parentId, outClient.spanId);
    t.is(inClient.parentId, inServer.spanId);
    t.is(mesh.origin.header("traceparent"), `00-${traceId}-${inClient.spanId}-01`);

    const about = Object.fromEntries(outServer.attributes);
    t.like(about, {
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "http.route": "/",
      "url.path": "/orders/1",
      "url.scheme": "http",
      "server.address": "web.demo.svc.cluster.local",
      "server.port": 8080,
      "client.address": "127.0.0.1",
      "network.protocol.version": "1.1",
      "user_agent.original": "probe/1",
      "weft.direction": "outbound",
      "weft.policy": "Service demo/backend-a:8080",
      "weft.route": "HTTPRoute demo/test",
      "weft.rule": 0,
    });
    t.is(outServer.name, "GET /");
    t.is(outServer.statusCode, 0);
    t.true(Number(about["weft.queue_ms"]) >= 0);
    t.like(Object.fromEntries(outClient.attributes), {
      "url.full": "http://web.demo.svc.cluster.local:8080/orders/1",
      "http.response.status_code": 200,
      "network.peer.address": "127.0.0.1",
      "network.peer.port": mesh.port,
      "weft.backend": "Service demo/web:8080",
      "weft.peer.identity": webIdentity,
      "weft.tls": true,
    });
    for (const name of ["weft.connect_ms", "weft.first_byte_ms"]) {
      t.true(Number(inClient.attributes.get(name)) >= 0, name);
    }
    t.like(Object.fromEntries(inServer.attributes), {
      "weft.direction": "inbound",
      "weft.verdict": "allow",
      "weft.authorization": "AuthorizationPolicy demo/everybody",
      "weft.peer.identity": "frontend.demo.serviceaccount.identity.weft.cluster.local",
    });
    t.like(Object.fromEntries(inServer.resource), {
      "service.name": "web",
      "k8s.namespace.name": "demo",
      "k8s.pod.name": "web-7d9f8b6c5c-x2x4k",
      "k8s.node.name": "node-1",
    });
    for (const span of spans) {
      t.true(span.endMs >= span.startMs && Math.abs(span.endMs - Date.now()) < 60_000);
      t.notRegex(JSON.stringify([...span.attributes]), /secret|token/);
    }
    // The ids in the log are those of the trace.
    const line = JSON.parse(await mesh.frontend.accessLine("/orders/1"));
    t.is(line.trace_id, traceId);
    t.is(line.decision_id, about["weft.decision_id"]);
  },
);

test.serial(
  "a denial is an answer of the server and an error of the client, and says why",
  async (t) => {
    await using collector = await TraceCollector.start();
    await using mesh = await startMesh({ WEFT_TRACE_COLLECTOR_SVC_ADDR: collector.address });
    mesh.plane.setInbound(mesh.port, inboundFor());
    for (;;) {
      const { status } = await ask(mesh.outbound, "/denied", { traceparent: sampled });
      if (status === 403) break;
    }
    const denied = (span: CollectedSpan): boolean =>
      span.attributes.get("http.response.status_code") === 403;
    const spans = await collector.until(3, denied);
    const inServer = spanAt(spans, "web", "server");
    t.like(Object.fromEntries(inServer.attributes), {
      "weft.verdict": "deny",
      "weft.error": "unauthorized",
      "url.path": "/denied",
    });
    t.not(inServer.attributes.get("weft.reason"), undefined);
    t.is(inServer.statusCode, 0);
    const outClient = spanAt(spans, "frontend", "client");
    t.is(outClient.statusCode, 2);
    t.is(outClient.attributes.get("error.type"), "403");
    t.is(inServer.parentId, outClient.spanId);
  },
);

test.serial(
  "a collector that is down costs no request; its loss and its return are one line each, and what is lost is counted",
  async (t) => {
    const first = await TraceCollector.start();
    await using mesh = await startMesh({
      WEFT_TRACE_COLLECTOR_SVC_ADDR: first.address,
      WEFT_TRACE_SAMPLE_RATIO: "1",
    });
    const { port } = first;
    t.is((await ask(mesh.outbound, "/")).status, 200);
    await first.until(4);
    await first[Symbol.asyncDispose]();
    let asked = 0;
    while (asked < 200 || !hasSaid(mesh.frontend, "trace_collector_lost")) {
      t.is((await ask(mesh.outbound, `/${asked++}`)).status, 200);
    }
    const { collector } = await mesh.frontend.line("trace_collector_lost");
    t.is(collector, `127.0.0.1:${port}`);
    const dropped = 'weft_trace_spans_dropped_total{reason="collector"}';
    t.true((await counter(mesh.frontend, dropped)) > 0);

    await using second = await TraceCollector.start({ port });
    while (!hasSaid(mesh.frontend, "trace_collector_back")) {
      t.is((await ask(mesh.outbound, "/again")).status, 200);
    }
    await second.until(1, (span) => span.attributes.get("url.path") === "/again");
    const told = mesh.frontend.lines.filter(({ event }) => event.startsWith("trace_collector"));
    t.deepEqual(
      told.map(({ event }) => event),
      ["trace_collector_lost", "trace_collector_back"],
    );
    t.true((await counter(mesh.frontend, "weft_trace_spans_sent_total")) > 0);
  },
);

/** What a collector that is part of the mesh shows, and asks for. */
function meshCredentials(plane: ControlPlane, name: string): ServerCredentials {
  const { issuer } = plane.authority;
  const { publicKey, privateKey } = makeKeyPair();
  const leaf = issueCertificate({
    issuer,
    name,
    altNames: [{ kind: "dns", value: name }],
    publicKey,
    serial: randomSerial(),
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 3_600_000,
  });
  const slot = new CredentialSlot();
  slot.put({
    certificateChain: certificateToPem(leaf) + certificateToPem(issuer.certificate),
    privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    trustAnchors: plane.trustAnchors,
  });
  return new MeshServerCredentials(slot, "required");
}

test.serial(
  "a collector with a name is spoken to over mutual TLS, and must prove it",
  async (t) => {
    const name = "otel.obs.serviceaccount.identity.weft.cluster.local";
    await using plane = await ControlPlane.start();
    const credentials = meshCredentials(plane, name);
    await using collector = await TraceCollector.start({ credentials });
    const WEFT_TRACE_COLLECTOR_SVC_ADDR = collector.address;
    await using mesh = await startMesh(
      { WEFT_TRACE_COLLECTOR_SVC_ADDR, WEFT_TRACE_COLLECTOR_SVC_NAME: name },
      plane,
    );
    t.is((await ask(mesh.outbound, "/", { traceparent: sampled })).status, 200);
    await collector.until(4);
    await using other = SidecarProcess.start(plane, {
      env: { WEFT_TRACE_COLLECTOR_SVC_ADDR, WEFT_TRACE_COLLECTOR_SVC_NAME: webIdentity },
    });
    const { outbound } = await other.ready();
    t.is((await ask(outbound, "/unproven", { traceparent: sampled })).status, 200);
    await other.line("trace_collector_lost");
    const isUnproven = (span: CollectedSpan): boolean =>
      span.attributes.get("url.path") === "/unproven" &&
      span.resource.get("service.name") !== "web";
    t.false(collector.spans.some(isUnproven));
  },
);

test.serial("a sidecar that ends sends what it has recorded before", async (t) => {
  await using collector = await TraceCollector.start();
  await using mesh = await startMesh({
    WEFT_TRACE_COLLECTOR_SVC_ADDR: collector.address,
    WEFT_SHUTDOWN_GRACE_PERIOD: "1s",
    WEFT_SHUTDOWN_QUIET_TIME: "0",
  });
  t.is((await ask(mesh.outbound, "/last", { traceparent: sampled })).status, 200);
  t.is(await mesh.frontend.stop(), 0);
  t.is(
    collector.spans.filter(({ resource }) => resource.get("service.name") === "frontend").length,
    2,
  );
});

test.serial("a sidecar whose collector hangs ends in time", async (t) => {
  await using hanging = await HangingServer.start();
  await using mesh = await startMesh({
    WEFT_TRACE_COLLECTOR_SVC_ADDR: `127.0.0.1:${hanging.port}`,
    WEFT_SHUTDOWN_GRACE_PERIOD: "1s",
    WEFT_SHUTDOWN_QUIET_TIME: "0",
  });
  t.is((await ask(mesh.outbound, "/last", { traceparent: sampled })).status, 200);
  const startMs = performance.now();
  t.is(await mesh.frontend.stop(), 0);
  // One second for the drain, three for the spans, and the rest for a busy machine.
  t.true(performance.now() - startMs < 10_000);
});

/** Files that a file of the sources imports whenever it is loaded: types are erased, and what is imported in the middle of the code comes later, if ever. */
function importsOf(file: URL): readonly URL[] {
  const source = readFileSync(file, "utf8");
  const found = source.matchAll(/^(?:import|export) (?!type )[^;]*?from "([^"]+)";/gm);
  return Array.from(found, ([, name = ""]) =>
    name.startsWith(".") ? new URL(name, file) : new URL(`package:${name}`),
  );
}

test("nothing of OpenTelemetry is loaded by a sidecar that is not told to trace", (t) => {
  for (const entry of ["main.ts", "start-sidecar.ts", "sidecar.ts", "sidecar-worker.ts"]) {
    const seen = new Set<string>();
    const open = [new URL(`../../src/app/${entry}`, import.meta.url)];
    if (entry === "sidecar-worker.ts") {
      open.push(new URL("../../src/proxy/start-shard.ts", import.meta.url));
    }
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      if (seen.has(file.href)) continue;
      seen.add(file.href);
      t.notRegex(file.href, /opentelemetry|otlp/, `${entry} loads it`);
      if (file.protocol === "file:") open.push(...importsOf(file));
    }
    t.true(seen.size > 5);
  }
  // The way to it is seen by this test where there is one.
  const sink = importsOf(new URL("../../src/sidecar/otlp-sink.ts", import.meta.url));
  t.true(sink.some(({ href }) => href.includes("opentelemetry")));
});
