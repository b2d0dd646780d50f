import { isDnsName } from "../std/dns-name.ts";
import { type Fault, fail, type Result } from "../std/result.ts";
import { readDurationMs } from "./duration.ts";
import { FaultList, Field, isRecord, isWithin, quote, type Range } from "./field.ts";
import { readGrpcMatches } from "./grpc-match.ts";
import {
  type FilterRules,
  type FilterType,
  type HttpPathModifier,
  type HttpRouteFilter,
  readFilters,
} from "./http-filter.ts";
import { everyRequest, type HttpRouteMatch, readMatches } from "./http-match.ts";
import { coverMatches } from "./match-cover.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import {
  type BackendRef,
  type ParentRef,
  type RefDefaults,
  readBackendRef,
  readParentRef,
} from "./reference.ts";
import { readSessionPersistence, type SessionPersistence } from "./session-persistence.ts";

/** HTTPRoute of either group. Every field of the API is kept: what is not honoured must be refused aloud in resolve. */
export type HttpRoute = RouteParts & {
  readonly kind: "HTTPRoute";
  readonly group: HttpRouteGroup;
};

/** GRPCRoute has the parts of an HTTPRoute; its matches name a service and a method instead of a path (`rpc`). */
export type GrpcRoute = RouteParts & {
  readonly kind: "GRPCRoute";
  readonly group: "gateway.networking.k8s.io";
};

/** Routes of requests. */
export type RequestRoute = HttpRoute | GrpcRoute;

type RouteParts = {
  readonly meta: ObjectMeta;
  readonly parentRefs: readonly ParentRef[];
  readonly hostnames: readonly string[];
  /** For Gateways. */
  readonly useDefaultGateways: "All" | "None" | undefined;
  readonly rules: readonly HttpRouteRule[];
};

export type HttpRouteGroup = "policy.linkerd.io" | "gateway.networking.k8s.io";

/** Rules are read one by one, so that a broken one answers for its own requests and the others go on. */
export type HttpRouteRule = ValidHttpRouteRule | BrokenHttpRouteRule;

export type ValidHttpRouteRule = {
  readonly state: "valid";
  /** Empty when the rule has no name. */
  readonly name: string;
  /** Never empty. */
  readonly matches: readonly HttpRouteMatch[];
  readonly filters: readonly HttpRouteFilter[];
  readonly backendRefs: readonly HttpBackendRef[];
  readonly timeouts: HttpRouteTimeouts;
  readonly retry: HttpRouteRetry | undefined;
  readonly sessionPersistence: SessionPersistence | undefined;
};

type BrokenHttpRouteRule = {
  readonly state: "broken";
  readonly name: string;
  readonly faults: readonly Fault[];
  /** Which requests the rule speaks for, when at least that is readable. Never empty. */
  readonly matches: readonly HttpRouteMatch[] | undefined;
  /** What is readable of them: takes those requests and maybe more. Never empty. */
  readonly cover: readonly HttpRouteMatch[];
};

export type HttpBackendRef = BackendRef & {
  readonly weight: number;
  readonly filters: readonly HttpRouteFilter[];
};

/** Undefined: not said. 0: no limit, said aloud. */
export type HttpRouteTimeouts = {
  readonly requestMs: number | undefined;
  readonly backendRequestMs: number | undefined;
};

/** GEP-1731. */
export type HttpRouteRetry = {
  /** 400 to 599, each once. */
  readonly codes: readonly number[];
  /** Retries after the first try. Undefined: not said. */
  readonly attempts: number | undefined;
  /** The least wait before a retry. */
  readonly backoffMs: number | undefined;
};

/** What Gateway API allows over all rules of a route. */
const maxMatchesPerRoute = 128;

const weightRange: Range = { min: 0, max: 1_000_000 };
const retryCodeRange: Range = { min: 400, max: 599 };
const attemptsRange: Range = { min: 0, max: Number.MAX_SAFE_INTEGER };

type GroupRules = {
  /** Kind of a parent that says none, as the group's definition has it. */
  readonly parentKind: string;
  readonly filterTypes: readonly FilterType[];
  /** Whether Gateway API's own rules for paths apply. */
  readonly strictPaths: boolean;
  /** What the rules of the kind match. */
  readonly matches: "http" | "grpc";
};

const groupRules: Readonly<Record<HttpRouteGroup, GroupRules>> = {
  "gateway.networking.k8s.io": {
    parentKind: "Gateway",
    filterTypes: [
      "RequestHeaderModifier",
      "ResponseHeaderModifier",
      "RequestRedirect",
      "URLRewrite",
      "RequestMirror",
      "CORS",
      "ExternalAuth",
      "ExtensionRef",
    ],
    strictPaths: true,
    matches: "http",
  },
  "policy.linkerd.io": {
    parentKind: "Gateway",
    filterTypes: ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect"],
    strictPaths: false,
    matches: "http",
  },
};

/** Gateway API GRPCRouteFilter: nothing that answers in a way of HTTP. */
const grpcRules: GroupRules = {
  parentKind: "Gateway",
  filterTypes: ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"],
  strictPaths: true,
  matches: "grpc",
};

export function parseHttpRoute(json: unknown, known: readonly Fault[] = []): Result<HttpRoute> {
  const group = readRouteGroup(new Field(json, new FaultList()));
  const parts = readParts(json, known, { group, rules: groupRules[group] });
  return parts.ok ? { ok: true, value: { kind: "HTTPRoute", group, ...parts.value } } : parts;
}

export function parseGrpcRoute(json: unknown, known: readonly Fault[] = []): Result<GrpcRoute> {
  const group = "gateway.networking.k8s.io";
  const parts = readParts(json, known, { group, rules: grpcRules });
  return parts.ok ? { ok: true, value: { kind: "GRPCRoute", group, ...parts.value } } : parts;
}

function readParts(
  json: unknown,
  known: readonly Fault[],
  { group, rules }: { readonly group: HttpRouteGroup; readonly rules: GroupRules },
): Result<RouteParts> {
  // What is wrong inside a rule is the rule's own affair.
  const list = new FaultList(known.filter(({ path }) => !/^spec\.rules\[\d+\]/.test(path)));
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const meta = readMeta(root.at("metadata"), "dns-name");
  const read = readRules(spec.at("rules"), known, { ...rules, namespace: meta.namespace });
  const settled = list.settle<RouteParts>({
    meta,
    parentRefs: readParentRefs(spec.at("parentRefs"), group, meta.namespace),
    hostnames: spec.at("hostnames").items().map(readHostname),
    useDefaultGateways: spec.at("useDefaultGateways").optionalChoice(["All", "None"] as const),
    rules: read,
  });
  if (settled.ok) return settled;
  return fail(...settled.faults, ...faultsOfRules(read));
}

/** What is wrong with the rules that are not in force. */
export function faultsOfRules(rules: readonly HttpRouteRule[]): readonly Fault[] {
  return rules.flatMap((rule) => (rule.state === "broken" ? rule.faults : []));
}

export function readRouteGroup(root: Field): HttpRouteGroup {
  const apiVersion = root.at("apiVersion").text();
  return apiVersion.startsWith("policy.linkerd.io/")
    ? "policy.linkerd.io"
    : "gateway.networking.k8s.io";
}

export function parentDefaults(group: HttpRouteGroup, namespace: string): RefDefaults {
  return { group, kind: groupRules[group].parentKind, namespace };
}

export function readParentRefs(
  field: Field,
  group: HttpRouteGroup,
  namespace: string,
): readonly ParentRef[] {
  const defaults = parentDefaults(group, namespace);
  const refs = field.items().map((item) => readParentRef(item, defaults));
  const byParent = Map.groupBy(refs, (ref) =>
    [ref.group, ref.kind, ref.namespace, ref.name].join("/"),
  );
  for (const entries of byParent.values()) checkEntries(field, entries);
  return refs;
}

/** Gateway API ParentReference: entries for one parent differ in its port or section, and say both alike. */
function checkEntries(field: Field, entries: readonly ParentRef[]): void {
  const [first] = entries;
  if (first === undefined) return;
  const parent = `${first.kind} ${first.namespace}/${first.name}`;
  const isAlike = entries.every(
    ({ port, sectionName }) =>
      (port === undefined) === (first.port === undefined) &&
      (sectionName === undefined) === (first.sectionName === undefined),
  );
  const sections = new Set(entries.map(({ port, sectionName }) => `${port}/${sectionName}`));
  if (!isAlike) {
    field.fault(`must give port and sectionName alike for each entry of ${parent}`);
  } else if (sections.size < entries.length) {
    field.fault(
      `must name each parent once, ${parent} stands twice with the same port and sectionName`,
    );
  }
}

export function readHostname(field: Field): string {
  const hostname = field.text();
  const bare = hostname.startsWith("*.") ? hostname.slice(2) : hostname;
  if (field.isPresent && !isDnsName(bare)) {
    field.fault(`must be a host name, or "*." and a host name, is ${quote(field.json)}`);
  }
  return hostname;
}

type RuleContext = GroupRules & { readonly namespace: string };

function readRules(
  field: Field,
  known: readonly Fault[],
  context: RuleContext,
): readonly HttpRouteRule[] {
  const items = field.items();
  if (!field.isPresent) {
    // An HTTPRoute without rules takes every request (Gateway API HTTPRouteSpec), a GRPCRoute none.
    return context.matches === "grpc"
      ? []
      : [readRule(new Field({}, new FaultList()), [], context)];
  }
  const names = new Set<string>();
  const rules = items.map((item) => {
    const faults = known.filter(({ path }) => isWithin(path, item.path));
    const name = item.apart(new FaultList()).at("name").optionalText() ?? "";
    const twice = names.has(name) && name !== "";
    names.add(name);
    const repeated = {
      path: `${item.path}.name`,
      reason: `must be unique in the route, ${quote(name)} stands twice`,
    };
    return readRule(item, twice ? [...faults, repeated] : faults, context);
  });
  const matches = rules.reduce((sum, rule) => sum + (rule.matches?.length ?? 0), 0);
  if (matches > maxMatchesPerRoute) {
    field.fault(`must have at most ${maxMatchesPerRoute} matches over all rules, has ${matches}`);
  }
  return rules;
}

function readRule(field: Field, known: readonly Fault[], context: RuleContext): HttpRouteRule {
  const list = new FaultList(known);
  const rule = field.apart(list);
  const name = rule.at("name").optionalText() ?? "";
  const matches = readRuleMatches(rule.at("matches"), known, context);
  for (const { path, reason } of matches.ok ? [] : matches.faults) list.add(path, reason);
  const filterRules: FilterRules = {
    types: context.filterTypes,
    namespace: context.namespace,
    absolutePaths: !context.strictPaths,
  };
  const filters = readFilters(rule.at("filters"), filterRules);
  const backendRefs = rule
    .at("backendRefs")
    .items()
    .map((item) => readHttpBackendRef(item, filterRules));
  if (matches.ok) checkTogether(rule, { matches: matches.value, filters, backendRefs });
  const ofHttp = context.matches === "http" ? rule : new Field({}, list);
  const settled = list.settle({
    state: "valid" as const,
    name,
    matches: matches.ok ? matches.value : [everyRequest],
    filters,
    backendRefs,
    timeouts: readTimeouts(ofHttp.at("timeouts")),
    retry: readRetry(ofHttp.at("retry")),
    sessionPersistence: readSessionPersistence(rule.at("sessionPersistence")),
  });
  if (settled.ok) return settled.value;
  const readable = matches.ok && isRecord(rule.json) ? matches.value : undefined;
  const cover =
    context.matches === "grpc"
      ? [everyRequest]
      : coverMatches(rule.at("matches"), { known, strict: context.strictPaths });
  return { state: "broken", name, faults: settled.faults, matches: readable, cover };
}

/** Apart from the rest of the rule: when these are readable, a broken rule refuses its own requests and no others. */
function readRuleMatches(
  field: Field,
  known: readonly Fault[],
  context: RuleContext,
): Result<readonly HttpRouteMatch[]> {
  const list = new FaultList(known.filter(({ path }) => isWithin(path, field.path)));
  const own = field.apart(list);
  const matches =
    context.matches === "grpc" ? readGrpcMatches(own) : readMatches(own, context.strictPaths);
  return list.settle(matches);
}

function readHttpBackendRef(field: Field, rules: FilterRules): HttpBackendRef {
  return {
    ...readBackendRef(field, rules.namespace),
    weight: field.at("weight").optionalInteger(weightRange) ?? 1,
    filters: readFilters(field.at("filters"), rules),
  };
}

function checkTogether(
  rule: Field,
  parts: Pick<ValidHttpRouteRule, "matches" | "filters" | "backendRefs">,
): void {
  const redirects = parts.filters.some(({ type }) => type === "RequestRedirect");
  if (redirects && parts.backendRefs.length > 0) {
    rule.at("backendRefs").fault("must be absent in a rule with a RequestRedirect filter");
  }
  const [only, ...more] = parts.matches;
  if (only?.path.type === "PathPrefix" && more.length === 0) return;
  const reason =
    "must be used in a rule with exactly one match, of path type PathPrefix: ReplacePrefixMatch replaces what that matched";
  if (parts.filters.some(replacesPrefix)) rule.at("filters").fault(reason);
  const backendRefs = rule.at("backendRefs").items();
  for (const [index, { filters }] of parts.backendRefs.entries()) {
    if (filters.some(replacesPrefix)) backendRefs[index]?.at("filters").fault(reason);
  }
}

function replacesPrefix(filter: HttpRouteFilter): boolean {
  const path: HttpPathModifier | undefined =
    filter.type === "RequestRedirect"
      ? filter.requestRedirect.path
      : filter.type === "URLRewrite"
        ? filter.urlRewrite.path
        : undefined;
  return path?.type === "ReplacePrefixMatch";
}

function readTimeouts(field: Field): HttpRouteTimeouts {
  const requestMs = readDurationMs(field.at("request"));
  const backendRequestMs = readDurationMs(field.at("backendRequest"));
  // A request timeout of zero means none, so nothing is longer than it.
  if (requestMs !== undefined && requestMs > 0 && (backendRequestMs ?? 0) > requestMs) {
    field
      .at("backendRequest")
      .fault(
        `must be at most the request timeout ${quote(field.at("request").json)}, is ${quote(field.at("backendRequest").json)}`,
      );
  }
  return { requestMs, backendRequestMs };
}

function readRetry(field: Field): HttpRouteRetry | undefined {
  if (!field.isPresent) return undefined;
  const codes = field
    .at("codes")
    .items()
    .map((item) => item.integer(retryCodeRange));
  return {
    codes: [...new Set(codes)],
    attempts: field.at("attempts").optionalInteger(attemptsRange),
    backoffMs: readDurationMs(field.at("backoff")),
  };
}
