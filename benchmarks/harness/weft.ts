/** Whole sidecars, main thread and workers, against a control plane that says what the benchmark needs. */
import { fileURLToPath } from "node:url";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import type { OutboundPolicy } from "../../src/core/model/outbound-policy.ts";
import { ControlPlane } from "../../test/sidecar/control-plane.ts";
import { endpoint, policyWith } from "../../test/sidecar/policies.ts";
import { SidecarProcess } from "../../test/sidecar/sidecar-process.ts";
import type { Contender, Stage } from "./stage.ts";

const compiled = fileURLToPath(new URL("../../node_modules/.cache/compiled", import.meta.url));

/** What clients name as their destination. */
export const destination = "web.demo.svc.cluster.local:8080";

/** What the benchmark asks of a request; the peers are asked for the same. */
const routed: HttpMatch = {
  ...everyRequest,
  path: { kind: "prefix", value: "/bench" },
  headers: [{ name: "x-route", kind: "exact", value: "bench" }],
};

export const routedPolicy: OutboundPolicy = policyWith([
  { match: routed, authorities: [destination] },
]);

export type WeftOptions = {
  readonly name: string;
  readonly workers: number;
  readonly env?: Readonly<Record<string, string>>;
};

export type WeftContender = Contender & {
  readonly sidecar: SidecarProcess;
  /** Where peers of the mesh come in. */
  readonly meshPort: number;
  /** The port in front of the application, if there is one. */
  readonly forwardPort: number;
};

export async function startPlane(stage: Stage): Promise<ControlPlane> {
  return stage.use(await ControlPlane.start());
}

/** A control plane with one destination behind one route. */
export async function startRoutedPlane(stage: Stage, originPort: number): Promise<ControlPlane> {
  const plane = await startPlane(stage);
  plane.setOutbound(destination, routedPolicy);
  plane.setEndpoints(destination, { exists: true, endpoints: [endpoint(originPort)] });
  return plane;
}

export async function startWeft(
  stage: Stage,
  plane: ControlPlane,
  { name, workers, env = {} }: WeftOptions,
): Promise<WeftContender> {
  const sidecar = stage.use(
    SidecarProcess.start(plane, {
      env: {
        // As the command `weft` sets it.
        NODE_COMPILE_CACHE: compiled,
        WEFT_WORKERS: String(workers),
        WEFT_LOG_LEVEL: "info",
        // Load generators open all their connections at once on a machine that is busy then.
        WEFT_OUTBOUND_CONNECT_TIMEOUT: "10s",
        WEFT_MAX_CONNECTIONS: "16000",
        ...env,
      },
    }),
  );
  const { outbound, inbound, forward } = await sidecar.ready();
  return {
    name,
    sidecar,
    pids: [sidecar.child.pid ?? 0],
    port: portOf(outbound),
    meshPort: portOf(inbound),
    forwardPort: portOf(forward),
  };
}

function portOf(address: string): number {
  return Number(address.split(":").at(-1));
}
