/** Whether a client is admitted however the application reads the path of its request. */
import { toFieldText } from "../std/field.ts";
import type { InboundTable } from "../table/inbound.ts";
import { admitRequest, maxDenialText, notAdmitted, type Peer } from "./admit.ts";
import { findRoute, type LoadedRoutes, noRoute, type RequestView } from "./find-route.ts";
import { otherPaths } from "./other-paths.ts";
import type { TokenCheck } from "./token.ts";

export type PathQuestion = {
  readonly table: InboundTable;
  readonly routes: LoadedRoutes;
  readonly view: RequestView;
  readonly peer: Peer;
  readonly check: TokenCheck;
};

/** Whether somebody wrote routes, so that it matters how a path is read. */
export function hasNamedRoutes({ http }: InboundTable): boolean {
  return http.routes.some(({ meta }) => meta.type !== "default");
}

/** For people, safe for a header. */
export function describeForbiddenPath(path: string): string {
  const reason = `the path may be read as ${JSON.stringify(path)}, which the client may not ask for`;
  return toFieldText(reason, maxDenialText);
}

/** `found`: what the path as it was sent leads to. Undefined: admitted; else a path that the client may not ask for. */
export function forbiddenPath(question: PathQuestion, found: number): string | undefined {
  const { path } = question.view;
  const other = otherPaths(path);
  if (other === undefined) return undefined;
  if (other.normal !== path && !isAdmitted(question, find(question, other.normal))) {
    return other.normal;
  }
  // A habit of some is no reason to refuse, unless somebody wrote a route for exactly what it leads to.
  const loose = find(question, other.loose);
  const isAimedAt = loose > noRoute && loose < found;
  return isAimedAt && !isAdmitted(question, loose) ? other.loose : undefined;
}

function find({ routes, view }: PathQuestion, path: string): number {
  const { method, query, authority } = view;
  return findRoute(routes, { method, path, query, authority, header: (name) => view.header(name) });
}

function isAdmitted({ table, peer, check }: PathQuestion, found: number): boolean {
  const entry = table.http.entries[found];
  const rule = entry === undefined ? undefined : table.http.rules[entry.rule];
  return rule !== undefined && admitRequest(table, rule.route, peer, check) !== notAdmitted;
}
