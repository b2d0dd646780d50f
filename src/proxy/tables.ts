/**
 * The tables that are in force in this worker. A message replaces a table as a whole; requests ask for it anew each time,
 * so a change counts from the next request on, also on connections that are open.
 */
import { LRUCache } from "lru-cache";
import { compilePattern, type Pattern } from "../core/decide/pattern.ts";
import { normaliseAuthority, targetOf } from "../core/model/authority.ts";
import { defaultLoad } from "../core/model/backend.ts";
import type { Endpoint } from "../core/model/endpoint.ts";
import type { Result } from "../core/std/result.ts";
import { Secret } from "../core/std/secret.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { BackendEntry, LambdaEntry } from "../core/table/outbound.ts";
import { staticAuthority } from "../core/table/static-hosts.ts";
import { FunctionCaller } from "../edge/aws/invoke.ts";
import {
  type InboundSnapshot,
  type OutboundSnapshot,
  type Snapshot,
  snapshotScope,
  type ToMain,
  type ToWorker,
  type WorkerSettings,
} from "../thread/messages.ts";
import type { Counts } from "./count.ts";
import { ReplacedEditions } from "./decisions.ts";
import { EndpointGroup } from "./endpoints.ts";
import type { Exchange, TargetGroup } from "./exchange.ts";
import { openFunction } from "./function-wire.ts";
import type { Balancer } from "./load-resilience.ts";
import {
  type LoadContext,
  type LoadedInbound,
  type LoadedOutbound,
  loadInbound,
  loadOutbound,
} from "./loaded.ts";

/** Spellings of destinations in Host; an application uses a handful. */
const maxSpellings = 4_096;

/** Compiled patterns kept from one table to the next; a mesh has some dozens. */
const maxPatterns = 1_024;

/** Ports of the application that redirected connections were for, once for each address of the pod. A pod has a handful. */
const maxRedirected = 1_024;

/** What is known about one destination. */
export class Destination {
  readonly target: string;
  readonly port: number;
  answer:
    | { readonly kind: "waiting" }
    | { readonly kind: "policy"; readonly policy: LoadedOutbound }
    | { readonly kind: "unknown"; readonly reason: string } = waiting;
  /** False: dropped; who kept it must ask for it again. */
  isLive = true;
  /** Whether `used` has been noted since the last report. */
  isNoted = false;
  readonly parked: Set<Exchange> = new Set();
  /** Called when the answer is another one, or the destination is dropped. */
  readonly followers: Set<() => void> = new Set();

  constructor(target: string) {
    this.target = target;
    // A normalised authority ends in its port.
    this.port = Number(target.slice(target.lastIndexOf(":") + 1));
  }
}

const waiting = { kind: "waiting" } as const;

/** What is about tables. */
type TableMessage = Exclude<
  ToWorker,
  { readonly kind: "identity" | "keys" | "drain" | "ask-decision" | "spans-taken" }
>;

export type TablesOptions = {
  readonly settings: Pick<WorkerSettings, "namespace" | "clusterDomain" | "forwards" | "workers">;
  readonly counts: Counts;
  readonly nowMs: () => number;
  readonly post: (message: ToMain) => void;
};

export class Tables {
  readonly #options: TablesOptions;
  readonly #context: LoadContext;
  readonly #destinations = new Map<string, Destination>();
  readonly #bySpelling = new LRUCache<string, Destination>({ max: maxSpellings });
  readonly #groups = new Map<string, TargetGroup>();
  readonly #inbound = new Map<number, LoadedInbound>();
  readonly #applications: ReadonlyMap<number, TargetGroup>;
  readonly #parkedInbound = new Map<number, Set<Exchange>>();
  readonly #followers = new Map<number, Set<() => void>>();
  /** Ports whose policy was asked for. */
  readonly #wanted = new Set<number>();
  readonly #redirected = new LRUCache<string, TargetGroup>({
    max: maxRedirected,
    dispose: (group) => group.update(noEndpoints, this.#options.nowMs()),
  });
  readonly #functions: FunctionCaller = new FunctionCaller(() => Date.now());
  readonly #patterns = new LRUCache<string, Result<Pattern>>({ max: maxPatterns });
  readonly #replaced = new ReplacedEditions();
  #noted: Destination[] = [];
  #parkedCount = 0;

  constructor(options: TablesOptions) {
    this.#options = options;
    this.#context = {
      counts: options.counts,
      compile: (source) => this.#compile(source),
      groupOf: (backend) => this.#groupOf(backend),
      workers: options.settings.workers,
    };
    this.#applications = new Map(
      options.settings.forwards.map(({ port, host, hostPort }) => [
        port,
        this.#groupOfOne({ ...plainEndpoint, ip: host, port: hostPort }),
      ]),
    );
  }

  /** How many exchanges wait for a table. */
  get parkedCount(): number {
    return this.#parkedCount;
  }

  /**
   * What is known about the destination that a request names, which is asked for when nothing is. Undefined: the text is no
   * destination.
   */
  destination(authority: string): Destination | undefined {
    const known = this.#bySpelling.get(authority);
    return known?.isLive === true ? known : this.#lookUp(authority);
  }

  /** The destination will be among those that `takeUsed` answers next. */
  noteUse(destination: Destination): void {
    if (destination.isNoted) return;
    destination.isNoted = true;
    this.#noted.push(destination);
  }

  inbound(port: number): LoadedInbound | undefined {
    return this.#inbound.get(port);
  }

  /** Asks for the policy of a port, unless it is there or was asked for. */
  wantInbound(port: number): void {
    if (this.#inbound.has(port) || this.#wanted.has(port)) return;
    this.#wanted.add(port);
    this.#options.post({ kind: "port-wanted", port });
  }

  /** Calls back whenever the policy of the port is replaced; the answer ends that. */
  followInbound(port: number, onReplaced: () => void): () => void {
    const followers = this.#followers.get(port) ?? new Set();
    this.#followers.set(port, followers.add(onReplaced));
    return () => followers.delete(onReplaced);
  }

  /**
   * Where the application behind a port listens: as the settings say, or where the connection was going, if it was redirected (as in Linkerd: the address of the
   * pod, not loopback). Undefined: this workload has no such port.
   */
  application(port: number, destination?: string): TargetGroup | undefined {
    const known = this.#applications.get(port);
    if (known !== undefined || destination === undefined) return known;
    const redirected = this.#redirected.get(destination) ?? this.#groupAt(destination);
    if (redirected !== undefined) this.#redirected.set(destination, redirected);
    return redirected;
  }

  /** Runs `answer` of the exchange again when something is known about the destination. */
  parkOutbound(exchange: Exchange, destination: Destination): void {
    this.#park(exchange, destination.parked);
  }

  /** The same for the policy of a port. */
  parkInbound(exchange: Exchange, port: number): void {
    if (exchange.origin.destination !== undefined) this.wantInbound(port);
    const parked = this.#parkedInbound.get(port) ?? new Set();
    this.#parkedInbound.set(port, parked);
    this.#park(exchange, parked);
  }

  /** Takes a message that is about tables. */
  take(message: TableMessage): void {
    switch (message.kind) {
      case "outbound": {
        const destination = this.#known(message.target);
        destination.answer = this.#load(message, destination);
        this.applied(message);
        this.#resume(destination.parked);
        callAll(destination.followers);
        return;
      }
      case "endpoints":
        this.#group(message.authority).update(message.table, this.#options.nowMs());
        this.applied(message);
        return;
      case "inbound":
        this.#loadInbound(message);
        this.applied(message);
        this.#resume(this.#parkedInbound.get(message.port));
        callAll(this.#followers.get(message.port));
        return;
      case "drop-outbound":
        this.#drop(message.target);
        return;
      case "drop-inbound":
        this.#dropInbound(message.port);
        return;
      case "drop-endpoints":
        this.#groups.get(message.authority)?.update(noEndpoints, this.#options.nowMs());
        this.#groups.delete(message.authority);
        return;
      default:
        unreachable(message);
    }
  }

  applied(snapshot: Snapshot): void {
    const { post } = this.#options;
    post({ kind: "applied", scope: snapshotScope(snapshot), revision: snapshot.revision });
  }

  /** The destinations that were asked for since the last call. */
  takeUsed(): readonly string[] {
    const used = this.#noted.map((destination) => {
      destination.isNoted = false;
      return destination.target;
    });
    this.#noted = [];
    return used;
  }

  /** Closes the connections that wait in pools. */
  close(): void {
    this.#functions.close();
    this.#redirected.clear();
    const groups = [...this.#groups.values(), ...this.#applications.values()];
    for (const group of groups) group.update(noEndpoints, this.#options.nowMs());
  }

  /** Brings the gauges up to date that change by time alone. */
  report(nowMs: number): void {
    for (const { answer } of this.#destinations.values()) {
      if (answer.kind === "policy") forEachBalancer(answer.policy, (one) => one.report(nowMs));
    }
  }

  #loadInbound(snapshot: InboundSnapshot): void {
    const { port, table, revision } = snapshot;
    const before = this.#inbound.get(port);
    if (before !== undefined) this.#replaced.add(before.edition);
    const name = { scope: snapshotScope(snapshot), revision };
    this.#inbound.set(port, loadInbound(table, this.#context, name));
  }

  #load(snapshot: OutboundSnapshot, { answer: old }: Destination): Destination["answer"] {
    const { answer, revision } = snapshot;
    const before = old.kind === "policy" ? old.policy : undefined;
    if (before !== undefined) this.#replaced.add(before.edition);
    if (answer.kind === "policy") {
      const name = { scope: snapshotScope(snapshot), revision };
      return { kind: "policy", policy: loadOutbound(answer.table, this.#context, before, name) };
    }
    if (before !== undefined) forEachBalancer(before, (one) => one.retire());
    return answer;
  }

  #lookUp(authority: string): Destination | undefined {
    const { namespace, clusterDomain } = this.#options.settings;
    const target = normaliseAuthority(authority, namespace, clusterDomain);
    if (target === undefined) return undefined;
    const isNew = !this.#destinations.has(target);
    const destination = this.#known(target);
    this.#bySpelling.set(authority, destination);
    if (isNew) this.#options.post({ kind: "discover", target });
    return destination;
  }

  #known(target: string): Destination {
    const known = this.#destinations.get(target);
    if (known !== undefined) return known;
    const destination = new Destination(target);
    this.#destinations.set(target, destination);
    return destination;
  }

  /** Who waits for it asks again, which makes it a new destination. */
  #drop(target: string): void {
    const destination = this.#destinations.get(target);
    if (destination === undefined) return;
    const { answer } = destination;
    if (answer.kind === "policy") {
      this.#replaced.add(answer.policy.edition);
      forEachBalancer(answer.policy, (one) => one.retire());
    }
    destination.isLive = false;
    this.#destinations.delete(target);
    this.#resume(destination.parked);
    callAll(destination.followers);
  }

  /** Whoever comes next asks for it again. */
  #dropInbound(port: number): void {
    const before = this.#inbound.get(port);
    if (before !== undefined) this.#replaced.add(before.edition);
    this.#inbound.delete(port);
    this.#wanted.delete(port);
  }

  #park(exchange: Exchange, parked: Set<Exchange>): void {
    const { shard } = exchange;
    parked.add(exchange);
    exchange.isParked = true;
    this.#parkedCount++;
    exchange.cancelWait = () => {
      if (parked.delete(exchange)) this.#parkedCount--;
    };
    // Whoever asks twice does not wait twice as long.
    if (exchange.wait.dueTick === 0) {
      shard.wheel.arm(exchange.wait, shard.limits.discoveryTimeoutMs);
    }
  }

  #resume(parked: Set<Exchange> | undefined): void {
    if (parked === undefined || parked.size === 0) return;
    const exchanges = [...parked];
    parked.clear();
    this.#parkedCount -= exchanges.length;
    for (const exchange of exchanges) {
      exchange.cancelWait = undefined;
      exchange.isParked = false;
      exchange.readyMs = this.#options.nowMs();
      exchange.answers.answer(exchange);
    }
  }

  #compile(source: string): Result<Pattern> {
    const known = this.#patterns.get(source);
    if (known !== undefined) return known;
    const compiled = compilePattern(source);
    this.#patterns.set(source, compiled);
    return compiled;
  }

  #groupOf({ dispatch }: BackendEntry): TargetGroup | undefined {
    switch (dispatch.kind) {
      case "balancer": {
        const group = this.#group(dispatch.authority);
        group.tuning = dispatch;
        return group;
      }
      case "forward":
        return this.#groupOfOne(dispatch.endpoint);
      case "static": {
        const group = this.#group(staticAuthority(dispatch.hosts));
        group.tuning = dispatch;
        return group;
      }
      case "lambda":
        return this.#groupOfFunction(dispatch.function);
      case "fail":
        return undefined;
      default:
        return unreachable(dispatch);
    }
  }

  /** An endpoint that a policy or the settings name themselves. */
  #groupOfOne(endpoint: Endpoint): TargetGroup {
    const group: TargetGroup = new EndpointGroup(defaultLoad);
    group.update({ exists: true, endpoints: [endpoint] }, this.#options.nowMs());
    return group;
  }

  #groupAt(destination: string): TargetGroup | undefined {
    const target = targetOf(destination);
    if (target.kind !== "address") return undefined;
    return this.#groupOfOne({ ...plainEndpoint, ip: target.ip, port: target.port });
  }

  /** A function has no address: the place of its endpoint is for explanations. */
  #groupOfFunction(entry: LambdaEntry): TargetGroup {
    const fn = {
      ...entry,
      accessKey: new Secret(entry.accessKey),
      secretKey: new Secret(entry.secretKey),
      sessionToken: new Secret(entry.sessionToken),
    };
    const group = this.#groupOfOne({ ...plainEndpoint, ip: `${fn.name}.${fn.region}`, port: 443 });
    for (const member of group.members) {
      member.open = (options) => openFunction({ fn, caller: this.#functions }, options);
    }
    return group;
  }

  #group(authority: string): TargetGroup {
    const known = this.#groups.get(authority);
    if (known !== undefined) return known;
    const group: TargetGroup = new EndpointGroup(defaultLoad);
    this.#groups.set(authority, group);
    return group;
  }
}

function forEachBalancer({ balancers }: LoadedOutbound, visit: (balancer: Balancer) => void): void {
  for (const balancer of balancers) if (balancer !== undefined) visit(balancer);
}

function callAll(followers: ReadonlySet<() => void> | undefined): void {
  for (const follower of [...(followers ?? [])]) follower();
}

const plainEndpoint = {
  weight: 1,
  tls: undefined,
  inboundPort: 0,
  hint: "none",
  labels: {},
} as const;

const noEndpoints = { exists: false, endpoints: [] };
