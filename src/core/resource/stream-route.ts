import { type Fault, fail, type Result } from "../std/result.ts";
import { FaultList, Field, type Range } from "./field.ts";
import { readHostname, readParentRefs } from "./http-route.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import { type BackendRef, type ParentRef, readBackendRef } from "./reference.ts";

/** TCPRoute and TLSRoute: where connections go. Their rules match nothing, so that the first one has every connection of the route. */
export type StreamRoute = TcpRoute | TlsRoute;

export type TcpRoute = StreamRouteParts & { readonly kind: "TCPRoute" };

export type TlsRoute = StreamRouteParts & { readonly kind: "TLSRoute" };

type StreamRouteParts = {
  readonly group: "gateway.networking.k8s.io";
  readonly meta: ObjectMeta;
  readonly parentRefs: readonly ParentRef[];
  /** Of a TLSRoute: the server names that its clients ask for; empty: any. */
  readonly hostnames: readonly string[];
  /** Never empty. */
  readonly rules: readonly StreamRouteRule[];
};

type StreamRouteRule = { readonly backendRefs: readonly StreamBackendRef[] };

type StreamBackendRef = BackendRef & { readonly weight: number };

const weightRange: Range = { min: 0, max: 1_000_000 };

const group = "gateway.networking.k8s.io";

export function parseTcpRoute(json: unknown, known: readonly Fault[] = []): Result<TcpRoute> {
  const parts = readParts(json, known, () => []);
  return parts.ok
    ? { ok: true, value: { kind: "TCPRoute", ...parts.value } }
    : fail(...parts.faults);
}

export function parseTlsRoute(json: unknown, known: readonly Fault[] = []): Result<TlsRoute> {
  const parts = readParts(json, known, (field) => field.items().map(readHostname));
  return parts.ok
    ? { ok: true, value: { kind: "TLSRoute", ...parts.value } }
    : fail(...parts.faults);
}

/** One part that cannot be read makes the whole route unreadable: there is no request that could be told which part it was. */
function readParts(
  json: unknown,
  known: readonly Fault[],
  readHostnames: (field: Field) => readonly string[],
): Result<StreamRouteParts> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const meta = readMeta(root.at("metadata"), "dns-name");
  const rules = spec.at("rules").required();
  if (rules.isPresent && rules.items().length === 0) rules.fault("must have at least one entry");
  return list.settle<StreamRouteParts>({
    group,
    meta,
    parentRefs: readParentRefs(spec.at("parentRefs"), group, meta.namespace),
    hostnames: readHostnames(spec.at("hostnames")),
    rules: rules.items().map((rule) => ({
      backendRefs: rule
        .at("backendRefs")
        .items()
        .map((ref) => ({
          ...readBackendRef(ref, meta.namespace),
          weight: ref.at("weight").optionalInteger(weightRange) ?? 1,
        })),
    })),
  });
}
