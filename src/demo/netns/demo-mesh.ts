/** The pods of `weft demo --netns`: a client that is nothing but programs of the machine, two backends, and a client without a sidecar. */
import { applicationPort } from "../layout.ts";
import { NetnsMesh } from "./mesh.ts";
import type { NetnsNode } from "./node.ts";
import { type Pod, weft } from "./pod.ts";
import type { Running } from "./running.ts";

export type DemoMesh = {
  readonly mesh: NetnsMesh;
  readonly frontend: Pod;
  readonly backendA: Pod;
  readonly backendB: Pod;
  /** Not in the mesh. */
  readonly outside: Pod;
  /** What must stay up. */
  readonly programs: readonly Running[];
};

export type DemoMeshOptions = {
  readonly node: NetnsNode;
  /** Worker threads of each sidecar. */
  readonly workers: string;
  readonly onProgress: (name: string, purpose: string) => void;
};

export async function startDemoMesh(options: DemoMeshOptions): Promise<DemoMesh> {
  const { node, onProgress } = options;
  const mesh = await NetnsMesh.startOn(node);
  onProgress("identity", `certificate issuer, in a pod of its own (${mesh.identityPod.ip4})`);
  onProgress("policy", `policy service (${mesh.policyPod.ip4}), reads ${mesh.policyFolder}`);
  const http = [{ name: "http", containerPort: applicationPort }];
  const frontend = await mesh.addPod("frontend");
  const backendA = await mesh.addPod("backend-a", http);
  const backendB = await mesh.addPod("backend-b", http);
  const outside = await node.addPod("outside");
  onProgress("outside", `pod without a sidecar (${outside.ip4})`);
  for (const pod of [backendA, backendB]) {
    await mesh.addService({
      name: pod.name,
      ports: [{ port: applicationPort, targetPort: applicationPort }],
      endpoints: [pod],
    });
  }
  const programs = await Promise.all([
    startApplication(backendA, "A backend", onProgress),
    startApplication(backendB, "B backend", onProgress),
    ...[frontend, backendA, backendB].map((pod) => startSidecar(mesh, pod, options)),
  ]);
  return {
    mesh,
    frontend,
    backendA,
    backendB,
    outside,
    programs: [mesh.identity, mesh.policy, ...programs],
  };
}

async function startApplication(
  pod: Pod,
  message: string,
  onProgress: DemoMeshOptions["onProgress"],
): Promise<Running> {
  const running = pod.start("application", [...weft, "demo", "application"], {
    HOST: "::",
    PORT: String(applicationPort),
    PODINFO_UI_MESSAGE: message,
  });
  await running.untilSays(/listening/);
  onProgress(pod.name, `application (${pod.ip4}), answers "PODINFO_UI_MESSAGE=${message}"`);
  return running;
}

async function startSidecar(
  mesh: NetnsMesh,
  pod: Pod,
  { workers, onProgress }: DemoMeshOptions,
): Promise<Running> {
  const running = await mesh.startSidecar(pod, {
    isTransparent: true,
    env: {
      WEFT_WORKERS: workers,
      // When the demo ends, nobody is left who could learn of other endpoints.
      WEFT_SHUTDOWN_QUIET_TIME: "0s",
      // The walk-through asks the client's sidecar why, of answers that are well too.
      ...(pod.name === "frontend" ? { WEFT_DECISION_HEADER: "always" } : {}),
    },
  });
  onProgress(`${pod.name}-sidecar`, `weft init and weft sidecar (${pod.ip4}, ${pod.ip6})`);
  return running;
}
