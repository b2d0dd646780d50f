/**
 * The way of a connection to the application beside us, until it is clear what it speaks and who speaks. What happens to the
 * requests on it is decided in `inbound.ts`.
 *
 * Peers come to one of two kinds of ports: the mesh port, where TLS and a transport header say who comes and which port is
 * meant; and a port that stands in front of one port of the application, for everybody. With redirect rules every port of the
 * pod leads to the mesh port, and the kernel knows which one a connection was going to.
 *
 * On a port without a policy about requests, bytes that are no HTTP pass through unread, and letters whose client waits for
 * an answer. That is never a way to pass HTTP through unread: whoever speaks first is looked at, however late.
 */
import { maxClientHelloBytes, parseClientHello } from "../codec/client-hello.ts";
import { type Sniffed, sniff } from "../codec/sniff.ts";
import { parseTransportHeader } from "../codec/transport-header.ts";
import type { Peer } from "../core/decide/admit.ts";
import { endpointKey } from "../core/model/endpoint.ts";
import { formatIp } from "../core/std/ip.ts";
import type { PlainWire, Wire, WireOwner } from "../edge/net/wire.ts";
import { HeldBytes } from "./held-bytes.ts";
import { inboundAnswers } from "./inbound.ts";
import type { LoadedInbound } from "./loaded.ts";
import { certificateCrowd, certificateLate, type MeshDoor } from "./mesh-door.ts";
import {
  ApplicationDial,
  admitOpaque,
  type InboundClient,
  OpaqueConnection,
  tlsLabel,
} from "./opaque-inbound.ts";
import { serveHttp } from "./serve-http.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** A hello is the longest of what makes a protocol known. */
const maxFirstBytes: number = maxClientHelloBytes + 5;

type ArrivalOptions = {
  readonly shard: Shard;
  readonly wire: Wire;
  readonly peer: Peer;
  /** Undefined: a transport header names it. */
  readonly port: number | undefined;
  /** To which address of the pod the client came; undefined: the kernel does not know. */
  readonly podIp: string | undefined;
  /** Who ends TLS that is meant for this workload; undefined where it has been ended already. */
  readonly tls: { readonly door: MeshDoor; readonly wire: PlainWire } | undefined;
};

/**
 * `silent`: the client has said nothing. `speaking`: not enough. `policy`: enough, but what the port admits is not known yet. `certificate`: it speaks TLS, and
 * whether that ends here is not known yet.
 */
type Waiting = "nothing" | "silent" | "speaking" | "policy" | "certificate";

export class Arrival implements WireOwner {
  readonly #shard: Shard;
  readonly #wire: Wire;
  readonly #peer: Peer;
  readonly #tls: ArrivalOptions["tls"];
  readonly #podIp: string | undefined;
  readonly #held: HeldBytes = new HeldBytes();
  readonly #timer: Timer = new Timer(() => this.#expired());
  #port: number | undefined;
  /** The transport header says that the bytes are no HTTP, so the server may well speak first. */
  #isMarkedOpaque = false;
  /** The client waits in the middle of a word. */
  #isWord = false;
  #waiting: Waiting = "nothing";
  #unfollow: (() => void) | undefined;
  #callOffCertificate: (() => void) | undefined;
  #clientEnded = false;
  /** As an opaque connection, by the policy of now. */
  #isAdmitted = false;
  /** Towards the application, in case it speaks first. */
  #dial: ApplicationDial | undefined;
  #server: Wire | undefined;
  /** What the server said while the client was in the middle of a word: nobody is told before it is clear that it is no HTTP. */
  #greeting: Buffer = nothing;
  /** The connection is to be joined with the server as soon as that is there. */
  #awaitsServer = false;
  #over = false;

  constructor({ shard, wire, peer, port, podIp, tls }: ArrivalOptions) {
    this.#shard = shard;
    this.#wire = wire;
    this.#peer = peer;
    this.#port = port;
    this.#tls = tls;
    this.#podIp = podIp;
    wire.owner = this;
  }

  begin(): void {
    if (this.#port !== undefined) this.#follow(this.#port);
    if (!this.#look()) this.#wire.pause();
  }

  readBuffer(): Buffer {
    return this.#shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    this.#held.append(bytes, 0, length);
    return this.#look();
  }

  onWritten(): void {}

  /** A word that is not complete will never be HTTP, and who has said nothing wants nothing, unless the server is asked already. */
  onEnd(): void {
    this.#clientEnded = true;
    const policy = this.#policy();
    const isForServer = this.#server !== undefined || this.#dial !== undefined;
    if (this.#waiting === "policy") return;
    // Nobody shakes hands by halves.
    if (this.#waiting === "certificate") this.#close();
    else if (
      policy === undefined ||
      policy.reading === "http" ||
      (this.#held.isEmpty && !isForServer)
    ) {
      this.#close();
    } else this.#relay(policy);
  }

  onClose(): void {
    this.#leave();
  }

  /** Where a redirected connection goes on to. */
  #destinationAt(port: number): string | undefined {
    return this.#podIp === undefined ? undefined : endpointKey({ ip: this.#podIp, port });
  }

  #policy(): LoadedInbound | undefined {
    return this.#port === undefined ? undefined : this.#shard.tables.inbound(this.#port);
  }

  #follow(port: number): void {
    if (this.#podIp !== undefined) this.#shard.tables.wantInbound(port);
    this.#unfollow = this.#shard.tables.followInbound(port, () => {
      this.#forgetServer();
      this.#isAdmitted = false;
      this.#stopWaiting();
      if (this.#look()) this.#wire.resume();
    });
  }

  /** Decides with what is known now. True: more is to be read. */
  #look(): boolean {
    if (this.#over) return false;
    if (this.#port === undefined) return this.#lookForHeader();
    const policy = this.#policy();
    if (policy?.reading === "opaque") return this.#relay(policy);
    const { bytes, start, end } = this.#held;
    if (start === end) return this.#awaitClient(policy);
    const sniffed = sniff(bytes, start, end);
    if (sniffed === "more") return this.#awaitMore(policy);
    if (sniffed === "tls" && this.#tls !== undefined) return this.#lookAtHello(policy);
    return this.#take(sniffed, policy);
  }

  #lookForHeader(): boolean {
    const held = this.#held;
    if (held.isEmpty) return this.#await("silent", this.#shard.limits.idleTimeoutMs);
    const header = parseTransportHeader(held.bytes, held.start, held.end);
    if (header.state === "more") return this.#awaitMore();
    if (header.state === "invalid") return this.#refuse("bad transport header");
    const { port, name, protocol } = header;
    if (name !== "") return this.#refuse("gateway domain invalid");
    if (isMeshPort(this.#shard, port)) return this.#refuse("loop");
    if (this.#shard.tables.application(port, this.#destinationAt(port)) === undefined) {
      return this.#refuse("unknown port");
    }
    this.#isMarkedOpaque = protocol === "none";
    this.#port = port;
    held.keep(held.bytes, header.end, held.end);
    this.#stopWaiting();
    const reading = this.#policy()?.reading ?? "http";
    if (protocol !== "none" && reading !== "opaque" && reading !== "tls") {
      return this.#serve(protocol);
    }
    this.#follow(port);
    return this.#look();
  }

  /** TLS for this workload is ended here; any other is the application's. */
  #lookAtHello(policy: LoadedInbound | undefined): boolean {
    const { bytes, start, end } = this.#held;
    const name = this.#tls?.door.name;
    if (name === undefined) return this.#awaitCertificate();
    const hello = parseClientHello(bytes, start, end);
    if (hello.state === "more") return this.#awaitMore();
    if (hello.state === "hello" && hello.serverName === name) return this.#endTls();
    return this.#take("tls", policy);
  }

  /** The bytes are clear, and this is not TLS that ends here. */
  #take(sniffed: Exclude<Sniffed, "more">, policy: LoadedInbound | undefined): boolean {
    if (policy === undefined) {
      // A request can wait, and its client be told why if nothing comes.
      return isHttp(sniffed) ? this.#serve(sniffed) : this.#awaitPolicy();
    }
    if (policy.reading === "tls") return this.#relay(policy);
    if (isHttp(sniffed)) return this.#serve(sniffed);
    if (policy.reading === "http") return this.#refuse(`unsupported protocol ${sniffed}`);
    return this.#relay(policy);
  }

  #awaitClient(policy: LoadedInbound | undefined): boolean {
    const { limits } = this.#shard;
    if (policy === undefined || policy.reading === "http") {
      return this.#await("silent", limits.idleTimeoutMs);
    }
    if (this.#dial !== undefined || this.#server !== undefined) return true;
    if (this.#isMarkedOpaque) return this.#askServer(policy);
    const silenceMs = Math.min(policy.table.detectTimeoutMs, limits.detectTimeoutMs);
    return this.#await("silent", silenceMs);
  }

  /** `policy`: how a word may be carried. Who marks bytes as opaque has waited for the rest of a word already. */
  #awaitMore(policy?: LoadedInbound): boolean {
    const { start, end } = this.#held;
    if (end - start > maxFirstBytes) return this.#refuse("unknown protocol");
    const hasWaited = this.#isWord || this.#isMarkedOpaque;
    if (hasWaited && policy?.reading === "any") return this.#relay(policy);
    return this.#await("speaking", this.#shard.limits.detectTimeoutMs);
  }

  /** Nothing is read meanwhile. */
  #awaitPolicy(): boolean {
    this.#await("policy", this.#shard.limits.discoveryTimeoutMs);
    return false;
  }

  /** Nothing is read meanwhile. */
  #awaitCertificate(): boolean {
    this.#callOffCertificate ??= this.#tls?.door.whenCertified(() => {
      this.#stopWaiting();
      if (this.#look()) this.#wire.resume();
    });
    if (this.#callOffCertificate === undefined)
      return this.#refuse("no identity", certificateCrowd);
    this.#await("certificate", this.#shard.limits.discoveryTimeoutMs);
    return false;
  }

  /** A wait that goes on has its end already. */
  #await(waiting: Waiting, ms: number): boolean {
    if (this.#waiting !== waiting) {
      this.#waiting = waiting;
      this.#shard.wheel.arm(this.#timer, ms);
    }
    return true;
  }

  #expired(): void {
    const policy = this.#policy();
    if (this.#waiting === "policy") this.#refuse("discovery timeout");
    else if (this.#waiting === "certificate") this.#refuse("no identity", certificateLate);
    else if (this.#waiting === "speaking") this.#tireOfWord(policy);
    else if (this.#server !== undefined) this.#close();
    else if (policy === undefined || policy.reading === "http") this.#wire.destroy();
    else this.#askServer(policy);
  }

  #tireOfWord(policy: LoadedInbound | undefined): void {
    const { bytes, start, end } = this.#held;
    const isAny = policy === undefined || policy.reading === "any";
    if (this.#port === undefined || !isAny || sniff(bytes, start, end) !== "more") {
      this.#refuse("detection timeout");
      return;
    }
    this.#isWord = true;
    const readsOn = policy === undefined ? this.#awaitPolicy() : this.#relay(policy);
    if (!readsOn) this.#wire.pause();
  }

  /** The client waits for something, which can only be the server's greeting. */
  #askServer(policy: LoadedInbound): boolean {
    const client = this.#client();
    if (!this.#admit(policy, client)) return this.#close();
    this.#connect(client, (server) => {
      if (this.#clientEnded || this.#awaitsServer) {
        this.#join(client, server);
        return;
      }
      this.#server = server;
      server.owner = this.#greetingOwner(client, server);
      if (this.#held.isEmpty) this.#await("silent", this.#shard.limits.tunnelIdleTimeoutMs);
    });
    return true;
  }

  /** The server may speak, or leave, before the client says a word. */
  #greetingOwner(client: InboundClient, server: Wire): WireOwner {
    const { headBuffer } = this.#shard;
    return {
      readBuffer: () => headBuffer,
      onBytes: (bytes, length) => {
        this.#greeting = Buffer.from(bytes.subarray(0, length));
        if (!this.#held.isEmpty) return false;
        this.#join(client, server);
        return true;
      },
      onWritten: () => {},
      onEnd: () => {
        if (!this.#held.isEmpty) {
          this.#close();
          return;
        }
        this.#join(client, server);
        server.owner.onEnd();
      },
      onClose: () => this.#close(),
    };
  }

  /** The client speaks HTTP, or the policy has changed: the connection that was to bring a greeting is of no use. */
  #forgetServer(): void {
    this.#greeting = nothing;
    this.#awaitsServer = false;
    this.#dial?.cancel();
    this.#dial = undefined;
    if (this.#server === undefined) return;
    this.#server.owner = { ...silentOwner, readBuffer: () => this.#shard.headBuffer };
    this.#server.destroy();
    this.#server = undefined;
  }

  #relay(policy: LoadedInbound): boolean {
    const client = this.#client();
    const server = this.#server;
    if (server !== undefined) {
      this.#join(client, server);
      return true;
    }
    // Asked for a greeting already, and admitted then.
    if (this.#dial !== undefined) {
      this.#awaitsServer = true;
      return false;
    }
    if (!this.#admit(policy, client)) return this.#close();
    this.#connect(client, (wire) => this.#join(client, wire));
    return false;
  }

  #admit(policy: LoadedInbound, client: InboundClient): boolean {
    this.#isAdmitted ||= admitOpaque(this.#shard, policy, client);
    return this.#isAdmitted;
  }

  #connect({ port, destination }: InboundClient, onOpen: (server: Wire) => void): void {
    this.#stopWaiting();
    this.#dial = new ApplicationDial({
      shard: this.#shard,
      port,
      destination,
      onOpen: (server) => {
        this.#dial = undefined;
        onOpen(server);
      },
      onFailure: (reason) => {
        this.#dial = undefined;
        this.#refuse("application unreachable", reason);
      },
    });
  }

  #join(client: InboundClient, server: Wire): void {
    const fromServer = this.#greeting;
    this.#server = undefined;
    this.#leave();
    const { bytes, start, end } = this.#held;
    const fromClient = bytes.subarray(start, end);
    const isWord =
      this.#policy()?.reading === "any" && start < end && sniff(bytes, start, end) === "more";
    const unsent = { fromClient, isWord, fromServer, clientEnded: this.#clientEnded };
    new OpaqueConnection(this.#shard, client, server, unsent);
  }

  #serve(protocol: "http1" | "http2"): boolean {
    const shard = this.#shard;
    const { wire, peer, port, destination } = this.#client();
    this.#leave();
    const options = {
      shard,
      wire,
      origin: { direction: "inbound", port, peer, destination },
      answers: inboundAnswers,
      counts: shard.downstreamCounts("inbound", tlsLabel(peer)),
    } as const;
    const served = serveHttp(options, protocol);
    const { bytes, start, end } = this.#held;
    const readsOn = served.feed(bytes, start, end);
    if (this.#clientEnded) served.onEnd();
    return readsOn;
  }

  #endTls(): boolean {
    const tls = this.#tls;
    if (tls === undefined) throw new Error("TLS was ended before");
    this.#leave();
    const { bytes, start, end } = this.#held;
    // The socket is in the middle of a read.
    process.nextTick(() => tls.door.endTls(tls.wire.release(bytes.subarray(start, end))));
    return false;
  }

  #client(): InboundClient {
    if (this.#port === undefined) throw new Error("The port is not known yet");
    const port = this.#port;
    const destination = this.#destinationAt(port);
    return { wire: this.#wire, peer: this.#peer, port, destination };
  }

  #refuse(label: string, detail: string = ""): boolean {
    const client = formatIp(this.#peer.ip);
    const identity = this.#peer.identity ?? "";
    this.#shard.refuseConnection(label, { port: this.#port ?? 0, client, identity, detail });
    return this.#close();
  }

  #close(): boolean {
    this.#leave();
    this.#wire.destroy();
    return false;
  }

  #stopWaiting(): void {
    this.#shard.wheel.forget(this.#timer);
    this.#waiting = "nothing";
  }

  /** Nothing is to come back here. */
  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopWaiting();
    this.#unfollow?.();
    this.#callOffCertificate?.();
    this.#forgetServer();
  }
}

function isHttp(sniffed: Sniffed): sniffed is "http1" | "http2" {
  return sniffed === "http1" || sniffed === "http2";
}

/** What is sent there comes back. */
function isMeshPort({ settings }: Shard, port: number): boolean {
  return settings.listeners.some((one) => one.kind === "inbound-mesh" && one.port === port);
}

const nothing: Buffer = Buffer.alloc(0);

/** A connection that nobody wants any more and that is being closed. */
const silentOwner: Omit<WireOwner, "readBuffer"> = {
  onBytes: () => false,
  onWritten: () => {},
  onEnd: () => {},
  onClose: () => {},
};
