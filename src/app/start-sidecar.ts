/**
 * The first steps of `weft sidecar`: settings → threads of the workers → the rest of the main thread. The threads load the data plane while the main thread loads the streams to
 * the control plane; one after the other they take half as long again.
 */
import { availableParallelism, networkInterfaces } from "node:os";
import type { Environment } from "../config/env.ts";
import { readSidecarConfig } from "../config/sidecar.ts";
import { type ShardEntry, startThread } from "../sidecar/shard-thread.ts";

const dataPlane: ShardEntry = {
  module: new URL("sidecar-worker.ts", import.meta.url).href,
  name: "runShard",
};

export async function startSidecar(environment: Environment): Promise<number> {
  const cores = availableParallelism();
  const read = readSidecarConfig(environment, { cores, hasIpv6: hasIpv6() });
  const count = read.ok ? read.value.workers : 0;
  const threads = Array.from({ length: count }, () => startThread(dataPlane));
  const { runSidecar } = await import("./sidecar.ts");
  return runSidecar(read, { entry: dataPlane, threads });
}

/** Node.js lists loopback only where it is up, which it is not for a family that was switched off. */
function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses = []) =>
    addresses.some(({ address }) => address === "::1"),
  );
}
