import type { Fault, Result } from "../std/result.ts";
import { type Protocol, protocols, readIp } from "./address.ts";
import { FaultList, Field, portRange, quote } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

export type Service = {
  readonly kind: "Service";
  readonly group: "";
  readonly meta: ObjectMeta;
  readonly type: ServiceType;
  /** Canonical text (see std/ip), each once. Empty when headless, when of type ExternalName, and before one is given. */
  readonly clusterIps: readonly string[];
  readonly headless: boolean;
  /** Empty for the other types. */
  readonly externalName: string;
  /** Empty: the endpoints are made by hand. */
  readonly selector: ReadonlyMap<string, string>;
  readonly ports: readonly ServicePort[];
  readonly sessionAffinity: "None" | "ClientIP";
  readonly publishNotReadyAddresses: boolean;
  /** `Local`: only endpoints on the node of the client. */
  readonly internalTrafficPolicy: "Cluster" | "Local";
  /** Undefined: all endpoints alike. */
  readonly trafficDistribution: TrafficDistribution | undefined;
};

/** `PreferClose` is the older word for `PreferSameZone`. */
type TrafficDistribution = "PreferClose" | "PreferSameZone" | "PreferSameNode";

type ServiceType = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";

export type ServicePort = {
  /** Empty only when the Service has a single port. */
  readonly name: string;
  readonly port: number;
  /** A number, or the name of a container's port. */
  readonly targetPort: number | string;
  readonly protocol: Protocol;
  readonly appProtocol: string | undefined;
};

const serviceTypes: readonly ServiceType[] = [
  "ClusterIP",
  "NodePort",
  "LoadBalancer",
  "ExternalName",
];

const trafficDistributions: readonly TrafficDistribution[] = [
  "PreferClose",
  "PreferSameZone",
  "PreferSameNode",
];

/** What Kubernetes writes in place of an address for a Service that has none on purpose. */
const noAddress = "None";

export function parseService(json: unknown, known: readonly Fault[] = []): Result<Service> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const type = spec.at("type").choice(serviceTypes, "ClusterIP");
  return list.settle({
    kind: "Service",
    group: "",
    meta: readMeta(root.at("metadata"), "service-name"),
    type,
    ...readClusterIps(spec, type),
    externalName: type === "ExternalName" ? spec.at("externalName").text() : "",
    selector: spec.at("selector").textMap(),
    ports: readPorts(spec.at("ports")),
    sessionAffinity: spec.at("sessionAffinity").choice(["None", "ClientIP"], "None"),
    publishNotReadyAddresses: spec.at("publishNotReadyAddresses").flag(false),
    internalTrafficPolicy: spec
      .at("internalTrafficPolicy")
      .choice(["Cluster", "Local"] as const, "Cluster"),
    trafficDistribution: spec.at("trafficDistribution").optionalChoice(trafficDistributions),
  });
}

function readClusterIps(spec: Field, type: ServiceType): Pick<Service, "clusterIps" | "headless"> {
  const fields = [spec.at("clusterIP"), ...spec.at("clusterIPs").items()];
  const headless = fields.some((field) => field.json === noAddress);
  const ips = new Set<string>();
  for (const field of fields) {
    if (field.json === noAddress) continue;
    const text = readIp(field);
    if (text === undefined) continue;
    if (headless) field.fault(`must be "${noAddress}" like the other address, is ${quote(text)}`);
    if (type === "ExternalName") field.fault("must be absent for type ExternalName");
    ips.add(text);
  }
  return { clusterIps: [...ips], headless };
}

function readPorts(field: Field): readonly ServicePort[] {
  const items = field.items();
  const names = new Set<string>();
  const numbers = new Set<string>();
  return items.map((item) => {
    const port = readPort(item);
    if (port.name === "" && items.length > 1) {
      item.at("name").fault("is required when a Service has more than one port");
    }
    if (port.name !== "" && names.has(port.name)) {
      item.at("name").fault(`must be unique in the Service, ${quote(port.name)} stands twice`);
    }
    const number = `${port.port}/${port.protocol}`;
    if (numbers.has(number)) item.at("port").fault(`must be unique, ${number} stands twice`);
    names.add(port.name);
    numbers.add(number);
    return port;
  });
}

function readPort(field: Field): ServicePort {
  const port = field.at("port").integer(portRange);
  return {
    name: field.at("name").optionalText() ?? "",
    port,
    targetPort: field.at("targetPort").optionalPort() ?? port,
    protocol: field.at("protocol").choice(protocols, "TCP"),
    appProtocol: field.at("appProtocol").optionalText(),
  };
}
