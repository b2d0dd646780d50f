/** Policies in a few words, so that a test shows what it expects at a glance. */
import type { Authorization } from "../../../src/core/model/authorization.ts";
import type { Distribution } from "../../../src/core/model/backend.ts";
import type { Filter } from "../../../src/core/model/filter.ts";
import type { InboundPolicy } from "../../../src/core/model/inbound-policy.ts";
import type { HttpMatch, ValueMatch } from "../../../src/core/model/match.ts";
import { describeMeta } from "../../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import { formatCidr } from "../../../src/core/std/ip.ts";

/** One line for each rule: `HTTPRoute demo/r: prefix / → Service demo/b:8080 1`. */
export function outboundLines(policy: OutboundPolicy): readonly string[] {
  return policy.httpRoutes.flatMap((route) =>
    route.rules.map(({ matches, filters, backends, requestTimeoutMs }) => {
      const timeout = requestTimeoutMs === 0 ? "" : ` within ${requestTimeoutMs} ms`;
      const target = [...filters.map(filterText), backendsText(backends)].filter(Boolean);
      return `${describeMeta(route.meta)}: ${matches.map(matchText).join(" or ")} → ${target.join(", ")}${timeout}`;
    }),
  );
}

/** One line for each rule, and what admits its requests beside the authorizations of the Server. */
export function inboundLines(policy: InboundPolicy): readonly string[] {
  return policy.routes.flatMap((route) =>
    route.rules.map(({ matches, filters }) => {
      const hosts = route.hosts.map(({ kind, value }) => `${kind} host ${value} `).join("");
      const target = [...filters.map(filterText), ...route.authorizations.map(admitsText)];
      return `${describeMeta(route.meta)}: ${hosts}${matches.map(matchText).join(" or ")} → ${target.join(", ")}`;
    }),
  );
}

export function admitsText({ meta, networks, authentication }: Authorization): string {
  const clients =
    authentication.kind === "identities"
      ? [...authentication.identities, ...authentication.suffixes.map((end) => `*${end}`)].join(" ")
      : authentication.kind;
  const from = networks.map(({ net, except }) =>
    [formatCidr(net), ...except.map((cidr) => `!${formatCidr(cidr)}`)].join(""),
  );
  return `${describeMeta(meta)} admits ${clients} from ${from.join(" ")}`;
}

function matchText({ path, headers, queryParams, method }: HttpMatch): string {
  const values = (name: string, list: readonly ValueMatch[]): readonly string[] =>
    list.map((match) => `${name} ${match.name}${match.kind === "exact" ? "=" : "~"}${match.value}`);
  return [
    method,
    `${path.kind} ${path.value}`,
    ...values("header", headers),
    ...values("query", queryParams),
  ]
    .filter(Boolean)
    .join(" ");
}

function filterText(filter: Filter): string {
  if (filter.kind === "failure") return `${filter.failure.status} ${filter.failure.message}`;
  if (filter.kind === "redirect")
    return `redirect ${filter.redirect.status} ${filter.redirect.host}`;
  return `${filter.kind} ${JSON.stringify(filter.modifier)}`;
}

function backendsText(backends: Distribution): string {
  if (backends.kind === "empty") return "";
  const choices = backends.backends.map(({ backend, filters, weight }) =>
    [`${describeMeta(backend.meta)} ${weight}`, ...filters.map(filterText)].join(" "),
  );
  return `${backends.kind === "first-available" ? "first of " : ""}${choices.join(" | ")}`;
}
