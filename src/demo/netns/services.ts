/** Cluster IPs as kube-proxy makes them of iptables rules, and their names. */
import type { Pod } from "./pod.ts";

type ClusterServicePort = {
  readonly port: number;
  readonly targetPort: number;
  readonly appProtocol?: string;
};

export type ClusterService = {
  readonly name: string;
  readonly namespace: string;
  readonly ip4: string;
  readonly ip6: string;
  readonly ports: readonly ClusterServicePort[];
  readonly endpoints: readonly Pod[];
};

/** For a hosts file; a name has an address of each family. */
export function dnsHosts(services: readonly ClusterService[]): string {
  return services
    .map(({ name, namespace, ip4, ip6 }) => {
      const full = `${name}.${namespace}.svc.cluster.local`;
      return `${ip4} ${full}\n${ip6} ${full}\n`;
    })
    .join("");
}

/** Input for `iptables-restore -n`. An endpoint is chosen for each connection; a service without endpoints refuses. */
export function serviceRules(services: readonly ClusterService[], family: 4 | 6): string {
  const forwards: string[] = [];
  const refusals: string[] = [];
  const hairpins = new Set<string>();
  for (const service of services) {
    const ip = family === 4 ? service.ip4 : service.ip6;
    for (const { port, targetPort } of service.ports) {
      const match = `-d ${ip} -p tcp -m tcp --dport ${port}`;
      for (const [at, pod] of service.endpoints.entries()) {
        const left = service.endpoints.length - at;
        const share =
          left === 1 ? "" : `-m statistic --mode random --probability ${(1 / left).toFixed(8)} `;
        const target = family === 4 ? `${pod.ip4}:${targetPort}` : `[${pod.ip6}]:${targetPort}`;
        forwards.push(`-A KUBE-SERVICES ${match} ${share}-j DNAT --to-destination ${target}`);
        const source = family === 4 ? pod.ip4 : pod.ip6;
        // A pod that reaches itself by its service must see the answer come back from the service.
        hairpins.add(
          `-A KUBE-POSTROUTING -s ${source} -d ${source} -m conntrack --ctstate DNAT -j MASQUERADE`,
        );
      }
      if (service.endpoints.length === 0) {
        refusals.push(`-A KUBE-REFUSE ${match} -j REJECT --reject-with tcp-reset`);
      }
    }
  }
  return [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":KUBE-SERVICES - [0:0]",
    ":KUBE-POSTROUTING - [0:0]",
    "-F PREROUTING",
    "-F OUTPUT",
    "-F POSTROUTING",
    "-A PREROUTING -j KUBE-SERVICES",
    "-A OUTPUT -j KUBE-SERVICES",
    "-A POSTROUTING -j KUBE-POSTROUTING",
    ...forwards,
    ...hairpins,
    "COMMIT",
    "*filter",
    ":KUBE-REFUSE - [0:0]",
    "-F FORWARD",
    "-A FORWARD -j KUBE-REFUSE",
    ...refusals,
    "COMMIT",
    "",
  ].join("\n");
}
