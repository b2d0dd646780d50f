/** Routes that name a Service and yet have no say, which is what people look for when a route "does not work". */
import type { ServiceAuthority } from "../core/model/authority.ts";
import { describeMeta } from "../core/model/meta.ts";
import { conflictOf } from "../core/resolve/attachment.ts";
import { metaOf } from "../core/resolve/object-meta.ts";
import { fitsPort, refusalOfParent } from "../core/resolve/parent.ts";
import { objectName, referenceKey } from "../core/resolve/store.ts";
import type { RequestRoute } from "../core/resource/http-route.ts";
import type { OutboundTable } from "../core/table/outbound.ts";
import type { OutboundView } from "./explanation.ts";
import type { World } from "./world.ts";

export function routesSetAside(
  world: World,
  table: OutboundTable,
  service: ServiceAuthority,
): OutboundView["setAside"] {
  const key = referenceKey({ group: "", kind: "Service", ...service });
  const inForce = new Set(table.http.routes.map(({ meta }) => describeMeta(meta)));
  return (world.store.routes.get(key) ?? [])
    .map((route) => ({
      route: describeMeta(metaOf(route)),
      reason:
        table.http.order === "list"
          ? "a ServiceProfile speaks for the Service in place of HTTPRoutes"
          : reasonOf(world, service, route),
    }))
    .filter(({ route }) => !inForce.has(route));
}

function reasonOf({ store }: World, service: ServiceAuthority, route: RequestRoute): string {
  const { namespace, name, port } = service;
  const key = referenceKey({ group: "", kind: "Service", namespace, name });
  const refs = route.parentRefs.filter((ref) => referenceKey(ref) === key);
  const refusals = refs.map((ref) => refusalOfParent(store, ref, route.meta.namespace));
  const refusal = refusals.find((text) => text !== undefined);
  if (refusal !== undefined && !refusals.includes(undefined)) return refusal;
  const declared = store.services
    .get(objectName(service))
    ?.ports.find((candidate) => candidate.port === port);
  if (declared === undefined) return `the Service has no port ${port}`;
  if (!refs.some((ref) => fitsPort(ref, declared))) return `it is for another port than ${port}`;
  const conflicts = refs.map((ref) => conflictOf(store, route, ref));
  const conflict = conflicts.find((text) => text !== undefined);
  if (conflict !== undefined && !conflicts.includes(undefined)) return conflict;
  // GEP-1294: clients see the routes of their own namespace for a foreign Service, or else those beside the Service.
  return route.meta.namespace === namespace
    ? "routes of the client's namespace replace those of the Service's"
    : `it holds for clients of the namespace ${route.meta.namespace}`;
}
