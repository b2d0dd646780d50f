/** Requests of HTTP/2 are what is balanced, not connections: clients with one connection each reach every backend alike. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { NetnsMesh } from "../../src/demo/netns/mesh.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";
import { needing } from "../harness/needing.ts";
import { metricSum } from "./metrics.ts";
import { startNginx } from "./servers.ts";

const port = 8080;
const clients = 100;
const requests = 6_000;
/** A machine that has other things to do makes one of the backends slower than the others for a while, and a slower one is to get less. */
const maxRounds = 3;
/** Of an even share. */
const tolerance = 0.05;

const h2load = { command: "h2load", trial: ["--version"], debianPackage: "nghttp2-client" };

async function startBackend(mesh: NetnsMesh, pod: Pod): Promise<void> {
  const folder = path.join(mesh.node.folder, pod.name);
  mkdirSync(folder);
  await startNginx(pod, folder, { http2: [port] });
  await mesh.startSidecar(pod, { isTransparent: true });
}

needing(h2load)(
  "requests of 100 clients with one connection each are spread over 3 backends within 5 % through real sidecars",
  async (t) => {
    await using mesh = await NetnsMesh.start();
    const a = await mesh.addPod("a");
    const backends: Pod[] = [];
    for (const name of ["b1", "b2", "b3"]) backends.push(await mesh.addPod(name, [port]));
    const service = await mesh.addService({
      name: "b",
      ports: [{ port, targetPort: port }],
      endpoints: backends,
    });
    await Promise.all([
      // Each worker balances on its own.
      mesh.startSidecar(a, { isTransparent: true, env: { WEFT_WORKERS: "2" } }),
      ...backends.map((pod) => startBackend(mesh, pod)),
    ]);
    const counts = (): Promise<readonly number[]> =>
      Promise.all(backends.map((pod) => metricSum(pod, "request_total", 'direction="inbound"')));
    const load = [
      "h2load",
      "-n",
      String(requests),
      "-c",
      String(clients),
      "-m",
      "1",
      "--rps",
      "10",
    ];
    const even = requests / backends.length;
    const isEven = (share: number): boolean => Math.abs(share - even) <= tolerance * even;
    let shares: readonly number[] = [];
    for (
      let round = 0;
      round < maxRounds && !(shares.length > 0 && shares.every(isEven));
      round++
    ) {
      const before = await counts();
      const { out } = await a.exec("application", [...load, `http://${service.ip4}:${port}/`]);
      t.regex(out, new RegExp(`${requests} succeeded, 0 failed, 0 errored`));
      shares = (await counts()).map((count, at) => count - (before[at] ?? 0));
      t.log(shares.join(" "));
    }
    t.true(shares.every(isEven), shares.join(" "));
  },
);
