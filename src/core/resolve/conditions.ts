/**
 * Kubernetes conditions as values: what is said to the people who wrote an object about what became of it. Nothing here
 * changes a policy; policy and status are both made from the same problems.
 */
import type { BrokenResource } from "../resource/broken.ts";
import type { EgressNetwork } from "../resource/egress-network.ts";
import type { RequestRoute } from "../resource/http-route.ts";
import type { ParentRef } from "../resource/reference.ts";
import type { StreamRoute } from "../resource/stream-route.ts";
import { conflictOf } from "./attachment.ts";
import { describeBroken } from "./broken.ts";
import { overlapOf } from "./egress.ts";
import {
  backendContext,
  egressContext,
  type OutboundContext,
  outboundContext,
  resolveInboundRule,
  resolveOutboundRules,
  unusedFields,
} from "./http-route.ts";
import { type Cargo, parentKind, refusalOfParent } from "./parent.ts";
import { joinMessages, type Problem } from "./problem.ts";
import type { ResolveSettings } from "./settings.ts";
import { objectName, type Store } from "./store.ts";
import { resolveStreamBackends, unusedStreamFields } from "./stream-route.ts";

export type Condition = {
  readonly type: "Accepted" | "ResolvedRefs" | "PartiallyInvalid";
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
  /** Generation of the object that was judged; 0 when it cannot be read. */
  readonly observedGeneration: number;
};

export type ParentConditions = {
  readonly parentRef: ParentRef;
  readonly conditions: readonly Condition[];
};

/** Kubernetes refuses a longer message (metav1.Condition). */
const maxMessageLength = 32_768;

export type Verdict = Pick<Condition, "type" | "status" | "reason" | "message">;

export function condition(generation: number, verdict: Verdict): Condition {
  const { type, status, reason, message } = verdict;
  return {
    type,
    status,
    reason,
    message: message.slice(0, maxMessageLength),
    observedGeneration: generation,
  };
}

/** One entry for each parent that is ours to judge, in the order of the route. */
export function routeConditions(
  store: Store,
  settings: ResolveSettings,
  route: RequestRoute | StreamRoute,
): readonly ParentConditions[] {
  const cargo = isStream(route) ? "connections" : "requests";
  return route.parentRefs
    .filter((parentRef) => parentKind(parentRef) !== "gateway")
    .map((parentRef) => {
      const verdicts =
        refusalOf(store, settings, { route, parentRef, cargo }) ??
        (isStream(route)
          ? streamVerdicts(store, settings, { route, parentRef })
          : attachedVerdicts(store, settings, { route, parentRef }));
      return {
        parentRef,
        conditions: verdicts.map((verdict) => condition(route.meta.generation, verdict)),
      };
    });
}

function isStream(route: RequestRoute | StreamRoute): route is StreamRoute {
  return route.kind === "TCPRoute" || route.kind === "TLSRoute";
}

/** Undefined: the route is in force at the parent. */
function refusalOf(
  store: Store,
  settings: ResolveSettings,
  {
    route,
    parentRef,
    cargo,
  }: {
    readonly route: RequestRoute | StreamRoute;
    readonly parentRef: ParentRef;
    readonly cargo: Cargo;
  },
): readonly Verdict[] | undefined {
  const refusal = refusalOfParent(store, parentRef, route.meta.namespace, cargo);
  if (refusal !== undefined) return [notAccepted("NoMatchingParent", refusal)];
  const network = egressOf(store, parentRef);
  const overlap = network && overlapOf(settings, network);
  if (overlap !== undefined) {
    const message = `EgressNetwork ${objectName(parentRef)} is not accepted: ${overlap}`;
    return [notAccepted("NoMatchingParent", message)];
  }
  const conflict = conflictOf(store, route, parentRef);
  // GEP-1294 names the reason; Gateway API has no constant for it.
  return conflict === undefined ? undefined : [notAccepted("Conflicted", conflict)];
}

function egressOf(store: Store, ref: ParentRef): EgressNetwork | undefined {
  return parentKind(ref) === "egress" ? store.egressNetworks.get(objectName(ref)) : undefined;
}

export function brokenRouteConditions(
  route: BrokenResource,
  parentRefs: readonly ParentRef[],
): readonly ParentConditions[] {
  return parentRefs
    .filter((parentRef) => parentKind(parentRef) !== "gateway")
    .map((parentRef) => ({
      parentRef,
      conditions: [condition(0, notAccepted("UnsupportedValue", describeBroken(route)))],
    }));
}

export function notAccepted(reason: string, message: string): Verdict {
  return { type: "Accepted", status: "False", reason, message };
}

type Attached = { readonly route: RequestRoute; readonly parentRef: ParentRef };

type AttachedStream = { readonly route: StreamRoute; readonly parentRef: ParentRef };

function attachedVerdicts(
  store: Store,
  settings: ResolveSettings,
  attached: Attached,
): readonly Verdict[] {
  const direction = parentKind(attached.parentRef) === "server" ? "inbound" : "outbound";
  const problems =
    direction === "inbound"
      ? attached.route.rules.map(
          (rule) => resolveInboundRule(settings, rule, attached.route.kind).problems,
        )
      : outboundProblems(store, settings, attached);
  const unused = unusedFields(attached.route, direction);
  const note = unused.length === 0 ? "" : `without effect here: ${unused.join(", ")}`;
  return [...acceptance(problems, note), resolution(problems.flat())];
}

function outboundProblems(
  store: Store,
  settings: ResolveSettings,
  { route, parentRef }: Attached,
): readonly (readonly Problem[])[] {
  const context = contextOf(store, settings, parentRef);
  if (context === undefined) return [];
  return resolveOutboundRules(context, route).map((rule) => rule.problems);
}

function streamVerdicts(
  store: Store,
  settings: ResolveSettings,
  { route, parentRef }: AttachedStream,
): readonly Verdict[] {
  const context = contextOf(store, settings, parentRef);
  if (context === undefined) return [];
  const { problems } = resolveStreamBackends(backendContext(context, route.meta.namespace), route);
  const unused = unusedStreamFields(route);
  const message = unused.length === 0 ? "" : `without effect here: ${unused.join(", ")}`;
  const accepted = { type: "Accepted", status: "True", reason: "Accepted", message } as const;
  return [accepted, resolution(problems)];
}

/** No problem depends on the port or the address of the parent. */
function contextOf(
  store: Store,
  settings: ResolveSettings,
  ref: ParentRef,
): OutboundContext | undefined {
  const port = ref.port ?? 0;
  const network = egressOf(store, ref);
  if (network !== undefined) return egressContext(store, settings, network, { ip: "", port });
  const service = store.services.get(objectName(ref));
  return service && outboundContext(store, settings, service, port);
}

/** Gateway API PartiallyInvalid: only while some rules work and some do not, and never with status False. */
function acceptance(problems: readonly (readonly Problem[])[], note: string): readonly Verdict[] {
  const bad = problems.map((ofRule, at) => {
    const messages = joinMessages(ofRule.filter(({ kind }) => kind === "unsupported"));
    // Faults of the document name their rule themselves.
    return messages === "" || messages.startsWith("spec.") ? messages : `rules[${at}]: ${messages}`;
  });
  const reasons = bad.filter((text) => text !== "");
  if (reasons.length > 0 && reasons.length === problems.length) {
    const first = problems.flat().find(({ kind }) => kind === "unsupported");
    return [notAccepted(first?.reason ?? "UnsupportedValue", reasons.join("; "))];
  }
  const accepted = { type: "Accepted", status: "True", reason: "Accepted", message: note } as const;
  if (reasons.length === 0) return [accepted];
  // The first words are Gateway API's; the rule is not left out, its requests are refused.
  const message = `Dropped Rule, requests are answered with 500: ${reasons.join("; ")}`;
  return [
    accepted,
    { type: "PartiallyInvalid", status: "True", reason: "UnsupportedValue", message },
  ];
}

function resolution(problems: readonly Problem[]): Verdict {
  const unresolved = problems.filter(({ kind }) => kind === "unresolved");
  const [first] = unresolved;
  const type = "ResolvedRefs";
  return first === undefined
    ? { type, status: "True", reason: "ResolvedRefs", message: "" }
    : { type, status: "False", reason: first.reason, message: joinMessages(unresolved) };
}
