/** What a reference to a backend leads to: a Service port of the mesh, or a destination outside of it. */
import { formatServiceAuthority } from "../model/authority.ts";
import type { Backend, BackendProtocol, PeakEwma } from "../model/backend.ts";
import { type Meta, resourceMeta } from "../model/meta.ts";
import type { EgressNetwork } from "../resource/egress-network.ts";
import type { BackendRef } from "../resource/reference.ts";
import type { Service, ServicePort } from "../resource/service.ts";
import { ownProtocol, portProtocol } from "./backend-protocol.ts";
import { describeBroken } from "./broken.ts";
import { kgatewayGroup, resolveKgatewayBackend } from "./kgateway-backend.ts";
import type { Cargo } from "./parent.ts";
import { type Problem, unresolved } from "./problem.ts";
import type { ResolveSettings } from "./settings.ts";
import { findBroken, objectName, type Store } from "./store.ts";

/** The group that Linkerd's contract writes for core Kubernetes kinds, where Kubernetes itself has an empty one. */
const coreGroup = "core";

/** Values of `appProtocol` that ask for bytes to be passed on unread. */
const opaqueAppProtocols: ReadonlySet<string> = new Set(["linkerd.io/opaque", "linkerd.io/tcp"]);

/** What references are followed from. */
export type BackendContext = {
  readonly store: Store;
  readonly settings: Pick<ResolveSettings, "clusterDomain">;
  /** Namespace of the object that refers. */
  readonly namespace: string;
  /** How endpoints are weighed, as the parent Service has it. */
  readonly load: PeakEwma;
  /** What the parent's port is said to speak. */
  readonly protocol: BackendProtocol;
  /** The EgressNetwork that the route has as its parent: the one that may be a backend, which is where the client was going. */
  readonly egress?: { readonly network: EgressNetwork; readonly backend: Backend } | undefined;
  /** Of routes of connections, for which ports may be opaque. */
  readonly cargo?: Cargo;
};

export type Target =
  | {
      readonly backend: Backend;
      /** Undefined outside of the mesh. */
      readonly service: Service | undefined;
    }
  | { readonly problem: Problem };

export function isOpaquePort(port: Pick<ServicePort, "appProtocol"> | undefined): boolean {
  return port?.appProtocol !== undefined && opaqueAppProtocols.has(port.appProtocol);
}

export function servicePort(service: Service, port: number): ServicePort | undefined {
  return service.ports.find((candidate) => candidate.port === port && candidate.protocol === "TCP");
}

export function serviceMeta(service: Service, port: number): Meta {
  const { namespace, name } = service.meta;
  return resourceMeta({ group: coreGroup, kind: "Service", namespace, name, port });
}

export function metaOfReference(ref: BackendRef): Meta {
  const { kind, namespace, name, port = 0 } = ref;
  return resourceMeta({ group: ref.group || coreGroup, kind, namespace, name, port });
}

export function serviceBackend(
  context: Pick<BackendContext, "settings" | "load" | "protocol">,
  service: Service,
  port: number,
): Backend {
  const { namespace, name } = service.meta;
  const { clusterDomain } = context.settings;
  return {
    meta: serviceMeta(service, port),
    dispatch: {
      kind: "balancer",
      authority: formatServiceAuthority({ name, namespace, port }, clusterDomain),
      load: context.load,
    },
    ...ownProtocol(context, portProtocol(servicePort(service, port))),
  };
}

/**
 * `parameter` picks a function of a Backend that has several. The texts for what Linkerd's policy controller refuses as well are its own, because clients read
 * them in `l5d-proxy-error`.
 */
export function findBackend(context: BackendContext, ref: BackendRef, parameter?: string): Target {
  if (ref.group === kgatewayGroup && ref.kind === "Backend" && context.cargo !== "connections") {
    const found = resolveKgatewayBackend(context, ref, parameter);
    return "problem" in found ? found : { ...found, service: undefined };
  }
  if (ref.group === "policy.linkerd.io" && ref.kind === "EgressNetwork") {
    return findEgress(context, ref);
  }
  if (ref.group !== "" || ref.kind !== "Service") {
    const type = `${ref.group || coreGroup} ${ref.kind}`;
    return { problem: unresolved("InvalidKind", `unsupported backend type ${type}`) };
  }
  return findService(context, ref);
}

/** Linkerd: only a route of an EgressNetwork has the address that it stands for. */
function findEgress({ egress, store }: BackendContext, ref: BackendRef): Target {
  const name = objectName(ref);
  if (egress !== undefined && objectName(egress.network.meta) === name) {
    return { backend: egress.backend, service: undefined };
  }
  const exists = store.egressNetworks.has(name);
  const problem = exists
    ? unresolved("InvalidKind", `EgressNetwork ${name} is a backend only where it is the parent`)
    : unresolved("BackendNotFound", `EgressNetwork not found ${ref.name}`);
  return { problem };
}

function findService(context: BackendContext, ref: BackendRef): Target {
  const { store } = context;
  const refuse = (reason: Problem["reason"], message: string): Target => ({
    problem: unresolved(reason, message),
  });
  if (ref.port === undefined) {
    return refuse("BackendNotFound", `missing port for backend Service ${ref.name}`);
  }
  const broken = findBroken(store, "Service", ref);
  if (broken !== undefined) return refuse("BackendNotFound", describeBroken(broken));
  const service = store.services.get(objectName(ref));
  // ExternalName is not a way out of the mesh (Gateway API HTTPBackendRef, CVE-2021-25740).
  if (service === undefined || service.type === "ExternalName") {
    return refuse("BackendNotFound", `Service not found ${ref.name}`);
  }
  const port = servicePort(service, ref.port);
  // A headless Service may declare no port at all; those of its EndpointSlices are asked then.
  if (port === undefined && service.ports.length > 0) {
    return refuse("BackendNotFound", `port ${ref.port} not found on Service ${ref.name}`);
  }
  const where = `port ${ref.port} of Service ${ref.name}`;
  if (context.cargo === "connections") {
    return { backend: serviceBackend(context, service, ref.port), service };
  }
  if (isOpaquePort(port)) {
    return refuse("UnsupportedProtocol", `${where} is not HTTP (appProtocol ${port?.appProtocol})`);
  }
  // Gateway API: WebSocket over TLS only together with a BackendTLSPolicy, which says whom to trust.
  if (port?.appProtocol === "kubernetes.io/wss") {
    return refuse(
      "UnsupportedProtocol",
      `${where} wants TLS (appProtocol kubernetes.io/wss), which takes a BackendTLSPolicy, and those are not served`,
    );
  }
  return { backend: serviceBackend(context, service, ref.port), service };
}
