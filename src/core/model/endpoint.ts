/** One place that can answer for a backend, as the Destination service tells it. */
export type Endpoint = {
  /** Canonical text (see std/ip). */
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  /** What the peer's certificate must say; undefined: the endpoint is not meshed, plain text is all there is. */
  readonly tls: EndpointTls | undefined;
  /** Port of the peer's sidecar that reads a transport header; 0: dial `port` directly. */
  readonly inboundPort: number;
  readonly hint: "none" | "h2" | "opaque";
  /** Metric labels: pod, serviceaccount, zone, zone_locality … Names are those of Linkerd. */
  readonly labels: Readonly<Record<string, string>>;
};

export type EndpointTls = { readonly identity: string; readonly serverName: string };

/** All endpoints of one authority at one moment. */
export type EndpointSet = {
  /** False: there is no such Service; true with no endpoints: it exists and is empty. */
  readonly exists: boolean;
  readonly endpoints: readonly Endpoint[];
};

export function endpointKey(endpoint: Pick<Endpoint, "ip" | "port">): string {
  return endpoint.ip.includes(":")
    ? `[${endpoint.ip}]:${endpoint.port}`
    : `${endpoint.ip}:${endpoint.port}`;
}
