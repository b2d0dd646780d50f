/**
 * From manifests to sockets: Services with origins behind them, and routes as people write them, resolved as the policy service does it and in force in a sidecar
 * process of its own with as many workers as a test wants.
 */
import type { ExecutionContext } from "ava";
import { normaliseAuthority, targetOf } from "../../src/core/model/authority.ts";
import { resolveEndpoints } from "../../src/core/resolve/endpoints.ts";
import { resolveOutbound } from "../../src/core/resolve/outbound.ts";
import { readBrokenStore, settings } from "../core/resolve/world.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ControlPlane } from "../sidecar/control-plane.ts";
import { SidecarProcess } from "../sidecar/sidecar-process.ts";

/** Where the application beside the sidecar lives. */
const clientNamespace = "demo";

const servicePorts = [80, 8080] as const;

let address = 0;

/** A Service with the ports 80 and 8080, both of which lead to each of `ports`. */
export function service(name: string, ports: readonly number[], namespace = "demo"): string {
  address++;
  const slices = ports.map(
    (port, at) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-${at}, namespace: ${namespace}, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: http, port: ${port} }, { name: alt, port: ${port} }]
endpoints: [{ addresses: [127.0.0.1] }]
`,
  );
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { clusterIP: 10.96.${address >> 8}.${address & 255}, ports: [{ name: http, port: 80 }, { name: alt, port: 8080 }] }
${slices.join("")}`;
}

type RouteParts = {
  /** In YAML's flow style. */
  readonly rules: readonly string[];
  readonly metadata?: string;
  readonly parent?: string;
  readonly spec?: string;
};

/** An HTTPRoute of namespace demo. */
export function route(
  name: string,
  { rules, metadata = "", parent, spec = "" }: RouteParts,
): string {
  const to = parent ?? `{ group: "", kind: Service, name: ${name} }`;
  return `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name}, namespace: demo${metadata} }
spec:
  parentRefs: [${to}]${spec}
  rules:
${rules.map((rule) => `    - ${rule}\n`).join("")}`;
}

export class TableMesh implements AsyncDisposable {
  readonly origins: ReadonlyMap<string, EchoOrigin>;
  #texts: readonly string[];
  readonly #plane: ControlPlane;
  readonly #sidecar: SidecarProcess;
  readonly #port: number;
  #kept: RawClient | undefined;

  private constructor(
    origins: ReadonlyMap<string, EchoOrigin>,
    parts: {
      readonly texts: readonly string[];
      readonly plane: ControlPlane;
      readonly sidecar: SidecarProcess;
      readonly port: number;
    },
  ) {
    this.origins = origins;
    this.#texts = parts.texts;
    this.#plane = parts.plane;
    this.#sidecar = parts.sidecar;
    this.#port = parts.port;
  }

  /** `manifests` is given the port of each origin. */
  static async start(
    names: readonly string[],
    workers: number,
    manifests: (portOf: (origin: string) => number) => readonly string[],
  ): Promise<TableMesh> {
    const started = await Promise.all(names.map((name) => EchoOrigin.start(name)));
    const origins = new Map(started.map((origin) => [origin.name, origin]));
    const texts = manifests((name) => origins.get(name)?.port ?? 0);
    const plane = await ControlPlane.start();
    publish(plane, texts);
    const sidecar = SidecarProcess.start(plane, { env: { WEFT_WORKERS: String(workers) } });
    const { outbound } = await sidecar.ready();
    return new TableMesh(origins, {
      texts,
      plane,
      sidecar,
      port: Number(outbound.split(":").at(-1)),
    });
  }

  /** Takes manifests away whose text has `words`. */
  remove(words: string): void {
    this.#texts = this.#texts.filter((text) => !text.includes(words));
    publish(this.#plane, this.#texts);
  }

  client(): Promise<RawClient> {
    return RawClient.open(this.#port);
  }

  /** The answers over a connection that serves one request after the other, and over one that was just opened. */
  async ask(request: string): Promise<readonly [RawResponse, RawResponse]> {
    if (this.#kept === undefined || this.#kept.isEnded) this.#kept = await this.client();
    const isBodiless = request.startsWith("HEAD ");
    const first = await this.#kept.send(request).response(isBodiless);
    if (first.headers.get("connection") === "close") this.#kept = undefined;
    using fresh = await this.client();
    return [first, await fresh.send(request).response(isBodiless)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kept?.[Symbol.dispose]();
    await this.#sidecar[Symbol.asyncDispose]();
    await this.#plane[Symbol.asyncDispose]();
    for (const origin of this.origins.values()) await origin[Symbol.asyncDispose]();
  }
}

/** What the policy service says about each Service, to a client of `clientNamespace`. */
function publish(plane: ControlPlane, texts: readonly string[]): void {
  const store = readBrokenStore(...texts);
  plane.setOutbound(`nowhere.${clientNamespace}.svc.cluster.local:80`, undefined);
  const workload = { namespace: clientNamespace, pod: "frontend-1" };
  for (const { meta } of store.services.values()) {
    for (const port of servicePorts) {
      const name = `${meta.name}.${meta.namespace}:${port}`;
      const authority = normaliseAuthority(name, clientNamespace, settings.clusterDomain) ?? "";
      const resolved = resolveOutbound(store, settings, targetOf(authority), workload);
      plane.setOutbound(authority, "policy" in resolved ? resolved.policy : undefined);
      plane.setEndpoints(authority, resolveEndpoints(store, settings, authority, workload));
    }
  }
}

/** One row of a table: what is asked, and what comes back; of headers only those that are named, where undefined means that there is none. */
export type Row = {
  readonly ask: string;
  /** Beside Host. */
  readonly headers?: string;
  readonly status?: number;
  readonly body?: string;
  readonly has?: Readonly<Record<string, string | undefined>>;
};

/** `host` names the destination. */
export async function judge(
  t: ExecutionContext,
  mesh: TableMesh,
  host: string,
  rows: readonly Row[],
): Promise<void> {
  for (const { ask, headers = "", status = 200, body, has = {} } of rows) {
    const line = ask.startsWith("/") ? `GET ${ask}` : ask;
    const what = `${host} ${line} ${headers}`;
    const request = `${line} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`;
    for (const response of await mesh.ask(request)) {
      t.is(response.status, status, `${what}: ${response.head}`);
      if (body !== undefined) t.is(response.body, body, what);
      // Of 503 there are also those of a backend.
      if ([500, 502, 504].includes(status)) t.truthy(response.headers.get("l5d-proxy-error"), what);
      for (const [name, value] of Object.entries(has)) {
        t.is(response.headers.get(name), value, `${what}: ${name}`);
      }
    }
  }
}
