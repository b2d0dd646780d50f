/** Destinations outside of the mesh (kgateway Backend). What cannot be honoured makes the object a broken one, so that its traffic is refused. */
import { isDnsName } from "../std/dns-name.ts";
import { formatIp, parseIp } from "../std/ip.ts";
import type { Fault, Result } from "../std/result.ts";
import { type LambdaTarget, readLambda } from "./backend-lambda.ts";
import { FaultList, Field, portRange, quote } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

export type KgatewayBackend = {
  readonly kind: "Backend";
  readonly group: "gateway.kgateway.dev";
  readonly meta: ObjectMeta;
  readonly target: StaticTarget | LambdaTarget;
};

type StaticTarget = {
  readonly kind: "static";
  /** Never empty. Addresses in canonical text (see std/ip), names in lower case. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly appProtocol: BackendProtocol | undefined;
};

export type BackendProtocol =
  | "http2"
  | "grpc"
  | "grpc-web"
  | "kubernetes.io/h2c"
  | "kubernetes.io/ws";

const protocols: readonly BackendProtocol[] = [
  "http2",
  "grpc",
  "grpc-web",
  "kubernetes.io/h2c",
  "kubernetes.io/ws",
];

const blocks = ["static", "aws", "dynamicForwardProxy", "gcp", "priorityGroups"] as const;

/** The deprecated `type`, and the block it stands for. */
const types: ReadonlyMap<string, (typeof blocks)[number]> = new Map([
  ["Static", "static"],
  ["AWS", "aws"],
  ["DynamicForwardProxy", "dynamicForwardProxy"],
  ["GCP", "gcp"],
  ["PriorityGroups", "priorityGroups"],
]);

export function parseBackend(json: unknown, known: readonly Fault[] = []): Result<KgatewayBackend> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const meta = readMeta(root.at("metadata"), "dns-name");
  return list.settle({
    kind: "Backend",
    group: "gateway.kgateway.dev",
    meta,
    target: readTarget(spec, meta.namespace),
  });
}

function readTarget(spec: Field, namespace: string): KgatewayBackend["target"] {
  const present = blocks.filter((block) => spec.at(block).isPresent);
  const [block = "static"] = present;
  if (spec.isPresent && present.length !== 1) {
    spec.fault(`must have exactly one of ${blocks.join(", ")}, has ${present.length}`);
  }
  const type = spec.at("type").optionalChoice([...types.keys()]);
  if (type !== undefined && types.get(type) !== block) {
    spec.at("type").fault(`must fit the block ${quote(block)}, is ${quote(type)}`);
  }
  if (block === "aws") return readLambda(spec.at("aws"), namespace);
  if (block !== "static") spec.at(block).fault("is not supported: use static or aws");
  return readStatic(spec.at("static"));
}

function readStatic(field: Field): StaticTarget {
  const hosts = field.at("hosts");
  const items = hosts.items();
  if (field.isPresent && items.length === 0) hosts.fault("must have at least one entry");
  return {
    kind: "static",
    hosts: items.map((item) => ({
      host: readHost(item.at("host")),
      port: item.at("port").integer(portRange),
    })),
    appProtocol: field.at("appProtocol").optionalChoice(protocols),
  };
}

function readHost(field: Field): string {
  const text = field.text();
  const ip = parseIp(text);
  if (ip !== undefined) return formatIp(ip);
  const name = text.toLowerCase();
  if (field.isPresent && !isDnsName(name)) {
    field.fault(`must be an IP address or a DNS name, is ${quote(text)}`);
  }
  return name;
}
