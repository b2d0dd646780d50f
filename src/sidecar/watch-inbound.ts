/**
 * What this workload admits: one `WatchPort` stream for each of its ports, from the start of the process to its end. Until
 * the first answer there is no table, and workers let requests wait. A refusal ("no such port") closes the port for
 * everybody: nothing is admitted because somebody was not told.
 *
 * With redirect rules clients come for any port. One that nobody declared is watched from the first connection on.
 */
import { create } from "@bufbuild/protobuf";
import { LRUCache } from "lru-cache";
import type { InboundPolicy } from "../core/model/inbound-policy.ts";
import type { Fault } from "../core/std/result.ts";
import { type InboundTable, inboundTable } from "../core/table/inbound.ts";
import { InboundServerPolicies, PortSpecSchema } from "../core/wire/gen/linkerd/inbound_pb.ts";
import { fromWireInbound } from "../core/wire/inbound.ts";
import { describeFailure } from "../edge/grpc/status.ts";
import type { Log } from "../edge/telemetry/log.ts";
import type { InboundSnapshot } from "../thread/messages.ts";
import type { ControlService } from "./control-service.ts";
import { followStream, type StreamFact } from "./follow-stream.ts";
import type { Publisher } from "./publish.ts";
import type { Surroundings } from "./surroundings.ts";

export type InboundWatchesOptions = {
  readonly service: ControlService;
  readonly surroundings: Surroundings;
  readonly publisher: Publisher;
  readonly log: Log;
  /** Whose ports these are, as the policy service reads it. */
  readonly workload: string;
  /** The table of a port that is in force from now on; undefined: it is not watched any more. */
  readonly onTable?: (port: number, table: InboundTable | undefined) => void;
  readonly maxUndeclared?: number;
};

/**
 * Ports that clients came for and nobody declared. A client can name all 65,535; whoever is asked for when there are more than these takes the place of the one
 * that was asked for first, which is asked for again when it is used.
 */
const maxUndeclaredPorts = 256;

type InboundFact = {
  readonly stream: StreamFact;
  /** Undefined: nothing is known yet. */
  readonly snapshot: InboundSnapshot | undefined;
  readonly receivedMs: number;
  readonly faults: readonly Fault[];
  /** Nobody is served before its policy is known. */
  readonly isDeclared: boolean;
};

export type InboundWatches = {
  readonly facts: () => ReadonlyMap<number, InboundFact>;
  /** A worker has a connection for the port. */
  readonly want: (port: number) => void;
  readonly close: () => void;
};

/** In force on a port that the policy service does not know. */
const nobody: InboundPolicy = {
  protocol: "http1",
  detectTimeoutMs: 10_000,
  server: { group: "", kind: "default", name: "deny" },
  authorizations: [],
  routes: [],
};

export function watchInbound(
  options: InboundWatchesOptions,
  ports: Iterable<number>,
): InboundWatches {
  const declared = new Map(Array.from(ports, (port) => [port, watchPort(options, port)]));
  const undeclared = new LRUCache<number, PortWatch>({
    max: options.maxUndeclared ?? maxUndeclaredPorts,
    dispose(watch, port, reason) {
      watch.close();
      if (reason !== "evict") return;
      options.onTable?.(port, undefined);
      options.publisher.dropInbound(port);
    },
  });
  const factsOf = (
    watches: Iterable<[number, PortWatch]>,
    isDeclared: boolean,
  ): readonly [number, InboundFact][] =>
    Array.from(watches, ([port, watch]) => [port, { ...watch.fact(), isDeclared }]);
  return {
    facts: () => new Map([...factsOf(declared, true), ...factsOf(undeclared.entries(), false)]),
    want(port) {
      const known = declared.get(port) ?? undeclared.get(port);
      if (known === undefined) undeclared.set(port, watchPort(options, port));
    },
    close() {
      for (const watch of declared.values()) watch.close();
      undeclared.clear();
    },
  };
}

type PortFact = Omit<InboundFact, "isDeclared">;

type PortWatch = { readonly fact: () => PortFact; readonly close: () => void };

function watchPort(options: InboundWatchesOptions, port: number): PortWatch {
  const { service, surroundings, publisher, log, workload } = options;
  let known: Omit<PortFact, "stream"> = { snapshot: undefined, receivedMs: 0, faults: [] };
  let refusal = "";
  const enforce = (policy: InboundPolicy, faults: readonly Fault[]): void => {
    const snapshot: InboundSnapshot = {
      kind: "inbound",
      port,
      revision: publisher.nextRevision(),
      table: inboundTable(policy),
    };
    known = { snapshot, receivedMs: surroundings.nowMs(), faults };
    options.onTable?.(port, snapshot.table);
    publisher.publish(snapshot);
  };
  const stream = followStream({
    service,
    surroundings,
    method: InboundServerPolicies.method.watchPort,
    request: create(PortSpecSchema, { workload, port }),
    onMessage(message) {
      refusal = "";
      const { value, faults } = fromWireInbound(message);
      if (faults.length > 0) log.warn("inbound_policy_faulty", { port, faults });
      enforce(value, faults);
    },
    onRefused(failure) {
      const reason = describeFailure(failure);
      // Asked again and again, the answer is news only once.
      if (reason === refusal) return;
      refusal = reason;
      log.warn("inbound_policy_refused", { port, reason });
      enforce(nobody, []);
    },
  });
  return { fact: () => ({ ...known, stream: stream.fact() }), close: () => stream.close() };
}
