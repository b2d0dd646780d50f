/** `/policy`: what this sidecar enforces now, where it has it from and how old that is. */
import { endpointKey } from "../core/model/endpoint.ts";
import { describeMeta } from "../core/model/meta.ts";
import { describeFaults, type Fault } from "../core/std/result.ts";
import { type Snapshot, snapshotScope } from "../thread/messages.ts";
import { describeInbound, describeOutbound } from "./describe-table.ts";
import type { StreamFact } from "./follow-stream.ts";
import type { SidecarView } from "./sidecar-view.ts";
import type { ProfileFact } from "./watch-profile.ts";

export function policyPage(view: SidecarView): string {
  return `${JSON.stringify(
    {
      identity: identityPart(view),
      workers: view.workers.facts(),
      inbound: inboundPart(view),
      outbound: outboundPart(view),
      endpoints: endpointPart(view),
    },
    undefined,
    2,
  )}\n`;
}

function identityPart({ identity }: SidecarView): object {
  const { certifiedUntilMs, ...facts } = identity.facts();
  const certifiedUntil =
    certifiedUntilMs === undefined ? undefined : new Date(certifiedUntilMs).toISOString();
  return { ...facts, certifiedUntil };
}

function inboundPart(view: SidecarView): readonly object[] {
  return Array.from(view.inbound.facts(), ([port, fact]) => ({
    port,
    ...state(view, fact),
    policy: fact.snapshot === undefined ? undefined : describeInbound(fact.snapshot.table),
  }));
}

function outboundPart(view: SidecarView): readonly object[] {
  return Array.from(view.discovery.facts(), ([target, fact]) => {
    const answer = fact.snapshot?.answer;
    return {
      target,
      ...state(view, fact),
      unknown: answer?.kind === "unknown" ? answer.reason : undefined,
      profile: describeProfile(view, fact.profile),
      policy: answer?.kind === "policy" ? describeOutbound(answer.table) : undefined,
    };
  });
}

/** What it says stands in the policy when it has a say. */
function describeProfile(view: SidecarView, { stream, profile, faults }: ProfileFact): object {
  return {
    stream: describeStream(view, stream),
    name: profile === undefined || profile.name === "" ? undefined : profile.name,
    source: profile?.source === undefined ? undefined : describeMeta(profile.source),
    opaque: profile?.opaque === true ? true : undefined,
    faults: describeAll(faults),
  };
}

function endpointPart(view: SidecarView): readonly object[] {
  return Array.from(view.endpoints.facts(), ([authority, fact]) => ({
    authority,
    ...state(view, fact),
    exists: fact.snapshot?.table.exists,
    endpoints: fact.snapshot?.table.endpoints.map(({ ip, port, tls, inboundPort }) => ({
      address: endpointKey({ ip, port }),
      identity: tls?.identity,
      sidecarPort: inboundPort === 0 ? undefined : inboundPort,
    })),
  }));
}

type Received = {
  readonly stream: StreamFact;
  readonly snapshot: Exclude<Snapshot, { readonly kind: "identity" }> | undefined;
  readonly receivedMs: number;
  readonly faults: readonly Fault[];
};

function state(view: SidecarView, received: Received): object {
  const { workers, surroundings } = view;
  const { stream, snapshot, receivedMs, faults } = received;
  const nowMs = surroundings.nowMs();
  return {
    stream: describeStream(view, stream),
    revision: snapshot?.revision,
    ageSeconds: snapshot === undefined ? undefined : seconds(nowMs - receivedMs),
    appliedOnWorkers:
      snapshot === undefined ? 0 : workers.appliedOn(snapshotScope(snapshot), snapshot.revision),
    faults: describeAll(faults),
  };
}

function describeStream({ surroundings }: SidecarView, stream: StreamFact): object {
  return {
    state: stream.state,
    sinceSeconds: seconds(surroundings.nowMs() - stream.sinceMs),
    reason: stream.reason === "" ? undefined : stream.reason,
  };
}

function describeAll(faults: readonly Fault[]): readonly string[] | undefined {
  return faults.length === 0 ? undefined : faults.map((one) => describeFaults([one]));
}

function seconds(ms: number): number {
  return Math.round(ms) / 1_000;
}
