/** A connection of the application whose bytes this proxy does not read: to an endpoint of a backend, chosen once, by mutual TLS if it has an identity. */
import { writeTransportHeader } from "../codec/transport-header.ts";
import { noBackend, pickBackend } from "../core/decide/pick-backend.ts";
import { type Endpoint, endpointKey } from "../core/model/endpoint.ts";
import { type Dialing, dial } from "../edge/net/dial.ts";
import type { Wire } from "../edge/net/wire.ts";
import type { Target, TargetGroup } from "./exchange.ts";
import { dialTargetOf, identityPollMs } from "./forward.ts";
import type { LoadedOpaqueBackend, LoadedOpaqueRoute } from "./loaded.ts";
import type { Unsent } from "./opaque-inbound.ts";
import { Relay } from "./relay.ts";
import type { Connection, Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** Endpoints that are dialed while none can be connected to: enough to get past a dying node, few enough to fail soon. */
const maxDials = 3;

/** An endpoint that a connection was opened to. It counts as load of the endpoint until `release`. */
export class Reached {
  readonly wire: Wire;
  readonly backend: LoadedOpaqueBackend;
  readonly #shard: Shard;
  readonly #release: () => void;

  constructor(shard: Shard, wire: Wire, backend: LoadedOpaqueBackend, release: () => void) {
    this.#shard = shard;
    this.wire = wire;
    this.backend = backend;
    this.#release = release;
  }

  release(): void {
    this.#release();
  }

  /** Nobody wants it any more. */
  giveUp(): void {
    const { headBuffer } = this.#shard;
    this.wire.owner = {
      readBuffer: () => headBuffer,
      onBytes: () => false,
      onWritten: () => {},
      onEnd: () => {},
      onClose: () => {},
    };
    this.wire.destroy();
    this.#release();
  }
}

export type OpaqueDialSteps = {
  readonly onOpen: (reached: Reached) => void;
  readonly onFailure: (label: string, reason: string) => void;
};

/** After `begin` one of the two functions is called, unless it is cancelled. */
export class OpaqueDial {
  readonly #shard: Shard;
  readonly #route: LoadedOpaqueRoute;
  readonly #steps: OpaqueDialSteps;
  readonly #tried: Target[] = [];
  readonly #timer: Timer = new Timer(() => this.#failed("it did not answer in time"));
  /** For the certificate of this workload. */
  readonly #pause: Timer = new Timer(() => this.#afterPause());
  #afterPause: () => void = () => {};
  #startedMs = 0;
  #dialing: Dialing | undefined;
  #current: { readonly group: TargetGroup; readonly target: Target } | undefined;
  /** Tries the next endpoint. */
  #onward: (reason: string) => void = () => {};

  constructor(shard: Shard, route: LoadedOpaqueRoute, steps: OpaqueDialSteps) {
    this.#shard = shard;
    this.#route = route;
    this.#steps = steps;
  }

  begin(): void {
    this.#startedMs = this.#shard.nowMs();
    const { refusal } = this.#route.entry;
    const { onFailure } = this.#steps;
    const backend = this.#chooseBackend();
    if (refusal !== "") onFailure(`route ${refusal}`, "");
    else if (backend === undefined) onFailure("no backend", "");
    else if (backend.refusal !== "") onFailure("backend refused", backend.refusal);
    // A function takes requests alone.
    else if (backend.group?.members[0]?.open !== undefined) onFailure("no backend", "");
    else if (backend.group === undefined) onFailure("no backend", "");
    else this.#dial(backend, backend.group, "");
  }

  cancel(): void {
    this.#shard.wheel.forget(this.#timer);
    this.#shard.wheel.forget(this.#pause);
    this.#dialing?.cancel();
    if (this.#current !== undefined) this.#current.group.end(this.#current.target);
    this.#current = undefined;
  }

  /** By weight; or the first that has an endpoint. */
  #chooseBackend(): LoadedOpaqueBackend | undefined {
    const { entry, backends } = this.#route;
    if (entry.distribution === "first-available") {
      return backends.find(({ group }) => (group?.members.length ?? 0) > 0) ?? backends[0];
    }
    const picked = pickBackend(entry, this.#shard.random());
    return picked === noBackend ? undefined : backends[picked];
  }

  #dial(backend: LoadedOpaqueBackend, group: TargetGroup, before: string): void {
    const shard = this.#shard;
    const target = group.pick(shard.nowMs(), shard.random, this.#tried);
    if (target === undefined) {
      const label = before === "" ? "no endpoints" : "endpoint unreachable";
      this.#steps.onFailure(label, before);
      return;
    }
    const dialed = dialTargetOf(shard, target.endpoint);
    if (dialed === undefined) {
      this.#awaitIdentity(() => this.#dial(backend, group, before));
      return;
    }
    const startedMs = shard.nowMs();
    const attempt = { group, target };
    group.begin(target);
    this.#current = attempt;
    shard.wheel.arm(this.#timer, shard.limits.connectTimeoutMs);
    this.#onward = (reason) => this.#dial(backend, group, reason);
    this.#dialing = dial({
      target: dialed,
      pool: shard.pool,
      sockets: shard.sockets,
      firstBuffer: shard.headBuffer,
      onOpen: (wire) => {
        shard.wheel.forget(this.#timer);
        this.#current = undefined;
        target.reached();
        group.observe(target, shard.nowMs() - startedMs, shard.nowMs());
        sendPreface(shard, wire, target.endpoint);
        this.#steps.onOpen(new Reached(shard, wire, backend, () => group.end(target)));
      },
      onFailure: ({ reason }) => this.#failed(reason),
    });
  }

  /** As a request does (`forward.ts`). */
  #awaitIdentity(goOn: () => void): void {
    const { wheel, limits, nowMs } = this.#shard;
    if (nowMs() - this.#startedMs >= limits.discoveryTimeoutMs) {
      this.#steps.onFailure("no identity", "the certificate has not come in time");
      return;
    }
    this.#afterPause = goOn;
    wheel.arm(this.#pause, identityPollMs);
  }

  #failed(why: string): void {
    const shard = this.#shard;
    const { target } = this.#current ?? {};
    if (target === undefined) return;
    this.cancel();
    target.failed(shard.nowMs(), shard.random());
    this.#tried.push(target);
    const reason = `${endpointKey(target.endpoint)}: ${why}`;
    if (this.#tried.length < maxDials) this.#onward(reason);
    else this.#steps.onFailure("endpoint unreachable", reason);
  }
}

/** A peer that reads transport headers is told the port, and by leaving out the protocol that these bytes are not to be read. */
function sendPreface(shard: Shard, wire: Wire, { port, tls, inboundPort }: Endpoint): void {
  if (tls === undefined || inboundPort === 0) return;
  const header = writeTransportHeader({ port, name: "", protocol: "none" });
  shard.sendCopy(wire, header, 0, header.length);
}

/** The joined connection. It stays with its endpoint, whatever policies come, as in Linkerd. */
export class OutboundOpaque implements Connection {
  /** Its requests cannot be told apart, so as long as it is open it may be in the middle of one. */
  readonly isBusy = true;
  readonly carries = "opaque";
  readonly #relay: Relay;

  constructor(shard: Shard, client: Wire, server: Reached, unsent: Unsent) {
    const { counts } = shard;
    const downstream = shard.downstreamCounts("outbound", "disabled");
    const upstream = shard.upstreamCounts("outbound", server.wire.encrypted);
    const { labels } = server.backend;
    downstream.opened();
    upstream.opened();
    counts.add(counts.place("outbound_tcp_route_open_total", labels));
    shard.connections.add(this);
    this.#relay = new Relay({
      shard,
      client,
      server: server.wire,
      idleMs: shard.limits.tunnelIdleTimeoutMs,
      onOver: () => {
        downstream.closed();
        upstream.closed();
        counts.add(counts.place("outbound_tcp_route_close_total", labels));
        server.release();
        shard.connections.delete(this);
        shard.onConnectionGone();
      },
      onLateHttp: () =>
        shard.refuseOutbound("late http", { backend: labels["backend_name"] ?? "" }),
    });
    if (unsent.isWord) this.#relay.feedWord(unsent.fromClient);
    else this.#relay.feed("client", unsent.fromClient);
    this.#relay.feed("server", unsent.fromServer);
    if (unsent.clientEnded) this.#relay.endClient();
  }

  drain(): void {}

  leave(): boolean {
    return this.#relay.leave();
  }

  cut(): void {
    this.#relay.cut();
  }
}
