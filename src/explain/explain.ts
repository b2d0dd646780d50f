/**
 * What would become of a request, and why. Every decision is asked of the functions that the policy service and the sidecar
 * run; this folder only follows a request from one to the next, as `proxy/outbound.ts` and `proxy/inbound.ts` do.
 */
import type { Peer } from "../core/decide/admit.ts";
import { toPercent } from "../core/decide/describe-filter.ts";
import { describeRoute } from "../core/decide/explain-route.ts";
import { sessionFaults } from "../core/decide/filter-fault.ts";
import {
  findRoute,
  type LoadedRoutes,
  loadHttpRoutes,
  noRoute,
} from "../core/decide/find-route.ts";
import { parseServiceAuthority, targetOf } from "../core/model/authority.ts";
import { identityName } from "../core/model/identity.ts";
import { describeMeta } from "../core/model/meta.ts";
import type { Workload } from "../core/model/workload.ts";
import { outboundStages } from "../core/pipeline.ts";
import type { Pod } from "../core/resource/pod.ts";
import { formatIp, type Ip, parseIp } from "../core/std/ip.ts";
import type { OutboundRule, OutboundTable } from "../core/table/outbound.ts";
import { describeReport } from "../edge/files/source-snapshot.ts";
import { adviseClient, adviseDestination } from "./advice.ts";
import { reachOf, sharesOf } from "./backends.ts";
import { complaints } from "./conditions.ts";
import { judgeEntries, nameEntry } from "./describe-entries.ts";
import type {
  AskedQuestion,
  BackendView,
  Explanation,
  InboundView,
  OutboundView,
  WinnerView,
} from "./explanation.ts";
import { FateList } from "./fates.ts";
import { receive } from "./inbound.ts";
import { type Question, withoutSecrets } from "./question.ts";
import { describeRetry } from "./retry.ts";
import { routesSetAside } from "./set-aside.ts";
import { type TravellingRequest, viewOf } from "./travelling-request.ts";
import { type FilterSituation, walkFilters } from "./walk-filters.ts";
import type { World } from "./world.ts";

export function explain(world: World, question: Question): Explanation {
  return new Explainer(world, question).explain();
}

/** As `proxy/rescue.ts` answers. */
const unknownDestination = 502;
const routeNotFound = 404;
const unusable = 500;
const unavailable = 503;

class Explainer {
  readonly #world: World;
  readonly #question: Question;
  readonly #client: Workload;
  readonly #caller: Peer & { readonly identity: string };
  readonly #notes: string[];
  readonly #fates: FateList = new FateList();
  readonly #inbound: InboundView[] = [];
  readonly #pods: Pod[] = [];

  constructor(world: World, question: Question) {
    const { client, notes } = question;
    this.#world = world;
    this.#question = question;
    this.#notes = [
      ...notes,
      ...adviseClient(world, question),
      ...adviseDestination(world, question),
    ];
    const pod = [...world.store.pods.values()].find(
      ({ meta, serviceAccountName }) =>
        meta.namespace === client.namespace && serviceAccountName === client.serviceAccount,
    );
    this.#client = { namespace: client.namespace, pod: pod?.meta.name ?? "" };
    const { controlNamespace, trustDomain } = world.settings;
    this.#caller = {
      ip: question.ip ?? this.#addressOf(pod),
      tls: true,
      identity: identityName({ ...client, controlNamespace, trustDomain }),
    };
  }

  explain(): Explanation {
    const outbound = this.#outbound();
    const service = this.#service();
    const namespaces = new Set(this.#pods.map(({ meta }) => meta.namespace));
    return {
      question: this.#asked(),
      verdict: this.#fates.verdict(),
      outbound,
      inbound: this.#inbound,
      conditions: complaints(this.#world.statuses(), service, namespaces),
      refusedDocuments: this.#world.reports
        .filter(({ severity }) => severity === "refused" || severity === "unserved")
        .map(describeReport),
      notes: this.#notes,
    };
  }

  #outbound(): OutboundView | null {
    const { store, settings } = this.#world;
    const { authority, request } = this.#question;
    const target = targetOf(authority);
    const stages = outboundStages(store, settings, { workload: this.#client, target });
    if ("unknown" in stages) {
      this.#fates.refuse(1, unknownDestination, { by: authority, reason: stages.unknown });
      return null;
    }
    const { table } = stages.policy;
    const loaded = loadHttpRoutes(table.http);
    const { explanation, entries: considered } = judgeEntries(loaded, request);
    const text = describeRoute(loaded, explanation);
    const found = findRoute(loaded, viewOf(request));
    const rule = table.rules[table.http.entries[found]?.rule ?? -1];
    const service = this.#service();
    const view = {
      ...noRule,
      service: describeMeta(table.parent),
      protocol: table.protocol,
      profile: profileOf(table),
      considered,
      setAside: service === undefined ? [] : routesSetAside(this.#world, table, service),
      circuitBreaker: table.accrual !== undefined,
    };
    if (found <= noRoute || rule === undefined) {
      const status = found === noRoute ? routeNotFound : unusable;
      this.#fates.refuse(1, status, { by: view.service, reason: text });
      return view;
    }
    const winner = winnerOf(loaded, explanation.runnerUp, { found, text });
    return { ...view, winner, ...this.#followRule(table, rule, found) };
  }

  /** What happens after a route was found. */
  #followRule(table: OutboundTable, rule: OutboundRule, found: number): RuleView {
    const { request } = this.#question;
    const situation = this.#situation(table, found);
    const by = this.#routeName(table, found);
    const filters = [...sessionFaults(rule), ...rule.filters];
    const walk = walkFilters(filters, request, situation);
    for (const { share, status, reason } of walk.answers) {
      this.#fates.answer(share, status, { by, reason });
    }
    const { requestMs, backendRequestMs, responseMs, idleMs } = rule.timeouts;
    return {
      filters: walk.steps,
      timeouts: { requestMs, backendRequestMs, responseMs, idleMs },
      retry: rule.retry === undefined ? null : describeRetry(rule.retry),
      session:
        rule.session === undefined ? null : { type: rule.session.type, name: rule.session.name },
      pick: rule.distribution,
      backends: this.#backends(table, rule, { ...walk, situation, by }),
    };
  }

  #backends(table: OutboundTable, rule: OutboundRule, onTheWay: OnTheWay): readonly BackendView[] {
    const { onward, by } = onTheWay;
    const reaches = rule.choices.map((choice) => reachOf(this.#world, table, choice, this.#client));
    const shares = sharesOf(rule, reaches);
    if (shares.every((share) => share === 0)) {
      const isEmpty = rule.distribution === "empty";
      const reason = isEmpty ? "the rule has no backend" : "no backend of the rule takes traffic";
      this.#fates.refuse(onward, isEmpty ? unavailable : unusable, { by, reason });
    }
    return rule.choices.map((choice, at) => {
      const share = shares[at] ?? 0;
      const reach = reaches[at];
      if (reach === undefined) throw new Error(`The rule has no choice ${at}`);
      const walk = walkFilters(choice.filters, onTheWay.request, onTheWay.situation);
      const { name, to, speaks, reason, endpoints, places, state } = reach;
      if (share > 0) this.#arrive({ reach, walk, share: share * onward });
      return {
        backend: name,
        weight: choice.weight,
        percent: toPercent(share),
        state: share === 0 && state !== "invalid" ? "none" : state,
        to,
        speaks,
        endpoints: places,
        meshed: endpoints.filter(({ tls }) => tls !== undefined).length,
        reason,
        filters: walk.steps,
      };
    });
  }

  /** A share of the requests at one backend. */
  #arrive({ reach, walk, share }: Arriving): void {
    const { name, state, endpoints } = reach;
    for (const answer of walk.answers) {
      const { status, reason } = answer;
      this.#fates.answer(share * answer.share, status, { by: name, reason });
    }
    const left = share * walk.onward;
    if (left === 0) return;
    if (state !== "ready") {
      const status = state === "invalid" ? unusable : unavailable;
      this.#fates.refuse(left, status, { by: name, reason: reach.reason });
      return;
    }
    if (endpoints.length === 0) {
      this.#fates.reach(left, name);
      return;
    }
    const { request } = walk;
    const reception = receive(this.#world, {
      backend: name,
      endpoints,
      request,
      caller: this.#caller,
    });
    this.#inbound.push(...reception.views);
    this.#pods.push(...reception.pods);
    this.#notes.push(...reception.notes.filter((note) => !this.#notes.includes(note)));
    for (const answer of reception.answers) {
      const { status, reason, by } = answer;
      this.#fates.answer(left * answer.share, status, { by: `${by} before ${name}`, reason });
    }
    this.#fates.reach(left * reception.onward, name);
  }

  #situation(table: OutboundTable, found: number): FilterSituation {
    const entry = table.http.entries[found];
    const { request, authority } = this.#question;
    return {
      asMatched: request,
      matchedPrefix: entry?.path.kind === "prefix" ? entry.path.value : undefined,
      // A normalised authority ends in its port.
      listenerPort: Number(authority.slice(authority.lastIndexOf(":") + 1)),
      nameOf: (backend) => {
        const meta = table.backends[backend]?.meta;
        return meta === undefined ? "nothing" : describeMeta(meta);
      },
    };
  }

  #routeName(table: OutboundTable, found: number): string {
    const rule = table.http.rules[table.http.entries[found]?.rule ?? -1];
    const route = table.http.routes[rule?.route ?? -1];
    return route === undefined ? "" : `${describeMeta(route.meta)} rule ${rule?.index ?? 0}`;
  }

  #service(): ReturnType<typeof parseServiceAuthority> {
    const { clusterDomain } = this.#world.settings;
    const { authority } = this.#question;
    const target = targetOf(authority);
    if (target.kind === "authority") return parseServiceAuthority(authority, clusterDomain);
    const meta = this.#world.store.servicesByIp.get(target.ip)?.meta;
    return meta === undefined
      ? undefined
      : { name: meta.name, namespace: meta.namespace, port: target.port };
  }

  /** Authorizations may ask for the network of the client, so it must have an address. */
  #addressOf(pod: Pod | undefined): Ip {
    const own = pod?.ips.map(parseIp).find((ip) => ip !== undefined);
    if (own !== undefined) return own;
    const inside = this.#world.settings.clusterNetworks[0]?.ip ?? { family: 4, bits: 0 };
    this.#notes.push(
      `the client has no known address; taken to be ${formatIp(inside)}: say which with --ip`,
    );
    return inside;
  }

  #asked(): AskedQuestion {
    const { client, authority, request, headers } = this.#question;
    const { method, path, query } = request;
    return {
      from: `${client.namespace}/${client.serviceAccount}`,
      identity: this.#caller.identity,
      ip: formatIp(this.#caller.ip),
      to: authority,
      method,
      path,
      query,
      // As they were typed; routes see octets.
      headers: withoutSecrets(headers).map(({ name, value }) => ({
        name,
        value: Buffer.from(value, "latin1").toString("utf8"),
      })),
    };
  }
}

/** Its last entry takes what its routes leave, and bears its name alone. */
function profileOf({ http }: OutboundTable): string {
  const last = http.routes.at(-1);
  return http.order === "list" && last !== undefined ? describeMeta(last.meta) : "";
}

type OnTheWay = {
  readonly onward: number;
  readonly request: TravellingRequest;
  readonly situation: FilterSituation;
  readonly by: string;
};

type Arriving = {
  readonly reach: ReturnType<typeof reachOf>;
  readonly walk: ReturnType<typeof walkFilters>;
  readonly share: number;
};

type RuleView = Pick<
  OutboundView,
  "filters" | "timeouts" | "retry" | "session" | "pick" | "backends"
>;

const noRule: RuleView & Pick<OutboundView, "winner"> = {
  winner: null,
  filters: [],
  timeouts: { requestMs: 0, backendRequestMs: 0, responseMs: 0, idleMs: 0 },
  retry: null,
  session: null,
  pick: "empty",
  backends: [],
};

function winnerOf(
  loaded: LoadedRoutes,
  runnerUp: ReturnType<typeof judgeEntries>["explanation"]["runnerUp"],
  { found, text }: { readonly found: number; readonly text: string },
): WinnerView {
  return {
    ...nameEntry(loaded, found),
    before: runnerUp === undefined ? null : nameEntry(loaded, runnerUp.entry),
    criterion: runnerUp?.lostBy ?? "",
    text,
  };
}
