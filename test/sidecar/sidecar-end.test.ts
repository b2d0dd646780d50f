import { once } from "node:events";
import http, { type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import test from "ava";
import { maxRestarts } from "../../src/sidecar/restart-limit.ts";
import { ControlPlane } from "./control-plane.ts";
import { openInspector } from "./crash-worker.ts";
import { endpointsAt, policyTo } from "./policies.ts";
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
  t.like(await sidecar.line("drained"), {
    waitedFor: { requests: 1, tunnels: 0, opaque: 0 },
    cutOff: { requests: 0, tunnels: 0, opaque: 0 },
    workersCut: 0,
  });
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

test.serial("a sidecar that is told to stop before it is ready ends with 0", async (t) => {
  await using plane = await ControlPlane.start();
  await Promise.all([plane.stop("policy"), plane.stop("destination"), plane.stop("identity")]);
  await using sidecar = SidecarProcess.start(plane);
  await sidecar.line("worker_listening");
  t.is(await sidecar.stop(), 0);
});

test.serial("a sidecar gets ready when the control plane comes up after it", async (t) => {
  await using plane = await ControlPlane.start();
  const later = [
    await plane.stop("policy"),
    await plane.stop("destination"),
    await plane.stop("identity"),
  ];
  await using sidecar = SidecarProcess.start(plane, {
    env: { WEFT_INBOUND_FORWARDS: "127.0.0.1:0=127.0.0.1:9" },
  });
  await sidecar.line("control_plane_lost");
  for (const startAgain of later) await startAgain();
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
