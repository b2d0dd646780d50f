/** A Service port as the target of traffic: what a rule's backendRef names, and what a Service without routes sends to itself. */
import { formatServiceAuthority } from "../model/authority.ts";
import { type Backend, defaultLoad, type RouteBackend } from "../model/backend.ts";
import type { Filter } from "../model/filter.ts";
import { type Meta, resourceMeta } from "../model/meta.ts";
import type { HttpBackendRef } from "../resource/http-route.ts";
import type { Service, ServicePort } from "../resource/service.ts";
import { describeBroken } from "./broken.ts";
import { resolveFilter } from "./http-filter.ts";
import { answerWith500, type Converted, type Problem, unsupported } from "./problem.ts";
import type { ResolveSettings } from "./settings.ts";
import { findBroken, objectName, type Store } from "./store.ts";

/** The group that Linkerd's contract writes for core Kubernetes kinds, where Kubernetes itself has an empty one. */
const coreGroup = "core";

/** Values of `appProtocol` that ask for bytes to be passed on unread. */
const opaqueAppProtocols: ReadonlySet<string> = new Set(["linkerd.io/opaque", "linkerd.io/tcp"]);

export function isOpaquePort(port: ServicePort | undefined): boolean {
  return port?.appProtocol !== undefined && opaqueAppProtocols.has(port.appProtocol);
}

export function servicePort(service: Service, port: number): ServicePort | undefined {
  return service.ports.find((candidate) => candidate.port === port && candidate.protocol === "TCP");
}

export function serviceMeta(service: Service, port: number): Meta {
  const { namespace, name } = service.meta;
  return resourceMeta({ group: coreGroup, kind: "Service", namespace, name, port });
}

export function serviceBackend(
  settings: Pick<ResolveSettings, "clusterDomain">,
  service: Service,
  port: number,
): Backend {
  const { namespace, name } = service.meta;
  return {
    meta: serviceMeta(service, port),
    dispatch: {
      kind: "balancer",
      authority: formatServiceAuthority({ name, namespace, port }, settings.clusterDomain),
      load: defaultLoad,
    },
  };
}

/**
 * Gateway API HTTPBackendRef: a reference that leads nowhere keeps its weight and answers 500 for its share. The texts for
 * what Linkerd's policy controller refuses as well are its own, because clients read them in `l5d-proxy-error`.
 */
export function resolveBackend(
  store: Store,
  settings: Pick<ResolveSettings, "clusterDomain">,
  ref: HttpBackendRef,
): Converted<RouteBackend> {
  const target = findTarget(store, ref);
  if ("problem" in target) return failing(ref, target.problem);
  const filters: Filter[] = [];
  for (const filter of ref.filters) {
    const resolved = resolveFilter(filter, "outbound");
    if (resolved === undefined) {
      return failing(ref, unsupported(`unsupported backend filter: ${filter.type}`));
    }
    filters.push(resolved);
  }
  return {
    value: {
      backend: serviceBackend(settings, target.service, target.port),
      filters,
      weight: ref.weight,
    },
    problems: [],
  };
}

type Target = { readonly service: Service; readonly port: number } | { readonly problem: Problem };

function findTarget(store: Store, ref: HttpBackendRef): Target {
  if (ref.group !== "" || ref.kind !== "Service") {
    const type = `${ref.group || coreGroup} ${ref.kind}`;
    return unresolved("InvalidKind", `unsupported backend type ${type}`);
  }
  if (ref.port === undefined) {
    return unresolved("BackendNotFound", `missing port for backend Service ${ref.name}`);
  }
  const broken = findBroken(store, "Service", ref);
  if (broken !== undefined) {
    return unresolved("BackendNotFound", describeBroken(broken));
  }
  const service = store.services.get(objectName(ref));
  // ExternalName is not a way out of the mesh (Gateway API HTTPBackendRef, CVE-2021-25740).
  if (service === undefined || service.type === "ExternalName") {
    return unresolved("BackendNotFound", `Service not found ${ref.name}`);
  }
  const port = servicePort(service, ref.port);
  // A headless Service may declare no port at all; those of its EndpointSlices are asked then.
  if (port === undefined && service.ports.length > 0) {
    return unresolved("BackendNotFound", `port ${ref.port} not found on Service ${ref.name}`);
  }
  if (isOpaquePort(port)) {
    const why = `port ${ref.port} of Service ${ref.name} is not HTTP (appProtocol ${port?.appProtocol})`;
    return unresolved("UnsupportedProtocol", why);
  }
  return { service, port: ref.port };
}

function unresolved(reason: Problem["reason"], message: string): Target {
  return { problem: { kind: "unresolved", reason, message } };
}

function failing(ref: HttpBackendRef, problem: Problem): Converted<RouteBackend> {
  const { kind, namespace, name, port = 0 } = ref;
  const meta = resourceMeta({ group: ref.group || coreGroup, kind, namespace, name, port });
  return {
    value: {
      backend: { meta, dispatch: { kind: "fail" } },
      filters: [answerWith500(problem.message)],
      weight: ref.weight,
    },
    problems: [problem],
  };
}
