/**
 * A decision that a sidecar has made, told afterwards. The data plane keeps small integers and references of its last requests
 * (`proxy/decisions.ts`); the words are made here, by the engine that decided, and only when somebody asks.
 */
import type { Endpoint } from "../model/endpoint.ts";
import { endpointKey } from "../model/endpoint.ts";
import { describeMeta } from "../model/meta.ts";
import type { Timeouts } from "../model/timeouts.ts";
import { formatIp } from "../std/ip.ts";
import type { InboundTable } from "../table/inbound.ts";
import type { FilterEntry, OutboundTable } from "../table/outbound.ts";
import type { Peer } from "./admit.ts";
import { type AnyFilter, describeFilter } from "./describe-filter.ts";
import { type AdmissionView, explainAdmission } from "./explain-admission.ts";
import { describeEntries, describeRoute, explainRoute, nameEntry } from "./explain-route.ts";
import { sessionFaults } from "./filter-fault.ts";
import { type LoadedRoutes, noRoute, type RequestView } from "./find-route.ts";

/** A policy as a worker had loaded it. */
export type HeldPolicy =
  | { readonly direction: "inbound"; readonly table: InboundTable; readonly routes: LoadedRoutes }
  | {
      readonly direction: "outbound";
      readonly table: OutboundTable;
      readonly routes: LoadedRoutes;
    };

/** What is kept of a request and what became of it. */
export type DecisionFacts = {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  /** Until the head of the answer, or the end; undefined: nothing has been answered yet. */
  readonly answeredAfterMs: number | undefined;
  readonly direction: "inbound" | "outbound";
  readonly peer: Peer;
  /** Inbound: the port whose policy counts; outbound: 0. */
  readonly port: number;
  /** Undefined: it could not be read. */
  readonly request: RequestView | undefined;
  /** False: it was too long, and only its beginning was kept. */
  readonly isWhole: boolean;
  /** Undefined: no policy was asked. */
  readonly scope: string | undefined;
  readonly revision: number;
  /** Undefined: none was asked, or it has been replaced too often since. */
  readonly policy: HeldPolicy | undefined;
  /** As `findRoute` answers; undefined: it was not asked. */
  readonly found: number | undefined;
  /** Index of the authorization that admitted, or -1; undefined: none was asked. */
  readonly admitted: number | undefined;
  /** Index of the backend among those of its rule; -1: none was chosen. */
  readonly choice: number;
  readonly endpoint: Endpoint | undefined;
  readonly tries: number;
  /** 0: nothing was answered. */
  readonly status: number;
  /** Of an answer that the proxy made because something went wrong; else empty. */
  readonly code: string;
  readonly reason: string;
};

/** The JSON of `weft explain --id`. Scripts read these names, so a field is added but never renamed, and none is ever missing. */
export type DecisionReport = {
  readonly id: string;
  readonly startedAtMs: number;
  readonly answeredAfterMs: number | null;
  readonly direction: "inbound" | "outbound";
  readonly client: { readonly identity: string; readonly ip: string; readonly tls: boolean };
  /** Null: it could not be read. */
  readonly request: {
    readonly method: string;
    readonly authority: string;
    readonly path: string;
    readonly query: string;
  } | null;
  /** Null: none was asked. */
  readonly policy: {
    readonly scope: string;
    readonly revision: number;
    readonly name: string;
  } | null;
  readonly route: {
    /** The winner and what broke the tie, or why there is none. */
    readonly text: string;
    readonly considered: readonly string[];
  } | null;
  readonly authorizations: readonly AdmissionView[];
  readonly filters: readonly { readonly kind: string; readonly text: string }[];
  readonly timeouts: Timeouts | null;
  readonly tries: number;
  readonly retryLimit: number;
  readonly backend: {
    readonly name: string;
    readonly filters: readonly { readonly kind: string; readonly text: string }[];
  } | null;
  readonly endpoint: { readonly address: string; readonly identity: string } | null;
  readonly answer: {
    readonly status: number;
    readonly by: "endpoint" | "filter" | "proxy" | "nobody";
    readonly code: string;
    readonly reason: string;
  };
  /** What could not be told, and why. */
  readonly notes: readonly string[];
};

export function explainDecision(facts: DecisionFacts): DecisionReport {
  const { id, startedAtMs, answeredAfterMs, direction, peer, scope, revision, tries } = facts;
  const { policy, endpoint, request } = facts;
  const name = policy === undefined ? "" : policyName(policy);
  return {
    id,
    startedAtMs,
    answeredAfterMs: answeredAfterMs ?? null,
    direction,
    client: { identity: peer.identity ?? "", ip: formatIp(peer.ip), tls: peer.tls },
    request: request === undefined ? null : requestPart(request),
    policy: scope === undefined ? null : { scope, revision, name },
    route: routePart(facts),
    authorizations: admissionPart(facts),
    ...rulePart(facts),
    tries,
    endpoint:
      endpoint === undefined
        ? null
        : { address: endpointKey(endpoint), identity: endpoint.tls?.identity ?? "" },
    answer: answerPart(facts),
    notes: notesOn(facts),
  };
}

function requestPart({ method, authority, path, query }: RequestView): DecisionReport["request"] {
  return { method, authority, path, query };
}

function policyName(policy: HeldPolicy): string {
  if (policy.direction === "outbound") return describeMeta(policy.table.parent);
  const { kind, name } = policy.table.server;
  return kind === "server" ? `Server ${name}` : `${kind} ${name}`;
}

/** Explained anew when all that the routes look at was kept; else the one that was found is named. */
function routePart({ policy, request, isWhole, found }: DecisionFacts): DecisionReport["route"] {
  if (policy === undefined || request === undefined || found === undefined) return null;
  const { routes } = policy;
  const explanation = isWhole ? explainRoute(routes, request) : undefined;
  const isSame =
    explanation !== undefined && (explanation.winner ?? noRoute) === Math.max(found, noRoute);
  if (isSame) {
    return {
      text: describeRoute(routes, explanation),
      considered: describeEntries(routes, explanation),
    };
  }
  return { text: found > noRoute ? nameEntry(routes, found) : "no route", considered: [] };
}

function admissionPart({ policy, found, admitted, peer }: DecisionFacts): readonly AdmissionView[] {
  if (policy?.direction !== "inbound" || admitted === undefined) return [];
  const { table } = policy;
  const rule = table.http.rules[table.http.entries[found ?? noRoute]?.rule ?? -1];
  return explainAdmission(table, table.admits[rule?.route ?? -1] ?? [], { peer, admitted });
}

type RulePart = Pick<DecisionReport, "filters" | "timeouts" | "retryLimit" | "backend">;

const noRule: RulePart = { filters: [], timeouts: null, retryLimit: 0, backend: null };

function rulePart({ policy, found, choice }: DecisionFacts): RulePart {
  if (policy === undefined || found === undefined || found <= noRoute) return noRule;
  const at = policy.table.http.entries[found]?.rule ?? -1;
  if (policy.direction === "inbound") {
    return { ...noRule, filters: told(policy.table.filters[at] ?? [], () => "") };
  }
  const rule = policy.table.rules[at];
  if (rule === undefined) return noRule;
  const nameOf = (backend: number): string => {
    const meta = policy.table.backends[backend]?.meta;
    return meta === undefined ? "nothing" : describeMeta(meta);
  };
  const chosen = rule.choices[choice];
  return {
    filters: told([...sessionFaults(rule), ...rule.filters], nameOf),
    timeouts: rule.timeouts,
    retryLimit: rule.retry?.limit ?? 0,
    backend:
      chosen === undefined
        ? null
        : { name: nameOf(chosen.backend), filters: told(chosen.filters, nameOf) },
  };
}

function told(
  filters: readonly (AnyFilter | FilterEntry)[],
  nameOf: (backend: number) => string,
): DecisionReport["filters"] {
  return filters.map((filter) => ({ kind: filter.kind, text: describeFilter(filter, nameOf) }));
}

function answerPart({ status, code, reason, endpoint }: DecisionFacts): DecisionReport["answer"] {
  if (code !== "") return { status, by: "proxy", code, reason };
  if (status === 0)
    return { status, by: "nobody", code, reason: "the client left, or still waits" };
  return { status, by: endpoint === undefined ? "filter" : "endpoint", code, reason };
}

function notesOn(facts: DecisionFacts): readonly string[] {
  const { policy, scope, revision, isWhole, request } = facts;
  const notes: string[] = [];
  if (admissionPart(facts).some(({ obstacle }) => obstacle === "token")) {
    notes.push("tokens are never kept: what was wrong with one is in the reason of the answer");
  }
  if (scope !== undefined && policy === undefined) {
    notes.push(
      `the policy of then (${scope}, revision ${revision}) has been replaced too often since to be kept: what it said is gone`,
    );
  }
  if (request !== undefined && !isWhole) {
    notes.push("the request was too long to be kept whole: why other routes lost is not told");
  }
  return notes;
}
