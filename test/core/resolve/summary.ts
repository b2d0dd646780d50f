/** Policies in a few words, so that a test shows what it expects at a glance. */
import type { Authorization } from "../../../src/core/model/authorization.ts";
import type { Distribution } from "../../../src/core/model/backend.ts";
import type { Filter } from "../../../src/core/model/filter.ts";
import type { OutboundHttpRule } from "../../../src/core/model/http-route.ts";
import type { InboundPolicy } from "../../../src/core/model/inbound-policy.ts";
import type { HttpMatch, RpcName, ValueMatch } from "../../../src/core/model/match.ts";
import { describeMeta } from "../../../src/core/model/meta.ts";
import type { OpaqueRoute, OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import type { Retry } from "../../../src/core/model/retry.ts";
import type { SessionPersistence } from "../../../src/core/model/session.ts";
import { formatCidr } from "../../../src/core/std/ip.ts";
import { unreachable } from "../../../src/core/std/unreachable.ts";

/** One line for each rule: `HTTPRoute demo/r: prefix / → Service demo/b:8080 1`. */
export function outboundLines(policy: OutboundPolicy): readonly string[] {
  return [...requestLines(policy), ...connectionLines(policy)];
}

/** Of routes that somebody wrote for connections. */
function connectionLines({ opaque, tlsRoutes = [] }: OutboundPolicy): readonly string[] {
  const isWritten = opaque.meta.type === "resource" && opaque.meta.kind === "TCPRoute";
  return [
    ...(isWritten ? [connectionLine(opaque, "")] : []),
    ...tlsRoutes.map((route) =>
      connectionLine(
        route,
        ` [${route.snis.map(({ kind, value }) => `${kind} ${value}`).join(" ")}]`,
      ),
    ),
  ];
}

function connectionLine({ meta, refusal, backends }: OpaqueRoute, names: string): string {
  const target = refusal === "" ? backendsText(backends) : refusal;
  return `${describeMeta(meta)}${names} → ${target}`;
}

function requestLines(policy: OutboundPolicy): readonly string[] {
  return policy.httpRoutes.flatMap((route) =>
    route.rules.map(({ matches, filters, backends, ...rest }) => {
      const target = [...filters.map(filterText), backendsText(backends)].filter(Boolean);
      return `${describeMeta(route.meta)}: ${matches.map(matchText).join(" or ")} → ${target.join(", ")}${bounds(rest)}`;
    }),
  );
}

function bounds({
  timeouts,
  retry,
  session,
}: Pick<OutboundHttpRule, "timeouts" | "retry" | "session">): string {
  const limits = Object.entries(timeouts)
    .filter(([, ms]) => ms > 0)
    .map(([name, ms]) => `${name.replace("Ms", "")} ${ms} ms`);
  return [
    ...(limits.length === 0 ? [] : [` within ${limits.join(", ")}`]),
    ...(retry === undefined ? [] : [`, ${retryText(retry)}`]),
    ...(session === undefined ? [] : [`, ${sessionText(session)}`]),
  ].join("");
}

export function retryText({
  limit,
  statuses,
  grpcCodes,
  perTryMs,
  backoff,
  budget,
}: Retry): string {
  const codes = statuses.map(({ start, end }) => (start === end ? start : `${start}-${end}`));
  const perTry = perTryMs === 0 ? "" : ` each ${perTryMs} ms`;
  const calls = grpcCodes === undefined ? "" : ` or grpc [${grpcCodes.join(" ")}]`;
  return `retry ${limit} on [${codes.join(" ")}]${calls}${perTry} after ${backoff.minMs}-${backoff.maxMs} ms budget ${budget.percent}% of ${budget.intervalMs} ms or ${budget.minPerSecond}/s`;
}

export function sessionText(session: SessionPersistence): string {
  const { type, name, cookiePath, lifetime, absoluteMs, idleMs } = session;
  const place = type === "cookie" ? ` ${lifetime} at ${cookiePath}` : "";
  return `session ${type} ${name}${place} absolute ${absoluteMs} idle ${idleMs}`;
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

export function admitsText({ meta, networks, authentication, tokens = [] }: Authorization): string {
  const clients =
    authentication.kind === "identities"
      ? [...authentication.identities, ...authentication.suffixes.map((end) => `*${end}`)].join(" ")
      : authentication.kind;
  const from = networks.map(({ net, except }) =>
    [formatCidr(net), ...except.map((cidr) => `!${formatCidr(cidr)}`)].join(""),
  );
  const also = tokens.map((rule) => ` with ${describeMeta(rule.meta)}`).join("");
  return `${describeMeta(meta)} admits ${clients} from ${from.join(" ")}${also}`;
}

function matchText({ path, headers, queryParams, method, rpc }: HttpMatch): string {
  const values = (name: string, list: readonly ValueMatch[]): readonly string[] =>
    list.map((match) => `${name} ${match.name}${match.kind === "exact" ? "=" : "~"}${match.value}`);
  const nameText = ({ kind, value }: RpcName): string =>
    kind === "regex" ? `~${value}` : value || "*";
  return [
    ...(rpc === undefined
      ? [method, `${path.kind} ${path.value}`]
      : [`call ${nameText(rpc.service)}/${nameText(rpc.method)}`]),
    ...values("header", headers),
    ...values("query", queryParams),
  ]
    .filter(Boolean)
    .join(" ");
}

function filterText(filter: Filter): string {
  switch (filter.kind) {
    case "failure":
      return `${codeText(filter.failure)}${filter.failure.message}${shareText(filter.failure)}`;
    case "redirect":
      return `redirect ${filter.redirect.status} ${filter.redirect.host}`;
    case "request-headers":
    case "response-headers":
      return `${filter.kind} ${JSON.stringify(filter.modifier)}`;
    case "url-rewrite":
      return `rewrite ${filter.rewrite.host} ${JSON.stringify(filter.rewrite.path)}`;
    case "mirror":
      return `mirror to ${describeMeta(filter.mirror.backend.meta)}${shareText(filter.mirror)}`;
    case "cors":
      return `cors ${JSON.stringify(filter.cors)}`;
    case "external-auth": {
      const { backend, ...auth } = filter.auth;
      return `ask ${describeMeta(backend.meta)} ${JSON.stringify(auth)}`;
    }
    case "direct-response":
      return `answer ${filter.response.status} ${JSON.stringify(filter.response.body)} ${filter.response.contentType}`;
    case "delay":
      return `wait ${filter.delay.delayMs} ms${shareText(filter.delay)}`;
    default:
      return unreachable(filter);
  }
}

function codeText({ status, grpcStatus }: { status: number; grpcStatus?: number }): string {
  return grpcStatus === undefined ? `${status} ` : `${status}/grpc ${grpcStatus} `;
}

function shareText({ numerator, denominator }: { numerator: number; denominator: number }): string {
  return numerator === denominator ? "" : ` for ${numerator} of ${denominator}`;
}

function backendsText(backends: Distribution): string {
  if (backends.kind === "empty") return "";
  const choices = backends.backends.map(({ backend, filters, weight }) =>
    [`${describeMeta(backend.meta)} ${weight}`, ...filters.map(filterText)].join(" "),
  );
  return `${backends.kind === "first-available" ? "first of " : ""}${choices.join(" | ")}`;
}
