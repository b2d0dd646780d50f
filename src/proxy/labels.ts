/** Metric labels, as Linkerd names them (reference of the metrics: `thread/counters.ts`). */
import type { ServerLabels } from "../core/model/inbound-policy.ts";
import type { Meta } from "../core/model/meta.ts";
import type { Labels } from "./count.ts";

export type Direction = "inbound" | "outbound";

/** Of a route of a Server. Routes are in the Server's namespace, so Linkerd leaves that out here. */
export function inboundRouteLabels(server: ServerLabels, route: Meta): Labels {
  const { group, kind, name } = named(route);
  return {
    ...serverLabels(server),
    route_group: group,
    route_kind: kind,
    route_name: name,
  };
}

export function serverLabels({ group, kind, name }: ServerLabels): Labels {
  return { srv_group: group, srv_kind: kind, srv_name: name };
}

export function authorizationLabels(authorization: Meta): Labels {
  const { group, kind, name } = named(authorization);
  return { authz_group: group, authz_kind: kind, authz_name: name };
}

export function rateLimitLabels(limit: Meta): Labels {
  const { group, kind, name } = named(limit);
  return { ratelimit_group: group, ratelimit_kind: kind, ratelimit_name: name };
}

/** Of a route of a Service; `route` is undefined for requests that none takes. */
export function outboundRouteLabels(parent: Meta, route: Meta | undefined): Labels {
  const to = route === undefined ? nobody : named(route);
  return {
    ...parentLabels(parent),
    route_group: to.group,
    route_kind: to.kind,
    route_namespace: to.namespace,
    route_name: to.name,
  };
}

/** Of a backend of a route. */
export function backendLabels(backend: Meta | undefined): Labels {
  const { group, kind, namespace, name } = backend === undefined ? nobody : named(backend);
  return {
    backend_group: group,
    backend_kind: kind,
    backend_namespace: namespace,
    backend_name: name,
  };
}

/** Of the Service whose policy it is. */
export function parentLabels(parent: Meta): Labels {
  const { group, kind, namespace, name } = named(parent);
  return { parent_group: group, parent_kind: kind, parent_namespace: namespace, parent_name: name };
}

const nobody = { group: "", kind: "", namespace: "", name: "" };

function named(meta: Meta): typeof nobody {
  return meta.type === "default" ? { ...nobody, kind: "default", name: meta.name } : meta;
}
