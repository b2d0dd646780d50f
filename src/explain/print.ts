/** An explanation as people read it, top to bottom: the question, the way of the request, and last what becomes of it. */
import { formatDurationMs } from "../core/std/duration.ts";
import type {
  BackendView,
  EntryView,
  Explanation,
  Fate,
  FilterView,
  InboundView,
  OutboundView,
} from "./explanation.ts";

/** How parts of a line are set apart; without a terminal not at all. */
export type Paint = {
  readonly heading: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly faint: (text: string) => string;
};

export const plain: Paint = {
  heading: (text) => text,
  good: (text) => text,
  bad: (text) => text,
  faint: (text) => text,
};

export const coloured: Paint = {
  heading: (text) => `\u001b[1m${text}\u001b[0m`,
  good: (text) => `\u001b[32m${text}\u001b[0m`,
  bad: (text) => `\u001b[31m${text}\u001b[0m`,
  faint: (text) => `\u001b[2m${text}\u001b[0m`,
};

/** A person reads a screen; `-o json` has all of them. */
const maxShownEntries = 20;

export function print(explanation: Explanation, paint: Paint): string {
  const { question, verdict, outbound, inbound, conditions, refusedDocuments, notes } =
    harmless(explanation);
  const { from, to, method, path, query, headers } = question;
  const lines = [
    paint.heading(`${method} ${path}${query === "" ? "" : `?${query}`} from ${from} to ${to}`),
    ...headers.map(({ name, value }) => `  ${name}: ${value}`),
    ...section(paint, "Note", notes),
    ...(outbound === null ? [] : outboundLines(outbound, paint)),
    ...inbound.flatMap((view) => inboundLines(view, paint)),
    ...section(
      paint,
      "Complaints of the mesh",
      conditions.map(({ object, parent, type, status, reason, message }) => {
        const where = parent === "" ? object : `${object} at ${parent}`;
        return `${where}: ${type} ${status} ${reason}${message === "" ? "" : `: ${message}`}`;
      }),
    ),
    ...section(paint, "Refused documents", refusedDocuments),
    ...section(
      paint,
      "What becomes of it",
      verdict.fates.map((fate) => fateLine(fate, paint)),
    ),
  ];
  return `${lines.join("\n")}\n`;
}

function outboundLines(view: OutboundView, paint: Paint): readonly string[] {
  const aside = view.setAside.map(({ route, reason }) => paint.faint(`- ${route}: ${reason}`));
  return [
    ...section(paint, `Routes of ${view.service}, as they are tried`, [
      ...entryLines(view.considered, view.winner, paint),
      ...aside,
    ]),
    ...section(
      paint,
      "Profile",
      view.profile === "" ? [] : [`${view.profile} holds in place of HTTPRoutes`],
    ),
    ...section(paint, "Taken by", view.winner === null ? [] : [view.winner.text]),
    ...section(paint, "Filters of the rule", view.filters.map(filterLine)),
    ...section(paint, "Limits", limitLines(view)),
    ...section(
      paint,
      view.pick === "first-available" ? "Backends, the first that is ready" : "Backends",
      view.backends.flatMap((backend) => backendLines(backend, paint)),
    ),
  ];
}

/** Those at the top, those that take the request, and how many others there are. */
function entryLines(
  entries: readonly EntryView[],
  winner: OutboundView["winner"],
  paint: Paint,
): readonly string[] {
  const isWinner = (entry: EntryView): boolean =>
    winner !== null &&
    entry.route === winner.route &&
    entry.rule === winner.rule &&
    entry.match === winner.match &&
    entry.outcome === "match";
  const takers = entries.filter(({ outcome }) => outcome === "match" || outcome === "unjudged");
  const shown = new Set([...entries.slice(0, maxShownEntries), ...takers.slice(0, 2)]);
  const lines = entries
    .filter((entry) => shown.has(entry))
    .map((entry) => {
      if (isWinner(entry)) return paint.good(`> ${entry.text}`);
      return entry.outcome === "unjudged" ? paint.bad(`! ${entry.text}`) : `  ${entry.text}`;
    });
  const rest = entries.length - shown.size;
  return rest > 0 ? [...lines, paint.faint(`  and ${rest} more: -o json lists them`)] : lines;
}

function limitLines({ timeouts, retry, session, circuitBreaker }: OutboundView): readonly string[] {
  const named = [
    ["request", timeouts.requestMs],
    ["each try", timeouts.backendRequestMs],
    ["response", timeouts.responseMs],
    ["idle", timeouts.idleMs],
  ] as const;
  const limits = named.filter(([, ms]) => ms > 0);
  const lines: string[] = [];
  if (limits.length > 0) {
    const text = limits.map(([name, ms]) => `${name} ${formatDurationMs(ms)}`).join(", ");
    lines.push(`timeouts: ${text}`);
  }
  if (retry !== null) {
    const on = retry.statuses.length === 0 ? "" : `, on ${retry.statuses.join(", ")}`;
    const tries = retry.perTryMs === 0 ? "" : `, each within ${formatDurationMs(retry.perTryMs)}`;
    const wait = formatDurationMs(retry.backoffMinMs);
    lines.push(
      `retries: ${retry.limit}${on}${tries}, after ${wait} or more, for up to ${retry.budgetPercent} % of requests`,
    );
  }
  if (session !== null) lines.push(`sessions: kept by the ${session.type} ${session.name}`);
  if (circuitBreaker) lines.push("circuit breaker: endpoints that fail are taken out for a while");
  return lines;
}

function backendLines(view: BackendView, paint: Paint): readonly string[] {
  const { backend, percent, to, speaks, state, reason, endpoints, meshed, filters } = view;
  const places = endpoints === 1 ? "1 endpoint" : `${endpoints} endpoints`;
  const tls = meshed === 0 ? "" : `, ${meshed} by mutual TLS`;
  const where = to === "" ? "" : ` (${to})`;
  const spoken = speaks === "" ? "" : ` over ${speaks}`;
  const line = `${percent} % ${backend}${where}${spoken}: `;
  const told = {
    ready: () => `${line}${places}${tls}`,
    none: () => paint.faint(`${line}gets nothing`),
    "no-endpoints": () => paint.bad(`${line}${reason}`),
    invalid: () => paint.bad(`${line}cannot be used: ${reason}`),
  }[state]();
  return [told, ...filters.map((filter) => `  ${filterLine(filter)}`)];
}

function inboundLines(view: InboundView, paint: Paint): readonly string[] {
  const { backend, pods, port, server, route, authorizations, admitted, audited, reason } = view;
  const { rateLimit, filters } = view;
  const title = `At port ${port} of ${pods.join(", ")} (${backend})`;
  return section(paint, title, [
    ...(server === "" ? [] : [`policy: ${server}`]),
    ...(route === "" || route === reason ? [] : [`route: ${route}`]),
    // A denial names them all anyway; what admits may be one of several.
    ...(admitted && authorizations.length > 1
      ? authorizations.map(({ text }) => paint.faint(`the client ${text}`))
      : []),
    admitted
      ? paint.good(
          `passes${audited ? ", and would be refused if policies were enforced" : ""}: ${reason}`,
        )
      : paint.bad(`refused: ${reason}`),
    ...(rateLimit === "" ? [] : [`rate limit: ${rateLimit}`]),
    ...filters.map(filterLine),
  ]);
}

function fateLine({ percent, kind, status, by, reason }: Fate, paint: Paint): string {
  const share = `${percent} %`;
  switch (kind) {
    case "backend":
      return paint.good(`${share} gets to ${by}`);
    case "answer":
      return paint.good(`${share} is answered with ${status} by ${by}: ${reason}`);
    case "refusal":
      return paint.bad(`${share} is refused with ${status} by ${by}: ${reason}`);
  }
}

function filterLine({ kind, text }: FilterView): string {
  return `${kind}: ${text}`;
}

export function section(paint: Paint, title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ["", paint.heading(title), ...lines.map((line) => `  ${line}`)];
}

/** What files and peers wrote must not move the cursor, nor turn the direction of the text. */
export function harmless<T extends object>(told: T): T {
  return JSON.parse(JSON.stringify(told), (_key, value: unknown) =>
    typeof value === "string" ? value.replaceAll(/[\p{Cc}\p{Cf}]/gu, "?") : value,
  );
}
