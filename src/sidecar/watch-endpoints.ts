/**
 * The endpoints of every backend that some policy names: one `Destination.Get` stream for each authority, shared between
 * policies and counted, from the first policy that names it to the last. Backends outside the mesh are known by their hosts
 * instead, which the control plane has no part in.
 */
import { create } from "@bufbuild/protobuf";
import type { EndpointSet } from "../core/model/endpoint.ts";
import type { Fault } from "../core/std/result.ts";
import { endpointTable } from "../core/table/endpoints.ts";
import { staticHostsOf } from "../core/table/static-hosts.ts";
import { applyUpdate } from "../core/wire/endpoint.ts";
import { Destination, GetDestinationSchema } from "../core/wire/gen/linkerd/destination_pb.ts";
import { describeFailure } from "../edge/grpc/status.ts";
import type { Log } from "../edge/telemetry/log.ts";
import type { EndpointSnapshot } from "../thread/messages.ts";
import type { ControlService } from "./control-service.ts";
import { followHosts, type NamesOptions } from "./follow-hosts.ts";
import { type FollowedStream, followStream, type StreamFact } from "./follow-stream.ts";
import type { Publisher } from "./publish.ts";
import type { Surroundings } from "./surroundings.ts";

export type EndpointWatchesOptions = {
  readonly service: ControlService;
  readonly surroundings: Surroundings;
  readonly publisher: Publisher;
  readonly log: Log;
  /** Sent with every question; names the client to the service. */
  readonly context: string;
  /** The endpoints of an authority are known for the first time since it is watched. */
  readonly onKnown: (authority: string) => void;
  readonly names: NamesOptions;
};

export type EndpointFact = {
  readonly stream: StreamFact;
  /** Undefined: nothing is known yet. */
  readonly snapshot: EndpointSnapshot | undefined;
  readonly receivedMs: number;
  readonly faults: readonly Fault[];
  readonly users: number;
};

const nowhere: EndpointSet = { exists: false, endpoints: [] };

type Watched = {
  stream: FollowedStream;
  users: number;
  set: EndpointSet;
  snapshot: EndpointSnapshot | undefined;
  receivedMs: number;
  faults: readonly Fault[];
};

export class EndpointWatches {
  readonly #options: EndpointWatchesOptions;
  readonly #watched = new Map<string, Watched>();

  constructor(options: EndpointWatchesOptions) {
    this.#options = options;
  }

  /** Each `acquire` wants its `release`. */
  acquire(authority: string): void {
    const known = this.#watched.get(authority);
    if (known === undefined) this.#watched.set(authority, this.#watch(authority));
    else known.users++;
  }

  release(authority: string): void {
    const watched = this.#watched.get(authority);
    if (watched === undefined) throw new Error(`Released "${authority}" without acquiring it`);
    watched.users--;
    if (watched.users > 0) return;
    this.#watched.delete(authority);
    watched.stream.close();
    if (watched.snapshot !== undefined) this.#options.publisher.dropEndpoints(authority);
  }

  isKnown(authority: string): boolean {
    return this.#watched.get(authority)?.snapshot !== undefined;
  }

  facts(): ReadonlyMap<string, EndpointFact> {
    return new Map(
      Array.from(this.#watched, ([authority, watched]) => [
        authority,
        { ...watched, stream: watched.stream.fact() },
      ]),
    );
  }

  #watch(authority: string): Watched {
    const watched: Watched = {
      users: 1,
      set: nowhere,
      snapshot: undefined,
      receivedMs: 0,
      faults: [],
      stream: this.#follow(authority, () => watched),
    };
    return watched;
  }

  /** `watched` is there when something is told, which is later. */
  #follow(authority: string, watched: () => Watched): FollowedStream {
    const { service, surroundings, context, log, names } = this.#options;
    const hosts = staticHostsOf(authority);
    if (hosts !== undefined) {
      const onChange = (set: EndpointSet, faults: readonly Fault[]): void =>
        this.#changed(authority, watched(), set, faults);
      return followHosts({ ...names, hosts, surroundings, onChange });
    }
    return followStream({
      service,
      surroundings,
      method: Destination.method.get,
      request: create(GetDestinationSchema, { path: authority, contextToken: context }),
      onMessage: (update, first) => {
        // A new stream tells all endpoints; those that were known before it may be gone.
        const { value, faults } = applyUpdate(first ? nowhere : watched().set, update);
        this.#changed(authority, watched(), value, faults);
      },
      onRefused: (failure) => {
        log.warn("endpoints_refused", { authority, reason: describeFailure(failure) });
        this.#changed(authority, watched(), nowhere, []);
      },
    });
  }

  #changed(authority: string, watched: Watched, set: EndpointSet, faults: readonly Fault[]): void {
    const { publisher, surroundings, onKnown, log } = this.#options;
    const isNew = watched.snapshot === undefined;
    if (faults.length > 0) log.warn("endpoints_faulty", { authority, faults });
    watched.faults = faults;
    watched.set = set;
    watched.receivedMs = surroundings.nowMs();
    watched.snapshot = {
      kind: "endpoints",
      authority,
      revision: publisher.nextRevision(),
      table: endpointTable(set),
    };
    publisher.publish(watched.snapshot);
    if (isNew) onKnown(authority);
  }
}
