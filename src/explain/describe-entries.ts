/** The entries of a route table with what became of each, by the engine's own words. */
import {
  describeEntries,
  explainRoute,
  type RouteExplanation,
} from "../core/decide/explain-route.ts";
import type { LoadedRoutes } from "../core/decide/find-route.ts";
import { describeMeta } from "../core/model/meta.ts";
import type { EntryName, EntryView } from "./explanation.ts";
import { type TravellingRequest, viewOf } from "./travelling-request.ts";

export type Judged = {
  readonly explanation: RouteExplanation;
  readonly entries: readonly EntryView[];
};

export function judgeEntries(loaded: LoadedRoutes, request: TravellingRequest): Judged {
  const explanation = explainRoute(loaded, viewOf(request));
  const texts = describeEntries(loaded, explanation);
  const entries = explanation.entries.map((entry, at) => ({
    ...nameEntry(loaded, at),
    outcome: entry.outcome,
    name: "name" in entry ? entry.name : "",
    text: texts[at] ?? "",
  }));
  return { explanation, entries };
}

export function nameEntry({ table }: LoadedRoutes, at: number): EntryName {
  const entry = table.entries[at];
  const rule = table.rules[entry?.rule ?? -1];
  const route = table.routes[rule?.route ?? -1];
  if (entry === undefined || rule === undefined || route === undefined) {
    throw new Error(`The table has no entry ${at}`);
  }
  return { route: describeMeta(route.meta), rule: rule.index, match: entry.match };
}
