/** Names of what decided about a request, for lines and spans that people read. */
import { noRoute } from "../core/decide/find-route.ts";
import { describeMeta, type Meta } from "../core/model/meta.ts";
import type { Exchange } from "./exchange.ts";
import { short } from "./short-text.ts";

export type Decided = {
  readonly policy: string;
  readonly route: string;
  readonly rule: number;
  readonly authorization: string;
  readonly backend: string;
};

const undecided: Decided = { policy: "", route: "", rule: -1, authorization: "", backend: "" };

/** Names of what decided, from the tables that decided. */
export function decided({ decision, choice, rule }: Exchange): Decided {
  const policy = decision.edition?.policy;
  if (policy === undefined) return undecided;
  const { entries, rules, routes } = policy.table.http;
  const place = decision.found > noRoute ? rules[entries[decision.found]?.rule ?? -1] : undefined;
  const route = { route: nameOf(routes[place?.route ?? -1]?.meta), rule: place?.index ?? -1 };
  if (policy.direction === "inbound") {
    const { kind, name } = policy.table.server;
    const authorization = nameOf(policy.table.authorizations[decision.admitted]?.meta);
    return { ...undecided, ...route, policy: short(`${kind} ${name}`), authorization };
  }
  const chosen = choice === undefined ? -1 : (rule?.choices.indexOf(choice) ?? -1);
  const backend = policy.table.backends[rule?.rule.choices[chosen]?.backend ?? -1]?.meta;
  return { ...undecided, ...route, policy: nameOf(policy.table.parent), backend: nameOf(backend) };
}

function nameOf(meta: Meta | undefined): string {
  return meta === undefined ? "" : short(describeMeta(meta));
}
