/**
 * Names of destinations. Every request's Host, every forward proxy target and every Destination path is brought to one spelling, so that one
 * destination has one policy, one endpoint table and one pool: `svc.ns.svc.cluster.local:80`, `10.0.0.1:80`, `[2001:db8::1]:80`, or, for a name
 * outside of the cluster, `www.example.com:80`.
 */
import { isDnsName } from "../std/dns-name.ts";
import { formatIp, type Ip, parseIp } from "../std/ip.ts";
import type { OutboundTarget } from "./outbound-policy.ts";

/** RFC 9110 §4.2.1. */
const defaultPort = 80;

export type ServiceAuthority = {
  readonly name: string;
  readonly namespace: string;
  readonly port: number;
};

/**
 * The short forms that a pod's DNS search list allows are completed: `svc` with the namespace of the client, `svc.ns` and `svc.ns.svc` with the
 * cluster domain. Two labels always mean a Service, as they do for the resolver of a pod. Undefined: not a destination.
 */
export function normaliseAuthority(
  text: string,
  namespace: string,
  clusterDomain: string,
): string | undefined {
  const split = splitPort(text.toLowerCase());
  if (split === undefined) return undefined;
  const { host, port } = split;
  if (host.startsWith("[")) {
    const ip = host.endsWith("]") ? parseIp(host.slice(1, -1)) : undefined;
    return ip === undefined ? undefined : `${hostOfIp(ip)}:${port}`;
  }
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  if (!isDnsName(name)) return undefined;
  const labels = name.split(".");
  if (labels.length > 1 && labels.every(isNumber)) {
    const ip = parseIp(host);
    return ip === undefined ? undefined : `${hostOfIp(ip)}:${port}`;
  }
  return `${completeName(name, labels, { namespace, clusterDomain })}:${port}`;
}

/** The Service that a normalised authority names. */
export function parseServiceAuthority(
  canonical: string,
  clusterDomain: string,
): ServiceAuthority | undefined {
  const split = splitPort(canonical);
  const suffix = `.svc.${clusterDomain}`;
  if (!split?.host.endsWith(suffix)) return undefined;
  const labels = split.host.slice(0, -suffix.length).split(".");
  const [name = "", namespace = ""] = labels;
  if (labels.length !== 2 || !isDnsName(split.host)) return undefined;
  return { name, namespace, port: split.port };
}

/** `host:port` of a Service as the Destination service knows it. */
export function formatServiceAuthority(
  { name, namespace, port }: ServiceAuthority,
  clusterDomain: string,
): string {
  return `${name}.${namespace}.svc.${clusterDomain}:${port}`;
}

/** What a sidecar asks for when a request names this authority: an address by its number, everything else by its name. */
export function targetOf(canonical: string): OutboundTarget {
  const split = splitPort(canonical);
  const ip = split === undefined ? undefined : parseIp(split.host.replace(/^\[(.*)\]$/, "$1"));
  return split === undefined || ip === undefined
    ? { kind: "authority", authority: canonical }
    : { kind: "address", ip: formatIp(ip), port: split.port };
}

function completeName(
  name: string,
  labels: readonly string[],
  at: { readonly namespace: string; readonly clusterDomain: string },
): string {
  if (labels.length === 1) return `${name}.${at.namespace}.svc.${at.clusterDomain}`;
  if (labels.length === 2) return `${name}.svc.${at.clusterDomain}`;
  if (labels.length === 3 && labels[2] === "svc") return `${name}.${at.clusterDomain}`;
  return name;
}

function splitPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const colon = text.lastIndexOf(":");
  const bracket = text.lastIndexOf("]");
  if (colon <= bracket) return { host: text, port: defaultPort };
  const digits = text.slice(colon + 1);
  if (!/^[1-9][0-9]{0,4}$/.test(digits) || Number(digits) > 65_535) return undefined;
  return { host: text.slice(0, colon), port: Number(digits) };
}

function hostOfIp(ip: Ip): string {
  return ip.family === 4 ? formatIp(ip) : `[${formatIp(ip)}]`;
}

function isNumber(label: string): boolean {
  return /^[0-9]+$/.test(label);
}
