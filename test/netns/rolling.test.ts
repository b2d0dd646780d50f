/** A rolling restart, as Kubernetes does it, that no client notices. */

import { setTimeout as pass } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import test from "ava";
import { NetnsMesh } from "../../src/demo/netns/mesh.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";
import type { Running } from "../../src/demo/netns/running.ts";

const port = 8080;
const rate = 500;
const webSockets = 12;
/** How late the clients of a cluster learn that a pod goes: some time after it was told to. */
const latenessMs = 1_000;
/** What the applications still serve, as a preStop hook gives them. */
const servesMs = 8_000;

/** The mesh of tests has less patience with the end of a sidecar than sidecars have. */
const asDeployed = { WEFT_SHUTDOWN_GRACE_PERIOD: "120s" };

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const node = [process.execPath, "--disable-warning=ExperimentalWarning"];

type Replica = { readonly pod: Pod; readonly application: Running; readonly sidecar: Running };

async function startReplica(mesh: NetnsMesh, pod: Pod): Promise<Replica> {
  const program = [...node, script("rolling-application.ts")];
  const application = pod.start("application", [
    ...program,
    ...["127.0.0.1", String(port), pod.name, String(servesMs)],
  ]);
  await application.untilSays(/listening/);
  const sidecar = await mesh.startSidecar(pod, { forwards: [port], env: asDeployed });
  return { pod, application, sidecar };
}

test("a rolling restart of three replicas fails no request and closes each WebSocket politely", async (t) => {
  await using mesh = await NetnsMesh.start();
  const client = await mesh.addPod("client");
  const pods: Pod[] = [];
  for (const name of ["b1", "b2", "b3"]) pods.push(await mesh.addPod(name, [port]));
  const replicas = await Promise.all(pods.map((pod) => startReplica(mesh, pod)));
  const podsOf = (of: readonly Replica[]): readonly Pod[] => of.map(({ pod }) => pod);
  await mesh.addService(
    { name: "b", ports: [{ port: 80, targetPort: port }], endpoints: podsOf(replicas) },
    [4],
  );
  await mesh.startSidecar(client);
  const asking = client.start("application", [
    ...node,
    script("rolling-client.ts"),
    ...["127.0.0.1:4140", "b.demo", String(rate), String(webSockets)],
  ]);
  await asking.untilSays(/asking/);
  const ends: Promise<void>[] = [];
  for (const name of ["b4", "b5", "b6"]) {
    replicas.push(await startReplica(mesh, await mesh.addPod(name, [port])));
    await mesh.setEndpoints("b", podsOf(replicas));
    const old = replicas.shift();
    if (old === undefined) throw new Error("No replica is left");
    // Kubernetes tells all containers of a pod at the same time.
    old.application.signal("SIGTERM");
    old.sidecar.signal("SIGTERM");
    await pass(latenessMs);
    await mesh.setEndpoints("b", podsOf(replicas));
    ends.push(endOf(old));
  }
  await Promise.all(ends);
  asking.signal("SIGTERM");
  const [, json = ""] = await asking.untilSays(/^saw (.*)\n/m);
  const seen = JSON.parse(json);
  t.log(json);
  t.deepEqual(seen.failed, {});
  t.is(seen.answered, seen.asked);
  t.true(seen.perSecond > 0.98 * rate, `${seen.perSecond}`);
  t.is(seen.rudely, 0);
  // Those that were opened late may never have met a pod that went.
  t.true(seen.politely > 0, `${seen.politely}`);
  t.true(seen.servers.length >= 6, seen.servers.join());

  async function endOf({ application, sidecar }: Replica): Promise<void> {
    t.is(await application.ended, 0);
    t.is(await sidecar.ended, 0);
    const [drained = ""] = await sidecar.untilSays(/.*"drained".*/);
    t.log(drained);
    t.notRegex(sidecar.output, /worker_died/);
    t.regex(drained, /"cutOff":\{"requests":0,"tunnels":0,"opaque":0\}/);
  }
});
