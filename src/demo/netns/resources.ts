/** The resources that a cluster would hold for pods and services made of network namespaces. */
import { namespace, type Pod } from "./pod.ts";
import type { ClusterService } from "./services.ts";

const meshed = { "linkerd.io/control-plane-ns": "weft" };

/** A number, or one that policies can name. */
export type ContainerPort = number | { readonly name: string; readonly containerPort: number };

export function podResource(pod: Pod, ports: readonly ContainerPort[]): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: pod.name, namespace, labels: { app: pod.name, ...meshed } },
    spec: {
      serviceAccountName: pod.name,
      containers: [
        {
          name: "app",
          ports: ports.map((port) => (typeof port === "number" ? { containerPort: port } : port)),
        },
      ],
    },
    status: { podIP: pod.ip4, podIPs: [{ ip: pod.ip4 }, { ip: pod.ip6 }] },
  };
}

/** The Service and its endpoints, in a slice for each of these families. */
export function serviceResources(
  service: ClusterService,
  families: readonly (4 | 6)[],
): readonly object[] {
  const { name, ports } = service;
  const portName = (port: number): string => `p${port}`;
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace },
      spec: {
        clusterIP: service.ip4,
        clusterIPs: [service.ip4, service.ip6],
        ports: ports.map((one) => ({ name: portName(one.port), ...one })),
      },
    },
    ...families.map((family) => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: `${name}-ipv${family}`,
        namespace,
        labels: { "kubernetes.io/service-name": name },
      },
      addressType: `IPv${family}`,
      ports: ports.map(({ port, targetPort }) => ({ name: portName(port), port: targetPort })),
      endpoints: service.endpoints.map((pod) => ({
        addresses: [family === 4 ? pod.ip4 : pod.ip6],
        conditions: { ready: true },
        targetRef: { kind: "Pod", name: pod.name, namespace },
      })),
    })),
  ];
}
