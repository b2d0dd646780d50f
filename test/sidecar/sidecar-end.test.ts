import { createHash } from "node:crypto";
import { once } from "node:events";
import http, { type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pass } from "node:timers/promises";
import test from "ava";
import { sameWishMs } from "../../src/edge/process/signal.ts";
import { maxRestarts } from "../../src/sidecar/restart-limit.ts";
import { ControlPlane } from "./control-plane.ts";
import { openInspector } from "./crash-worker.ts";
import { Gate } from "./gate.ts";
import { endpointsAt, everybody, inboundFor, policyTo } from "./policies.ts";
import { SidecarProcess } from "./sidecar-process.ts";

const a = "backend-a.demo.svc.cluster.local:8080";

/** An application that leaves its first answer to the test. */
class Slow implements AsyncDisposable {
  readonly #server: http.Server;
  readonly #asked = Promise.withResolvers<ServerResponse>();

  private constructor(server: http.Server) {
    this.#server = server;
    server.once("request", (_request, response: ServerResponse) => {
      this.#asked.resolve(response);
      server.on("request", (_next, at: ServerResponse) => at.end("at once"));
    });
  }

  static async start(): Promise<Slow> {
    const server = http.createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Slow(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The first request's response, to be written. */
  get asked(): Promise<ServerResponse> {
    return this.#asked.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The only worker tells its clients to go. The main thread says that it drains before the worker has heard of it. */
async function untilTold(outbound: string): Promise<void> {
  const agent = new http.Agent({ keepAlive: true });
  for (;;) {
    const headers = { host: "backend-a.demo:8080" };
    const request = http.get(`http://${outbound}/`, { agent, headers });
    const [answer] = await once(request, "response");
    answer.resume();
    if (answer.headers.connection === "close") break;
  }
  agent.destroy();
}

async function rig(env: Readonly<Record<string, string>> = {}) {
  const stack = new AsyncDisposableStack();
  const plane = stack.use(await ControlPlane.start());
  const origin = stack.use(await Slow.start());
  plane.setOutbound(a, policyTo(a));
  plane.setEndpoints(a, endpointsAt(origin.port));
  const sidecar = stack.use(SidecarProcess.start(plane, { env }));
  const { outbound } = await sidecar.ready();
  const request = http.get(`http://${outbound}/`, {
    agent: false,
    headers: { host: "backend-a.demo:8080" },
  });
  const answered = once(request, "response");
  const response = await origin.asked;
  return {
    sidecar,
    outbound,
    response,
    answered,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

test.serial("a sidecar that is told to stop finishes the request that it has begun", async (t) => {
  await using running = await rig();
  const { sidecar, outbound, response, answered } = running;
  const ended = sidecar.stop();
  await untilTold(outbound);
  response.end("late");
  const [answer] = await answered;
  t.is(answer.statusCode, 200);
  answer.resume();
  t.is(await ended, 0);
  const drained = await sidecar.line("drained");
  const { requests } = drained["waitedFor"] as { readonly requests: number };
  // One more, if the signal came while the test looked whether the worker had heard of it.
  t.true(requests === 1 || requests === 2, `${requests}`);
  t.like(drained, { cutOff: { requests: 0, tunnels: 0, opaque: 0 }, workersCut: 0 });
});

test.serial(
  "a sidecar that is told to stop waits for a request no longer than the grace period",
  async (t) => {
    await using running = await rig({ WEFT_SHUTDOWN_GRACE_PERIOD: "100ms" });
    const { sidecar, answered } = running;
    const failed = t.throwsAsync(answered);
    t.is(await sidecar.stop(), 0);
    t.like(await sidecar.line("drained"), {
      cutOff: { requests: 1, tunnels: 0, opaque: 0 },
      workersCut: 0,
    });
    await failed;
  },
);

/** RFC 6455 §1.3. */
const handshakeKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** An application that opens WebSockets, hears what is said on them, and leaves none. */
async function webSocketServer() {
  const heard: Buffer[] = [];
  const server = http.createServer();
  server.on("upgrade", ({ headers }, socket) => {
    const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}${handshakeKey}`);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest("base64")}\r\n\r\n`,
    );
    socket.on("data", (bytes: Buffer) => heard.push(bytes));
    socket.on("end", () => socket.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { port, heard, [Symbol.asyncDispose]: async () => void server.close() };
}

test.serial(
  "a sidecar that is told to stop says goodbye on a WebSocket that nobody else closes",
  async (t) => {
    await using plane = await ControlPlane.start();
    await using application = await webSocketServer();
    await using sidecar = SidecarProcess.start(plane, {
      env: { WEFT_INBOUND_FORWARDS: `127.0.0.1:0=127.0.0.1:${application.port}` },
    });
    await sidecar.line("worker_listening");
    const forward = await firstForward(sidecar);
    plane.setInbound(Number(new URL(`http://${forward}`).port), inboundFor(everybody()));
    await sidecar.ready();
    const client = new WebSocket(`ws://${forward}/`);
    await once(client, "open");
    const closed = once(client, "close");
    t.is(await sidecar.stop(), 0);
    const [{ code, wasClean }] = await closed;
    t.is(code, 1001);
    t.true(wasClean);
    // A close frame of a client: FIN and opcode 8, masked, two bytes.
    t.deepEqual([...Buffer.concat(application.heard).subarray(0, 2)], [0x88, 0x82]);
    t.like(await sidecar.line("drained"), {
      waitedFor: { requests: 0, tunnels: 1, opaque: 0 },
      closedPolitely: { requests: 0, tunnels: 1, opaque: 0 },
      cutOff: { requests: 0, tunnels: 0, opaque: 0 },
    });
  },
);

test.serial("a second signal ends a sidecar at once, whatever is open", async (t) => {
  await using running = await rig({ WEFT_SHUTDOWN_GRACE_PERIOD: "600s" });
  const { sidecar, outbound, answered } = running;
  const failed = t.throwsAsync(answered);
  sidecar.child.kill("SIGTERM");
  await untilTold(outbound);
  // Two signals in a row may be one wish.
  await pass(2 * sameWishMs);
  sidecar.child.kill("SIGTERM");
  t.is(await sidecar.ended, 143);
  await failed;
});

test.serial("a sidecar that is told to stop before it is ready ends with 0", async (t) => {
  await using plane = await ControlPlane.start();
  await Promise.all([plane.stop("policy"), plane.stop("destination"), plane.stop("identity")]);
  await using sidecar = SidecarProcess.start(plane);
  await sidecar.line("worker_listening");
  t.is(await sidecar.stop(), 0);
});

test.serial(
  "a sidecar without ports of its own gets ready when it has reached the policy service",
  async (t) => {
    await using plane = await ControlPlane.start();
    await using gate = await Gate.before(plane.address("policy"));
    await using sidecar = SidecarProcess.start(plane, {
      env: { WEFT_POLICY_SVC_ADDR: gate.address },
    });
    await sidecar.line("identity_certified");
    await sidecar.line("worker_listening");
    t.false(sidecar.lines.some(({ event }) => event === "ready"));
    gate.isOpen = true;
    await sidecar.line("ready");
    gate.shut();
    t.is(await sidecar.page("ready"), "ready\n");
  },
);

test.serial("a sidecar gets ready when the control plane comes up after it", async (t) => {
  await using plane = await ControlPlane.start();
  await using policy = await Gate.before(plane.address("policy"));
  await using destination = await Gate.before(plane.address("destination"));
  await using identity = await Gate.before(plane.address("identity"));
  await using sidecar = SidecarProcess.start(plane, {
    env: {
      WEFT_POLICY_SVC_ADDR: policy.address,
      WEFT_DESTINATION_SVC_ADDR: destination.address,
      WEFT_IDENTITY_SVC_ADDR: identity.address,
      WEFT_INBOUND_FORWARDS: "127.0.0.1:0=127.0.0.1:9",
    },
  });
  await sidecar.line("control_plane_lost");
  for (const gate of [policy, destination, identity]) gate.isOpen = true;
  const { port } = new URL(`http://${String(await firstForward(sidecar))}`);
  plane.setInbound(Number(port), undefined);
  await sidecar.line("ready");
  t.pass();
});

test.serial("a sidecar whose workers die again and again ends with 1", async (t) => {
  t.timeout(120_000);
  await using plane = await ControlPlane.start();
  await using sidecar = SidecarProcess.start(plane, { inspect: true });
  await sidecar.ready();
  const inspector = await openInspector(await sidecar.inspectorUrl());
  const listened = (): number =>
    sidecar.lines.filter(({ event }) => event === "worker_listening").length;
  // On a slow machine one may live long enough not to count.
  const hasGivenUp = (): boolean => sidecar.lines.some(({ event }) => event === "workers_given_up");
  for (let crashes = 0; !hasGivenUp(); crashes++) {
    await until(() => (listened() > crashes && inspector.workers().length === 1) || hasGivenUp());
    const [worker] = inspector.workers();
    if (worker !== undefined && !hasGivenUp()) await inspector.crash(worker);
  }
  // A process that ends waits for its inspector.
  await inspector[Symbol.asyncDispose]();
  t.is(await sidecar.ended, 1);
  t.like(await sidecar.line("workers_given_up"), { restarts: maxRestarts });
});

/** Leaves the machine to the processes under test. */
const pollMs = 2;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}

async function firstForward(sidecar: SidecarProcess): Promise<string> {
  const { listeners } = await sidecar.line("worker_listening");
  const inbound = (listeners as readonly { side: string; host: string; port: number }[]).filter(
    ({ side }) => side === "inbound",
  );
  const { host, port } = inbound[1] ?? { host: "", port: 0 };
  return `${host}:${port}`;
}
