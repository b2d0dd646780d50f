/**
 * Where everything of the demo listens. Every pod has a loopback address of its own, so that all sidecars can use the ports they have in a
 * cluster. `base` is the first two octets; another one lets several demos run side by side.
 */
export const defaultBase = "127.7";

export type DemoPod = {
  readonly name: string;
  readonly serviceAccount: string;
  /** The pod's address: its sidecar listens there, in front of the application as well. */
  readonly ip: string;
  /** Stands for the pod's own loopback, where only the sidecar would reach the application. */
  readonly applicationIp: string;
  readonly message: string;
  /** Where the application sends what it is asked to echo; empty: it answers itself. */
  readonly backendUrl: string;
};

export type DemoLayout = {
  readonly base: string;
  readonly controlIp: string;
  readonly pods: readonly DemoPod[];
};

export const namespace = "demo";
export const applicationPort = 8080;
export const ports: {
  readonly outbound: number;
  readonly inbound: number;
  readonly admin: number;
  readonly policy: number;
  readonly destination: number;
  readonly identity: number;
} = {
  outbound: 4140,
  inbound: 4143,
  admin: 4191,
  policy: 8090,
  destination: 8086,
  identity: 8080,
};

export function demoLayout(base: string): DemoLayout {
  const pod = (at: number, name: string, message: string, backendUrl: string): DemoPod => ({
    name,
    serviceAccount: name,
    ip: `${base}.0.${at}`,
    applicationIp: `${base}.128.${at}`,
    message,
    backendUrl,
  });
  return {
    base,
    controlIp: `${base}.1.1`,
    pods: [
      pod(1, "frontend", "frontend", `http://backend-a.${namespace}:${applicationPort}/echo`),
      pod(2, "backend-a", "A backend", ""),
      pod(3, "backend-b", "B backend", ""),
    ],
  };
}
