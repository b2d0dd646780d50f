import type { Fault, Result } from "../std/result.ts";
import { type Protocol, protocols, readIp } from "./address.ts";
import { FaultList, Field, portRange, quote } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

export type EndpointSlice = {
  readonly kind: "EndpointSlice";
  readonly group: "discovery.k8s.io";
  readonly meta: ObjectMeta;
  /** From the label `kubernetes.io/service-name`; empty when the slice belongs to no Service. */
  readonly serviceName: string;
  readonly addressType: AddressType;
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly SlicePort[];
};

type AddressType = "IPv4" | "IPv6" | "FQDN";

export type SliceEndpoint = {
  /** Canonical text of IP addresses (see std/ip), or names for addressType FQDN. All of one endpoint are the same place. */
  readonly addresses: readonly string[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly hostname: string | undefined;
  readonly nodeName: string | undefined;
  readonly zone: string | undefined;
  readonly forZones: readonly string[];
  readonly targetRef: SliceTarget | undefined;
};

type SliceTarget = {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
};

type SlicePort = {
  /** The name of the Service's port; empty when that has none. */
  readonly name: string;
  /** Undefined: all ports. */
  readonly port: number | undefined;
  readonly protocol: Protocol;
  readonly appProtocol: string | undefined;
};

const serviceNameLabel = "kubernetes.io/service-name";

const addressTypes: readonly AddressType[] = ["IPv4", "IPv6", "FQDN"];

export function parseEndpointSlice(
  json: unknown,
  known: readonly Fault[] = [],
): Result<EndpointSlice> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const meta = readMeta(root.at("metadata"), "dns-name");
  const addressType = root.at("addressType").required().choice(addressTypes, "FQDN");
  return list.settle({
    kind: "EndpointSlice",
    group: "discovery.k8s.io",
    meta,
    serviceName: meta.labels.get(serviceNameLabel) ?? "",
    addressType,
    endpoints: root
      .at("endpoints")
      .items()
      .map((item) => readEndpoint(item, addressType, meta.namespace)),
    ports: root.at("ports").items().map(readPort),
  });
}

function readEndpoint(field: Field, addressType: AddressType, namespace: string): SliceEndpoint {
  const conditions = field.at("conditions");
  // The API reads an absent `ready` as true, and an absent `serving` as whatever `ready` says.
  const ready = conditions.at("ready").flag(true);
  return {
    addresses: readAddresses(field.at("addresses"), addressType),
    ready,
    serving: conditions.at("serving").flag(ready),
    terminating: conditions.at("terminating").flag(false),
    hostname: field.at("hostname").optionalText(),
    nodeName: field.at("nodeName").optionalText(),
    zone: field.at("zone").optionalText(),
    forZones: field
      .at("hints")
      .at("forZones")
      .items()
      .map((item) => item.at("name").text()),
    targetRef: readTarget(field.at("targetRef"), namespace),
  };
}

function readAddresses(field: Field, addressType: AddressType): readonly string[] {
  const items = field.items();
  if (items.length === 0) field.fault("must have at least one entry");
  return items.map((item) => {
    if (addressType === "FQDN") return item.text();
    const ip = readIp(item.required());
    if (ip !== undefined && ip.includes(":") !== (addressType === "IPv6")) {
      item.fault(`must be an ${addressType} address like the slice, is ${quote(ip)}`);
    }
    return ip ?? "";
  });
}

function readTarget(field: Field, namespace: string): SliceTarget | undefined {
  if (!field.isPresent) return undefined;
  return {
    kind: field.at("kind").optionalText() ?? "",
    namespace: field.at("namespace").optionalText() ?? namespace,
    name: field.at("name").optionalText() ?? "",
  };
}

function readPort(field: Field): SlicePort {
  return {
    name: field.at("name").optionalText() ?? "",
    port: field.at("port").optionalInteger(portRange),
    protocol: field.at("protocol").choice(protocols, "TCP"),
    appProtocol: field.at("appProtocol").optionalText(),
  };
}
