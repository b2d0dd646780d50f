/**
 * A shard for tests of the supervision: it listens on its ports, greets every connection with its number, counts what it
 * greets, and does on command what shards must not do. Commands come as `drop-outbound` with the target `VERB SHARD`.
 */
import { createServer, type Server, type Socket } from "node:net";
import { threadId } from "node:worker_threads";
import type { ShardStart } from "../../src/sidecar/shard-thread.ts";
import { snapshotScope, type ToMain, type ToWorker } from "../../src/thread/messages.ts";

/** Slots of this shard's series. */
const greetings = 1;
const open = 2;

/** What the shard asks for on the command `discover`. */
export const discovered = "backend-a.demo.svc.cluster.local:8080";

/** A shard of this namespace says that it cannot use calls of the kernel. */
export const unableNamespace = "without-ffi";

const nothing = { requests: 0, tunnels: 0, opaque: 0 };

export async function runShard(start: ShardStart): Promise<void> {
  const { port, shard, settings } = start;
  const slots = new Float64Array(start.counters);
  const post = (message: ToMain): void => port.postMessage(message);
  const sockets = new Set<Socket>();
  const greet = (socket: Socket): void => {
    sockets.add(socket);
    slots[greetings] = (slots[greetings] ?? 0) + 1;
    slots[open] = (slots[open] ?? 0) + 1;
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.write(`shard ${shard} thread ${threadId}\n`);
  };
  const servers = await Promise.all(settings.listeners.map((address) => listen(address, greet)));
  const ended = Promise.withResolvers<void>();
  const obey = (message: ToWorker): void => {
    switch (message.kind) {
      case "drain":
        for (const server of servers) server.close();
        for (const socket of sockets) socket.destroy();
        post({
          kind: "drained",
          waitedFor: nothing,
          accepted: 0,
          closedPolitely: nothing,
          cutOff: { ...nothing, opaque: sockets.size },
        });
        port.close();
        ended.resolve();
        return;
      case "drop-outbound":
        command(message.target, { shard, post, reject: ended.reject });
        return;
      case "drop-endpoints":
      case "drop-inbound":
      case "spans-taken":
        return;
      case "ask-decision":
        post({ kind: "decision", ask: message.ask, answer: { state: "unknown" } });
        return;
      case "identity":
      case "outbound":
      case "endpoints":
      case "inbound":
      case "keys":
        post({ kind: "applied", scope: snapshotScope(message), revision: message.revision });
    }
  };
  for (const snapshot of start.snapshots) obey(snapshot);
  port.on("message", obey);
  const labels = { direction: "inbound", route: "greeting" };
  post({ kind: "series", series: { slot: greetings, metric: "request_total", labels } });
  const gauge = { direction: "inbound", peer: "src", tls: "disabled" };
  post({ kind: "series", series: { slot: open, metric: "tcp_open_connections", labels: gauge } });
  post({
    kind: "listening",
    sockets: settings.namespace === unableNamespace ? "node" : "kernel",
    listeners: settings.listeners.map(({ host, port: bound }) => ({
      side: "inbound",
      host,
      port: bound,
    })),
  });
  await ended.promise;
}

type Means = {
  readonly shard: number;
  readonly post: (message: ToMain) => void;
  readonly reject: (error: Error) => void;
};

function command(target: string, { shard, post, reject }: Means): void {
  const [verb = "", address] = target.split(" ");
  if (Number(address) !== shard) return;
  const bug = new Error(`bug: ${verb}`);
  if (verb === "reject") reject(bug);
  else if (verb === "exit") process.exit(3);
  else if (verb === "discover") post({ kind: "discover", target: discovered });
  else {
    setTimeout(() => {
      // Said in the last breath, and must still be heard.
      if (verb === "throw-late") {
        const labels = { direction: "outbound", route: "late" };
        post({ kind: "series", series: { slot: 100, metric: "request_total", labels } });
      }
      throw bug;
    });
  }
}

function listen(
  { host, port }: { readonly host: string; readonly port: number },
  greet: (socket: Socket) => void,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(greet);
    server.once("error", reject);
    server.listen({ host, port, reusePort: true }, () => resolve(server));
  });
}
