/**
 * Destinations on demand. A worker that gets a request for a destination without a table asks here; from then on the
 * destination's policy and profile are watched, together with the endpoints of their backends, and every worker gets every
 * change, until nobody has used the destination for a while. While the policy service is away nothing is let go: what was known last goes
 * on.
 *
 * A new table may name a backend whose endpoints are not known yet, and the first may come before the profile that has a say in
 * it. It is held back until all is known, so that a switch never meets an empty backend and no request escapes its profile, but
 * not for long: a destination service that is away must not stop requests to what lies outside the mesh.
 *
 * An address that the policy service does not know may be that of a pod. Then its profile alone says how to reach it, and nothing is sent before that is
 * answered.
 */
import { create } from "@bufbuild/protobuf";
import { LRUCache } from "lru-cache";
import { targetOf } from "../core/model/authority.ts";
import { forwardPolicy } from "../core/model/forward-policy.ts";
import { grpcCode } from "../core/model/grpc-status.ts";
import type { OutboundPolicy } from "../core/model/outbound-policy.ts";
import { profileAsPolicy } from "../core/model/profile-policy.ts";
import { parseIp } from "../core/std/ip.ts";
import type { Fault } from "../core/std/result.ts";
import { type OutboundTable, outboundTable } from "../core/table/outbound.ts";
import { staticAuthority } from "../core/table/static-hosts.ts";
import {
  OutboundPolicies,
  type TrafficSpec,
  TrafficSpecSchema,
  type OutboundPolicy as WireOutbound,
} from "../core/wire/gen/linkerd/outbound_pb.ts";
import { toWireTcpAddress } from "../core/wire/net.ts";
import { fromWireOutbound } from "../core/wire/outbound.ts";
import { describeFailure, type GrpcFailure } from "../edge/grpc/status.ts";
import type { Log } from "../edge/telemetry/log.ts";
import type { OutboundSnapshot } from "../thread/messages.ts";
import type { ControlService } from "./control-service.ts";
import { isLoopback } from "./follow-hosts.ts";
import { type FollowedStream, followStream, type StreamFact } from "./follow-stream.ts";
import type { Publisher } from "./publish.ts";
import { every, type Surroundings } from "./surroundings.ts";
import type { EndpointWatches } from "./watch-endpoints.ts";
import { type ProfileFact, type ProfileSource, ProfileWatch } from "./watch-profile.ts";

/** One stream and one table each. An application that talks to more destinations than this keeps the most recent. */
const maxTargets = 10_000;

/** A destination service that is there tells its first endpoints, and the profile, within milliseconds. */
export const endpointWaitMs = 1_000;

/** How exact the idle timeout is. */
const sweepMs = 1_000;

export type DiscoveryOptions = {
  readonly service: ControlService;
  readonly surroundings: Surroundings;
  readonly publisher: Publisher;
  readonly log: Log;
  readonly endpoints: EndpointWatches;
  readonly profiles: ProfileSource;
  /** Who asks, as the policy service reads it. */
  readonly workload: string;
  readonly idleMs: number;
  readonly maxTargets?: number;
};

export type TargetFact = {
  readonly stream: StreamFact;
  /** Undefined: nothing is known yet. */
  readonly snapshot: OutboundSnapshot | undefined;
  readonly receivedMs: number;
  readonly faults: readonly Fault[];
  readonly profile: ProfileFact;
};

type Target = {
  readonly target: string;
  stream: FollowedStream;
  profile: ProfileWatch;
  /** As it was received last. */
  policy: OutboundPolicy | undefined;
  /** The policy service does not know this address, so that its profile counts alone. */
  isForwarded: boolean;
  /** What the profile made of it, for the table that is staged or in force. */
  applied: OutboundPolicy | undefined;
  snapshot: OutboundSnapshot | undefined;
  receivedMs: number;
  faults: readonly Fault[];
  /** Backends of the table in force, each acquired once. */
  authorities: readonly string[];
  staged: Staged | undefined;
};

/** A table that waits for the endpoints of its backends. */
type Staged = {
  readonly table: OutboundTable;
  readonly authorities: readonly string[];
  /** Since when some table waits. Tables that follow each other quickly must not put each other off for ever. */
  readonly sinceMs: number;
  readonly callOff: () => void;
};

export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly #targets: LRUCache<string, Target>;
  readonly #callOffSweep: () => void;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    this.#targets = new LRUCache({
      max: options.maxTargets ?? maxTargets,
      ttl: options.idleMs,
      ttlResolution: 0,
      updateAgeOnGet: true,
      // Age alone removes nothing: `sweep` looks at the stream as well.
      allowStale: true,
      noDeleteOnStaleGet: true,
      perf: { now: options.surroundings.nowMs },
      dispose: (target) => this.#forget(target),
    });
    this.#callOffSweep = every(options.surroundings.timers, sweepMs, () => this.sweep());
  }

  /** A worker has no table for the target. What is known already is told again. */
  discover(target: string): void {
    const known = this.#targets.get(target);
    if (known === undefined) this.#targets.set(target, this.#watch(target));
    else if (known.snapshot !== undefined) this.#options.publisher.publish(known.snapshot);
  }

  used(targets: readonly string[]): void {
    for (const target of targets) this.#targets.get(target);
  }

  /** Lets go of destinations that nobody used for the idle time. */
  sweep(): void {
    for (const [name, target] of [...this.#targets.entries()]) {
      if (this.#targets.getRemainingTTL(name) <= 0 && !isLastKnown(target)) {
        this.#targets.delete(name);
      }
    }
  }

  /** The endpoints of a backend are known now. */
  endpointsKnown(authority: string): void {
    for (const target of this.#targets.values()) {
      if (target.staged?.authorities.includes(authority)) this.#commitWhenComplete(target);
    }
  }

  facts(): ReadonlyMap<string, TargetFact> {
    return new Map(
      Array.from(this.#targets.entries(), ([name, target]) => [
        name,
        { ...target, stream: target.stream.fact(), profile: target.profile.fact },
      ]),
    );
  }

  close(): void {
    this.#callOffSweep();
    this.#targets.clear();
  }

  #watch(name: string): Target {
    const { service, surroundings, workload, profiles, log } = this.#options;
    const target: Target = {
      target: name,
      policy: undefined,
      isForwarded: false,
      applied: undefined,
      snapshot: undefined,
      receivedMs: 0,
      faults: [],
      authorities: [],
      staged: undefined,
      stream: followStream({
        service,
        surroundings,
        method: OutboundPolicies.method.watch,
        request: trafficSpec(name, workload),
        onMessage: (message) => this.#received(target, message),
        onRefused: (failure) => this.#refused(target, failure),
      }),
      profile: new ProfileWatch({
        ...profiles,
        surroundings,
        log,
        target: name,
        onAnswer: () => this.#apply(target),
      }),
    };
    return target;
  }

  #received(target: Target, message: WireOutbound): void {
    const { log, surroundings } = this.#options;
    const { value, faults } = fromWireOutbound(message);
    target.receivedMs = surroundings.nowMs();
    target.faults = faults;
    if (faults.length > 0) log.warn("outbound_policy_faulty", { target: target.target, faults });
    target.policy = value;
    target.isForwarded = false;
    this.#apply(target);
  }

  /** Policy or profile are new. */
  #apply(target: Target): void {
    const { profile } = target.profile.fact;
    if (target.isForwarded && target.profile.isAnswered) {
      target.policy = forwardPolicy(addressOf(target.target), profile);
    }
    if (target.policy === undefined) return;
    const policy = profileAsPolicy(target.policy, profile, portOf(target.target));
    // A profile that has no say leaves the policy as it is.
    if (policy === target.applied) this.#commitWhenComplete(target);
    else this.#stage(target, policy);
  }

  #stage(target: Target, policy: OutboundPolicy): void {
    const { endpoints, surroundings } = this.#options;
    target.applied = policy;
    const table = outboundTable(policy);
    const authorities = backendAuthorities(table);
    for (const authority of authorities) endpoints.acquire(authority);
    const nowMs = surroundings.nowMs();
    const sinceMs = target.staged?.sinceMs ?? nowMs;
    const waitMs = Math.max(sinceMs + endpointWaitMs - nowMs, 0);
    this.#unstage(target);
    target.staged = {
      table,
      authorities,
      sinceMs,
      callOff: surroundings.timers.after(waitMs, () => this.#commit(target)),
    };
    this.#commitWhenComplete(target);
  }

  #refused(target: Target, failure: GrpcFailure): void {
    const { publisher, endpoints, log, surroundings } = this.#options;
    const reason = describeFailure(failure);
    if (isForwarded(target.target, failure)) {
      // Asked again and again, the answer is news only once.
      if (target.isForwarded) return;
      target.isForwarded = true;
      target.policy = undefined;
      this.#apply(target);
      return;
    }
    target.isForwarded = false;
    target.policy = undefined;
    target.applied = undefined;
    const before = target.snapshot?.answer;
    // Asked again and again, the answer is news only once.
    if (before?.kind === "unknown" && before.reason === reason) return;
    log.info("destination_unknown", { target: target.target, reason });
    this.#unstage(target);
    target.receivedMs = surroundings.nowMs();
    target.faults = [];
    target.snapshot = {
      kind: "outbound",
      target: target.target,
      revision: publisher.nextRevision(),
      answer: { kind: "unknown", reason },
    };
    publisher.publish(target.snapshot);
    for (const authority of target.authorities) endpoints.release(authority);
    target.authorities = [];
  }

  #commitWhenComplete(target: Target): void {
    const { endpoints } = this.#options;
    if (!target.profile.isAnswered) return;
    if (target.staged?.authorities.every((authority) => endpoints.isKnown(authority))) {
      this.#commit(target);
    }
  }

  #commit(target: Target): void {
    const { publisher, endpoints } = this.#options;
    const { staged, authorities: before } = target;
    if (staged === undefined) return;
    staged.callOff();
    target.staged = undefined;
    target.authorities = staged.authorities;
    target.snapshot = {
      kind: "outbound",
      target: target.target,
      revision: publisher.nextRevision(),
      answer: { kind: "policy", table: staged.table },
    };
    publisher.publish(target.snapshot);
    // Only now does no table name the backends that went away.
    for (const authority of before) endpoints.release(authority);
  }

  #unstage(target: Target): void {
    const { staged } = target;
    if (staged === undefined) return;
    staged.callOff();
    target.staged = undefined;
    for (const authority of staged.authorities) this.#options.endpoints.release(authority);
  }

  #forget(target: Target): void {
    const { publisher, endpoints } = this.#options;
    target.stream.close();
    target.profile.close();
    this.#unstage(target);
    if (target.snapshot !== undefined) publisher.dropOutbound(target.target);
    for (const authority of target.authorities) endpoints.release(authority);
    target.authorities = [];
  }
}

/** A policy, or the profile that has a say in it, that could not be asked for again if it were let go. */
function isLastKnown({ stream, snapshot, profile, policy, applied }: Target): boolean {
  if (snapshot?.answer.kind !== "policy") return false;
  const isProfileLost = profile.fact.stream.state === "disconnected" && policy !== applied;
  return stream.fact().state === "disconnected" || isProfileLost;
}

/** Whether its bytes go where they were going. An address of loopback is another on every machine, and nobody's endpoint. */
function isForwarded(name: string, { code }: GrpcFailure): boolean {
  const target = targetOf(name);
  const isUnknown = code === grpcCode.notFound || code === grpcCode.unimplemented;
  return isUnknown && target.kind === "address" && !isLoopback(target.ip);
}

function addressOf(name: string): { readonly ip: string; readonly port: number } {
  const target = targetOf(name);
  if (target.kind !== "address") throw new Error(`"${name}" is no address`);
  return target;
}

/** A target ends in its port. */
function portOf(target: string): number {
  return Number(target.slice(target.lastIndexOf(":") + 1));
}

function backendAuthorities(table: OutboundTable): readonly string[] {
  const names = table.backends.flatMap(({ dispatch }) => {
    if (dispatch.kind === "static") return [staticAuthority(dispatch.hosts)];
    return dispatch.kind === "balancer" ? [dispatch.authority] : [];
  });
  return [...new Set(names)];
}

/** The protocol tells addresses and names apart. Linkerd's proxy names a Service by its address, its gateway by name. */
function trafficSpec(target: string, workload: string): TrafficSpec {
  const colon = target.lastIndexOf(":");
  const ip = parseIp(target.slice(0, colon).replace(/^\[(.*)\]$/, "$1"));
  return create(TrafficSpecSchema, {
    sourceWorkload: workload,
    target:
      ip === undefined
        ? { case: "authority", value: target }
        : { case: "addr", value: toWireTcpAddress(ip, portOf(target)) },
  });
}
