/**
 * The endpoints of a backend outside the mesh: its addresses as they are, and the addresses of its names, which are looked up
 * again and again for as long as somebody wants them. A lookup that fails changes nothing: what was known last goes on.
 *
 * Addresses that mean something else on every machine are left out, whoever names them. Kubernetes keeps them out of
 * EndpointSlices for the same reason: through a route of one namespace they would lead the requests of another back to its
 * own pods, past the policies of their ports, or to the metadata service of the cloud.
 */
import type { StaticHost } from "../core/model/backend.ts";
import { type Endpoint, type EndpointSet, endpointKey } from "../core/model/endpoint.ts";
import { type Cidr, cidrContains, formatIp, type Ip, parseCidr, parseIp } from "../core/std/ip.ts";
import { type Fault, fault } from "../core/std/result.ts";
import type { LookUp, NameAnswer } from "../edge/net/dns.ts";
import type { FollowedStream, StreamFact } from "./follow-stream.ts";
import type { Surroundings } from "./surroundings.ts";

/** A shorter time to live than this would make every sidecar a burden for DNS (Envoy and Kubernetes' own cache: 5 s). */
export const minLookUpMs = 5_000;

/** A longer one would keep us from a service that moved, which operators expect to see within a minute. */
export const maxLookUpMs = 60_000;

/** Sidecars that start together ask apart from then on. */
const jitter = 0.1;

export type NamesOptions = {
  readonly lookUp: LookUp;
  /** The whole mesh is on this machine, so that its loopback addresses are addresses like others. */
  readonly allowsLoopback: boolean;
};

export type FollowHostsOptions = NamesOptions & {
  readonly hosts: readonly StaticHost[];
  readonly surroundings: Surroundings;
  /** All endpoints, at first and whenever they changed. Not called before `followHosts` has returned. */
  readonly onChange: (set: EndpointSet, faults: readonly Fault[]) => void;
};

export function followHosts(options: FollowHostsOptions): FollowedStream {
  const follower = new HostFollower(options);
  return { fact: () => follower.fact, close: () => follower.close() };
}

type Name = {
  ips: readonly string[];
  /** Why the last lookup failed; empty otherwise. */
  failure: string;
  isAnswered: boolean;
  callOff: () => void;
};

class HostFollower {
  readonly #options: FollowHostsOptions;
  readonly #names = new Map<string, Name>();
  #fact: StreamFact;
  #isClosed = false;
  /** What was told last. */
  #told: string | undefined;

  constructor(options: FollowHostsOptions) {
    this.#options = options;
    const { surroundings, hosts } = options;
    this.#fact = { state: "connecting", sinceMs: surroundings.nowMs(), reason: "" };
    for (const { host } of hosts) {
      if (parseIp(host) !== undefined || this.#names.has(host)) continue;
      const name = { ips: [], failure: "", isAnswered: false, callOff: () => undefined };
      this.#names.set(host, name);
      this.#askAfter(host, name, 0);
    }
    if (this.#names.size === 0) surroundings.timers.after(0, () => this.#tell());
  }

  get fact(): StreamFact {
    return this.#fact;
  }

  close(): void {
    this.#isClosed = true;
    for (const { callOff } of this.#names.values()) callOff();
  }

  #askAfter(host: string, name: Name, ms: number): void {
    name.callOff = this.#options.surroundings.timers.after(ms, () => {
      void this.#options.lookUp(host).then((answer) => this.#answered(host, name, answer));
    });
  }

  #answered(host: string, name: Name, answer: NameAnswer): void {
    if (this.#isClosed) return;
    const { random } = this.#options.surroundings;
    const ttlMs = answer.ok ? answer.ttlMs : 0;
    const waitMs = Math.min(Math.max(ttlMs, minLookUpMs), maxLookUpMs);
    this.#askAfter(host, name, waitMs * (1 + jitter * random()));
    name.isAnswered = true;
    name.failure = answer.ok ? "" : `no address of "${host}": ${answer.reason}`;
    if (answer.ok) name.ips = answer.ips;
    this.#tell();
  }

  /** Waits for the first answer of every name, so that nobody meets half a backend. */
  #tell(): void {
    const names = [...this.#names.values()];
    if (this.#isClosed || !names.every(({ isAnswered }) => isAnswered)) return;
    const failures = names.map(({ failure }) => failure).filter((failure) => failure !== "");
    this.#enter(failures.join("; "));
    const { set, faults } = this.#endpoints();
    const text = JSON.stringify([set, faults]);
    if (text === this.#told) return;
    this.#told = text;
    this.#options.onChange(set, faults);
  }

  #enter(reason: string): void {
    const state = reason === "" ? "connected" : "disconnected";
    const { sinceMs, state: before } = this.#fact;
    const { surroundings } = this.#options;
    this.#fact = { state, reason, sinceMs: state === before ? sinceMs : surroundings.nowMs() };
  }

  #endpoints(): { readonly set: EndpointSet; readonly faults: readonly Fault[] } {
    const { hosts, allowsLoopback } = this.#options;
    const endpoints = new Map<string, Endpoint>();
    const faults: Fault[] = [];
    for (const { host, port } of hosts) {
      for (const text of this.#names.get(host)?.ips ?? [host]) {
        const ip = parseIp(text);
        const why = ip === undefined ? "is no address" : refusalOf(ip, allowsLoopback);
        if (ip === undefined || why !== undefined) {
          faults.push(fault(host, `leave out ${text}: it ${why ?? ""}`));
          continue;
        }
        const endpoint = { ...plain, ip: formatIp(ip), port };
        endpoints.set(endpointKey(endpoint), endpoint);
      }
    }
    // DNS turns its answers around; the order says nothing.
    const sorted = [...endpoints].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
    return { set: { exists: true, endpoints: sorted }, faults };
  }
}

/** Nobody outside the mesh has a name that could be proved. */
const plain = { weight: 1, tls: undefined, inboundPort: 0, hint: "none", labels: {} } as const;

const loopback = networks("127.0.0.0/8", "::1/128");

export function isLoopback(host: string): boolean {
  const ip = parseIp(host);
  return ip !== undefined && loopback.some((net) => cidrContains(net, ip));
}

const elsewhere = [
  { why: "means no machine", nets: networks("0.0.0.0/8", "::/128") },
  { why: "means another machine on every link", nets: networks("169.254.0.0/16", "fe80::/10") },
  {
    why: "means a group of machines",
    nets: networks("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"),
  },
];

/** Undefined: the address may be an endpoint. */
function refusalOf(ip: Ip, allowsLoopback: boolean): string | undefined {
  if (!allowsLoopback && loopback.some((net) => cidrContains(net, ip))) {
    return "means another machine for every sidecar";
  }
  return elsewhere.find(({ nets }) => nets.some((net) => cidrContains(net, ip)))?.why;
}

function networks(...texts: readonly string[]): readonly Cidr[] {
  return texts.flatMap((text) => parseCidr(text) ?? []);
}
