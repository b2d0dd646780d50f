import type { ShardStart } from "../../src/sidecar/shard-thread.ts";

/** A shard that hears nothing. */
export async function runShard({ port, settings }: ShardStart): Promise<void> {
  const listeners = settings.listeners.map(({ host, port: bound }) => ({
    side: "inbound",
    host,
    port: bound,
  }));
  port.postMessage({ kind: "listening", listeners });
  port.ref();
  await new Promise<never>(() => undefined);
}
