/** A decision of a running sidecar as text for people. */
import type { DecisionReport } from "../core/decide/explain-decision.ts";
import { formatDurationMs } from "../core/std/duration.ts";
import { harmless, type Paint, section } from "./print.ts";

export function printDecision(report: DecisionReport, paint: Paint): string {
  const told = harmless(report);
  const { policy, route, authorizations, filters, backend, notes } = told;
  const lines = [
    ...headLines(told, paint),
    ...section(
      paint,
      "Policy",
      policy === null ? [] : [`${policy.name || policy.scope} (revision ${policy.revision})`],
    ),
    ...section(paint, "Route", route === null ? [] : [route.text]),
    ...section(
      paint,
      "Routes, as they are tried",
      (route?.considered ?? []).slice(0, maxShownEntries),
    ),
    ...section(
      paint,
      "Authorizations, as they are tried",
      authorizations.map(({ obstacle, text }) =>
        obstacle === "" ? paint.good(`the client ${text}`) : paint.bad(`the client ${text}`),
      ),
    ),
    ...section(paint, "Filters of the rule", filters.map(filterLine)),
    ...section(paint, "Limits", limitLines(told)),
    ...section(
      paint,
      "Sent to",
      backend === null && told.endpoint === null
        ? []
        : [placeLine(told), ...(backend?.filters ?? []).map((filter) => `  ${filterLine(filter)}`)],
    ),
    ...section(paint, "Note", notes),
    ...section(paint, "What became of it", [answerLine(told, paint)]),
  ];
  return `${lines.join("\n")}\n`;
}

/** A person reads a screen; `-o json` has all of them. */
const maxShownEntries = 20;

function headLines(
  { id, startedAtMs, direction, client, request }: DecisionReport,
  paint: Paint,
): readonly string[] {
  const what =
    request === null
      ? "a request that could not be read"
      : `${request.method} ${request.path}${request.query === "" ? "" : `?${request.query}`} for ${request.authority || "nobody"}`;
  const tls = client.tls ? "mutual TLS" : "plain text";
  const who = client.identity === "" ? client.ip : `${client.identity} (${client.ip})`;
  return [
    paint.heading(`${what}, ${direction}`),
    `  decision ${id} at ${new Date(startedAtMs).toISOString()}`,
    `  client ${who}, ${tls}`,
  ];
}

function limitLines({ timeouts, retryLimit, tries }: DecisionReport): readonly string[] {
  const named = [
    ["request", timeouts?.requestMs ?? 0],
    ["each try", timeouts?.backendRequestMs ?? 0],
    ["response", timeouts?.responseMs ?? 0],
    ["idle", timeouts?.idleMs ?? 0],
  ] as const;
  const limits = named.filter(([, ms]) => ms > 0);
  const text = limits.map(([name, ms]) => `${name} ${formatDurationMs(ms)}`).join(", ");
  return [
    ...(limits.length === 0 ? [] : [`timeouts: ${text}`]),
    ...(retryLimit === 0 ? [] : [`tries: ${tries} of up to ${retryLimit + 1}`]),
  ];
}

function placeLine({ backend, endpoint, direction }: DecisionReport): string {
  const name = backend?.name ?? (direction === "inbound" ? "the application" : "a backend");
  if (endpoint === null) return `${name}, of which no endpoint was chosen`;
  const identity = endpoint.identity === "" ? "" : ` as ${endpoint.identity}`;
  return `${name} at ${endpoint.address}${identity}`;
}

function answerLine({ answer, answeredAfterMs }: DecisionReport, paint: Paint): string {
  const { status, by, code, reason } = answer;
  const after = answeredAfterMs === null ? "" : ` after ${answeredAfterMs.toFixed(1)} ms`;
  switch (by) {
    case "endpoint":
      return paint.good(`the endpoint answered ${status}${after}`);
    case "filter":
      return paint.good(`a filter answered ${status}${after}`);
    case "proxy":
      return paint.bad(`this proxy answered ${status}${after} (${code}): ${reason}`);
    case "nobody":
      return paint.bad(`nobody answered: ${reason}`);
  }
}

function filterLine({ kind, text }: { readonly kind: string; readonly text: string }): string {
  return `${kind}: ${text}`;
}
