import type { Fault, Result } from "../std/result.ts";
import { type Protocol, protocols, readIp } from "./address.ts";
import { FaultList, Field, portRange } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

export type Pod = {
  readonly kind: "Pod";
  readonly group: "";
  readonly meta: ObjectMeta;
  readonly serviceAccountName: string;
  /** Empty until the pod is scheduled. */
  readonly nodeName: string;
  readonly hostNetwork: boolean;
  /** In order: init containers, then containers. A port of an init container counts too (native sidecars). */
  readonly containers: readonly Container[];
  /** Canonical text (see std/ip), each once, primary first. */
  readonly ips: readonly string[];
  readonly phase: PodPhase;
  readonly ready: boolean;
};

type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";

type Container = {
  readonly name: string;
  readonly init: boolean;
  readonly ports: readonly ContainerPort[];
  readonly probes: readonly Probe[];
};

type ContainerPort = {
  /** Empty when the port has no name. */
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
};

/** Only probes that reach the pod as requests; `exec` and `tcpSocket` ask no policy of requests. */
export type Probe =
  | { readonly kind: "http"; readonly path: string; readonly port: number | string }
  | { readonly kind: "grpc"; readonly service: string; readonly port: number };

const phases: readonly PodPhase[] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

const probeFields = ["livenessProbe", "readinessProbe", "startupProbe"] as const;

export function parsePod(json: unknown, known: readonly Fault[] = []): Result<Pod> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const status = root.at("status");
  return list.settle({
    kind: "Pod",
    group: "",
    meta: readMeta(root.at("metadata"), "dns-name"),
    // The API server fills in the ServiceAccount that every namespace has.
    serviceAccountName: spec.at("serviceAccountName").optionalText() ?? "default",
    nodeName: spec.at("nodeName").optionalText() ?? "",
    hostNetwork: spec.at("hostNetwork").flag(false),
    containers: [
      ...readContainers(spec.at("initContainers"), true),
      ...readContainers(spec.at("containers"), false),
    ],
    ips: readIps(status),
    phase: status.at("phase").choice(phases, "Unknown"),
    ready: status
      .at("conditions")
      .items()
      .some((item) => item.at("type").json === "Ready" && item.at("status").json === "True"),
  });
}

function readContainers(field: Field, init: boolean): readonly Container[] {
  return field.items().map((item) => ({
    name: item.at("name").text(),
    init,
    ports: item.at("ports").items().map(readContainerPort),
    probes: probeFields.flatMap((name) => readProbe(item.at(name))),
  }));
}

function readContainerPort(field: Field): ContainerPort {
  return {
    name: field.at("name").optionalText() ?? "",
    port: field.at("containerPort").integer(portRange),
    protocol: field.at("protocol").choice(protocols, "TCP"),
  };
}

function readProbe(field: Field): readonly Probe[] {
  const http = field.at("httpGet");
  if (http.isPresent) {
    const port = http.at("port").required().optionalPort() ?? 0;
    return [{ kind: "http", path: http.at("path").optionalText() ?? "/", port }];
  }
  const grpc = field.at("grpc");
  if (!grpc.isPresent) return [];
  const service = grpc.at("service").optionalText() ?? "";
  return [{ kind: "grpc", service, port: grpc.at("port").integer(portRange) }];
}

function readIps(status: Field): readonly string[] {
  const fields = [
    status.at("podIP"),
    ...status
      .at("podIPs")
      .items()
      .map((item) => item.at("ip")),
  ];
  const ips = new Set<string>();
  for (const field of fields) {
    const text = readIp(field);
    if (text !== undefined) ips.add(text);
  }
  return [...ips];
}
