/** What stands in front of the endpoints of a backend: the policy of each port, asked about the caller. */
import {
  admitConnection,
  admitRequest,
  explainDenial,
  notAdmitted,
  type Peer,
} from "../core/decide/admit.ts";
import { type AdmissionView, explainAdmission } from "../core/decide/explain-admission.ts";
import { describeRoute } from "../core/decide/explain-route.ts";
import { findRoute, loadHttpRoutes, noRoute } from "../core/decide/find-route.ts";
import {
  describeForbiddenPath,
  forbiddenPath,
  hasNamedRoutes,
  type PathQuestion,
} from "../core/decide/forbidden-path.ts";
import { clientRate, isLimited } from "../core/decide/rate-limit.ts";
import type { Endpoint } from "../core/model/endpoint.ts";
import { describeMeta } from "../core/model/meta.ts";
import { inboundStages } from "../core/pipeline.ts";
import type { Pod } from "../core/resource/pod.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import { AskedTokens } from "./asked-tokens.ts";
import { judgeEntries } from "./describe-entries.ts";
import type { InboundView } from "./explanation.ts";
import { type TravellingRequest, viewOf } from "./travelling-request.ts";
import { type FilterAnswer, walkFilters } from "./walk-filters.ts";
import type { World } from "./world.ts";

export type Arrival = {
  readonly backend: string;
  readonly request: TravellingRequest;
  readonly caller: Peer;
};

export type Reception = {
  readonly views: readonly InboundView[];
  /** The share (0 to 1) of what arrives that gets to an application. */
  readonly onward: number;
  readonly answers: readonly (FilterAnswer & { readonly by: string })[];
  /** Pods that were asked, by `namespace/name`. */
  readonly pods: readonly Pod[];
  /** What had to be assumed. */
  readonly notes: readonly string[];
};

/** Endpoints of one Service are nearly always alike; a person learns nothing from more than these. */
const maxAskedEndpoints = 100;

type Verdict = {
  readonly view: Omit<InboundView, "pods">;
  readonly onward: number;
  readonly answers: readonly FilterAnswer[];
};

/** A port where requests arrive. */
export type Place = {
  /** Undefined: nobody knows what stands there. */
  readonly pod: Pod | undefined;
  readonly ip: string;
  readonly port: number;
  /** Whether a sidecar stands in front. */
  readonly isMeshed: boolean;
};

export function receive(
  world: World,
  { endpoints, ...arrival }: Arrival & { readonly endpoints: readonly Endpoint[] },
): Reception {
  const places = endpoints.map(({ ip, port, tls }) => ({
    pod: world.store.podsByIp.get(ip),
    ip,
    port,
    isMeshed: tls !== undefined,
  }));
  return receivePlaces(world, arrival, places);
}

export function receivePlaces(world: World, arrival: Arrival, places: readonly Place[]): Reception {
  const asked = places.slice(0, maxAskedEndpoints);
  const groups = new Map<string, { readonly verdict: Verdict; readonly names: string[] }>();
  const pods: Pod[] = [];
  const tokens = new AskedTokens(arrival.request, Date.now() / 1_000);
  for (const place of asked) {
    const { pod, ip } = place;
    if (pod !== undefined) pods.push(pod);
    const name = pod === undefined ? ip : `${pod.meta.namespace}/${pod.meta.name}`;
    const verdict = receiveAt(world, { ...arrival, tokens }, place);
    const key = JSON.stringify(verdict);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { verdict, names: [name] });
    else group.names.push(name);
  }
  const all = [...groups.values()];
  const weightOf = (names: readonly string[]): number => names.length / asked.length;
  return {
    views: all.map(({ verdict, names }) => ({ ...verdict.view, pods: names })),
    onward: all.reduce((sum, { verdict, names }) => sum + verdict.onward * weightOf(names), 0),
    answers: all.flatMap(({ verdict, names }) =>
      verdict.answers.map((answer) => ({
        ...answer,
        share: answer.share * weightOf(names),
        by: verdict.view.server,
      })),
    ),
    pods,
    notes: tokens.notes,
  };
}

type Receiving = Arrival & { readonly tokens: AskedTokens };

function receiveAt(world: World, arrival: Receiving, { pod, port, isMeshed }: Place): Verdict {
  const blank = {
    backend: arrival.backend,
    port,
    enforced: false,
    server: "",
    route: "",
    considered: [],
    authorizations: [],
    admitted: true,
    audited: false,
    reason: "no sidecar stands in front: the request arrives in plain text and nothing is asked",
    rateLimit: "",
    filters: [],
  };
  if (pod === undefined || !isMeshed) {
    return { view: blank, onward: 1, answers: [] };
  }
  const { namespace, name } = pod.meta;
  const stages = inboundStages(world.store, world.settings, {
    workload: { namespace, pod: name },
    port,
  });
  if ("unknown" in stages) {
    const view = { ...blank, enforced: true, admitted: false, reason: stages.unknown };
    return { view, onward: 0, answers: [{ share: 1, status: 503, reason: stages.unknown }] };
  }
  const { table } = stages.policy;
  const { kind, name: server } = table.server;
  const enforced = { ...blank, enforced: true, server: `${kind} ${server}` };
  const isOpaque = table.protocol === "opaque" || table.protocol === "tls";
  return isOpaque
    ? receiveConnection(table, arrival, enforced)
    : receiveRequest(table, arrival, enforced);
}

function receiveConnection(
  table: InboundTable,
  { caller }: Arrival,
  view: Verdict["view"],
): Verdict {
  const admitted = admitConnection(table, caller);
  const authorizations = explainAdmission(table, table.admitsConnection, {
    peer: caller,
    admitted,
  });
  if (admitted !== notAdmitted) {
    const reason = `${authorizationName(table, admitted)} admits the connection`;
    const audited = isAudited(authorizations);
    return { view: { ...view, authorizations, audited, reason }, onward: 1, answers: [] };
  }
  const reason = explainDenial(table, table.admitsConnection, caller);
  return refused({ ...view, authorizations, admitted: false, reason }, 403);
}

function receiveRequest(
  table: InboundTable,
  { caller, request, tokens }: Receiving,
  view: Verdict["view"],
): Verdict {
  const loaded = loadHttpRoutes(table.http);
  const { explanation, entries: considered } = judgeEntries(loaded, request);
  const route = describeRoute(loaded, explanation);
  const found = findRoute(loaded, viewOf(request));
  if (found <= noRoute) {
    const status = found === noRoute ? 404 : 500;
    return refused({ ...view, route, considered, admitted: false, reason: route }, status);
  }
  const entry = table.http.entries[found];
  const rule = entry?.rule ?? -1;
  const place = table.http.rules[rule]?.route ?? -1;
  const { check } = tokens;
  const admitted = admitRequest(table, place, caller, check);
  const candidates = table.admits[place] ?? [];
  const authorizations = explainAdmission(table, candidates, { peer: caller, admitted, check });
  const judged = { ...view, route, considered, authorizations };
  const denial =
    admitted === notAdmitted
      ? explainDenial(table, candidates, caller, check)
      : pathDenial({ table, routes: loaded, view: viewOf(request), peer: caller, check }, found);
  if (denial !== undefined) return refused({ ...judged, admitted: false, reason: denial }, 403);
  const walk = walkFilters(table.filters[rule] ?? [], request, {
    asMatched: request,
    matchedPrefix: entry?.path.kind === "prefix" ? entry.path.value : undefined,
    listenerPort: view.port,
    nameOf: () => "",
  });
  const reason = `${authorizationName(table, admitted)} admits the client`;
  return {
    view: {
      ...judged,
      audited: isAudited(authorizations),
      reason,
      rateLimit: isLimited(table, place) ? describeLimit(table, caller) : "",
      filters: walk.steps,
    },
    onward: walk.onward,
    answers: walk.answers,
  };
}

/** The client may ask for the path, and an application may read another in it. */
function pathDenial(question: PathQuestion, found: number): string | undefined {
  const path = hasNamedRoutes(question.table) ? forbiddenPath(question, found) : undefined;
  return path === undefined ? undefined : describeForbiddenPath(path);
}

/** How many requests came before is not known here, so that the limit is told and not applied. */
function describeLimit({ rateLimit }: InboundTable, caller: Peer): string {
  if (rateLimit === undefined) return "";
  const { meta, totalPerSecond } = rateLimit;
  const own = clientRate(rateLimit, caller);
  const rates = [
    ...(totalPerSecond === 0 ? [] : [`${totalPerSecond} requests a second in all`]),
    ...(own === 0 ? [] : [`${own} requests a second of ${describeCaller(caller)}`]),
  ];
  if (rates.length === 0) return "";
  return `${describeMeta(meta)} lets ${rates.join(" and ")} through, and answers 429 to the rest`;
}

function describeCaller({ identity }: Peer): string {
  return identity ?? "all clients without an identity together";
}

/** Nobody but the audit mode admits. */
function isAudited(authorizations: readonly AdmissionView[]): boolean {
  return authorizations.every(({ obstacle, isAudit }) => isAudit || obstacle !== "");
}

function refused(view: Verdict["view"], status: number): Verdict {
  return { view, onward: 0, answers: [{ share: 1, status, reason: view.reason }] };
}

function authorizationName(table: InboundTable, at: number): string {
  const authorization = table.authorizations[at];
  if (authorization === undefined) throw new Error(`The table has no authorization ${at}`);
  return describeMeta(authorization.meta);
}
