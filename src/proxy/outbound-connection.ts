/**
 * The way of a connection of the application, until it is clear what it speaks. What happens to the requests on it is decided in `outbound.ts`.
 *
 * A connection that redirect rules led here goes where it was going: the policy of that address says how its bytes are read, and nothing is sent before it
 * is known. One that was opened to this proxy itself is asked like a forward proxy.
 *
 * Where nobody wrote a policy about requests, bytes that are no HTTP are carried unread, and so are letters whose client waits; a client that says nothing
 * waits for a server that speaks first. Where somebody did, what cannot be read as HTTP is refused (decisions 5).
 */
import { maxClientHelloBytes, parseClientHello } from "../codec/client-hello.ts";
import { type Sniffed, sniff } from "../codec/sniff.ts";
import type { Peer } from "../core/decide/admit.ts";
import { findTlsRoute } from "../core/decide/find-tls-route.ts";
import { endpointKey } from "../core/model/endpoint.ts";
import { cidrContains, parseCidr, parseIp } from "../core/std/ip.ts";
import type { AcceptedSocket } from "../edge/net/listen.ts";
import type { OriginalDestination } from "../edge/net/original-dst.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import type { ListenerSettings } from "../thread/messages.ts";
import { HeldBytes } from "./held-bytes.ts";
import type { LoadedOpaqueRoute, LoadedOutbound } from "./loaded.ts";
import { outboundAnswers } from "./outbound.ts";
import { OpaqueDial, OutboundOpaque, type Reached } from "./outbound-opaque.ts";
import { type Served, serveHttp } from "./serve-http.ts";
import type { Shard } from "./shard.ts";
import type { Destination } from "./tables.ts";
import { Timer } from "./timer-wheel.ts";

type Listening = Pick<ListenerSettings, "host" | "port">;

const loopback = [parseCidr("127.0.0.0/8"), parseCidr("::1/128")];

export function acceptOutbound(shard: Shard, listening: Listening, accepted: AcceptedSocket): void {
  const ip = parseIp(accepted.remoteIp);
  // Without an address the client is gone already.
  if (ip === undefined) {
    accepted.destroy();
    return;
  }
  const peer: Peer = { ip, tls: false, identity: undefined };
  const { readOriginal } = shard;
  const original = readOriginal && accepted.originalDestination(readOriginal);
  // What the rules of a pod lead here is known to the kernel; where it does not know, Host must not choose in its place.
  if (original === undefined && shard.settings.redirect?.isRequired === true) {
    shard.refuseOutbound("original destination unknown", { client: accepted.remoteIp });
    accepted.destroy();
    return;
  }
  if (original === undefined || isSame(original, listening)) {
    serve(shard, accepted.toWire(shard.headBuffer, shard.pool), peer, undefined);
    return;
  }
  if (isLoopback(original.ip) || isOurInbound(shard, original)) {
    shard.refuseOutbound("loop", { destination: endpointKey(original) });
    accepted.destroy();
    return;
  }
  const wire = accepted.toWire(shard.headBuffer, shard.pool);
  new OutboundArrival(shard, { wire, peer, authority: endpointKey(original) }).begin();
}

function isSame(original: OriginalDestination, { host, port }: Listening): boolean {
  return original.port === port && (original.ip === host || isLoopback(original.ip));
}

function isLoopback(text: string): boolean {
  const ip = parseIp(text);
  return ip !== undefined && loopback.some((net) => net !== undefined && cidrContains(net, ip));
}

/** What comes in there would be sent out again, and come in again. */
function isOurInbound({ settings }: Shard, { ip, port }: OriginalDestination): boolean {
  const isInbound = settings.listeners.some(
    (listener) => listener.kind === "inbound-mesh" && listener.port === port,
  );
  return isInbound && settings.redirect?.podIps.includes(ip) === true;
}

/** `destination`: undefined where requests name it. */
function serve(shard: Shard, wire: Wire, peer: Peer, destination: string | undefined): Served {
  const options = {
    shard,
    wire,
    origin: { direction: "outbound", port: 0, peer, destination },
    answers: outboundAnswers,
    counts: shard.downstreamCounts("outbound", "disabled"),
  } as const;
  return serveHttp(options, "unknown");
}

/** A hello is the longest of what makes a protocol known. */
const maxFirstBytes: number = maxClientHelloBytes + 5;

type OutboundClient = {
  readonly wire: Wire;
  readonly peer: Peer;
  /** Where it was going. */
  readonly authority: string;
};

/** `silent`: the client has said nothing. `speaking`: not enough. `policy`: it is not known what becomes of it. */
type Waiting = "nothing" | "silent" | "speaking" | "policy";

class OutboundArrival implements WireOwner {
  readonly #shard: Shard;
  readonly #client: OutboundClient;
  readonly #held: HeldBytes = new HeldBytes();
  readonly #timer: Timer = new Timer(() => this.#expired());
  readonly #onAnswer = (): void => this.#answered();
  #destination: Destination | undefined;
  #waiting: Waiting = "nothing";
  #clientEnded = false;
  /** The client waits in the middle of a word. */
  #isWord = false;
  /** Towards the server, whose turn it is to speak, or for bytes that are there. */
  #dial: OpaqueDial | undefined;
  /** It has not spoken, and nor has the client. */
  #server: Reached | undefined;
  #over = false;

  constructor(shard: Shard, client: OutboundClient) {
    this.#shard = shard;
    this.#client = client;
    client.wire.owner = this;
  }

  begin(): void {
    this.#follow();
    if (!this.#look()) this.#client.wire.pause();
  }

  readBuffer(): Buffer {
    return this.#shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    this.#held.append(bytes, 0, length);
    return this.#look();
  }

  onWritten(): void {}

  /** A word that is not complete will never be HTTP. Who has said nothing wants nothing, unless the server is asked already. */
  onEnd(): void {
    this.#clientEnded = true;
    const isAsked = this.#dial !== undefined || this.#server !== undefined;
    if (this.#waiting === "policy") return;
    if (this.#held.isEmpty && !isAsked) this.#close();
    else this.#look();
  }

  onClose(): void {
    this.#leave();
  }

  #follow(): void {
    const { tables } = this.#shard;
    const destination = tables.destination(this.#client.authority);
    if (destination === undefined) throw new Error(`"${this.#client.authority}" is no address`);
    tables.noteUse(destination);
    destination.followers.add(this.#onAnswer);
    this.#destination = destination;
  }

  #answered(): void {
    if (this.#over) return;
    if (this.#destination?.isLive === false) this.#follow();
    this.#forgetServer();
    this.#stopWaiting();
    if (this.#look()) this.#client.wire.resume();
  }

  /** Decides with what is known now. True: more is to be read. */
  #look(): boolean {
    const answer = this.#destination?.answer;
    if (this.#over || answer === undefined) return false;
    if (answer.kind === "waiting") return this.#awaitPolicy();
    if (answer.kind === "unknown") return this.#refuse("unknown destination", answer.reason);
    const { policy } = answer;
    const { protocol } = policy.table;
    if (protocol === "opaque" && policy.opaque !== undefined) return this.#relay(policy.opaque);
    if (protocol === "http1" || protocol === "http2" || protocol === "grpc") return this.#serve();
    const { bytes, start, end } = this.#held;
    if (start === end) return this.#awaitClient(policy);
    const sniffed = sniff(bytes, start, end);
    if (protocol === "tls") return this.#lookAtHello(policy, sniffed);
    if (sniffed === "more" && !this.#clientEnded && !this.#isWord) return this.#awaitMore();
    if (sniffed === "http1" || sniffed === "http2") return this.#serve();
    if (policy.opaque !== undefined) return this.#relay(policy.opaque);
    return this.#refuse(
      sniffed === "more" ? "unknown protocol" : `unsupported protocol ${sniffed}`,
    );
  }

  #lookAtHello(policy: LoadedOutbound, sniffed: Sniffed): boolean {
    if (sniffed === "more" && !this.#clientEnded) return this.#awaitMore();
    if (sniffed !== "tls") return this.#refuse("not tls");
    const { bytes, start, end } = this.#held;
    const hello = parseClientHello(bytes, start, end);
    if (hello.state === "more" && !this.#clientEnded) return this.#awaitMore();
    if (hello.state !== "hello") return this.#refuse("not tls");
    const { serverName } = hello;
    const entry = findTlsRoute(policy.table.tls ?? [], serverName === "" ? undefined : serverName);
    const route = entry && policy.tls.get(entry);
    return route === undefined ? this.#refuse("no route", serverName) : this.#relay(route);
  }

  #awaitPolicy(): boolean {
    this.#await("policy", this.#shard.limits.discoveryTimeoutMs);
    return false;
  }

  /** Where only requests are carried, and after a hello, there is no server that could speak first. */
  #awaitClient(policy: LoadedOutbound): boolean {
    if (this.#dial !== undefined || this.#server !== undefined) return true;
    const { detectTimeoutMs, headTimeoutMs } = this.#shard.limits;
    return this.#await("silent", mayAskServer(policy) ? detectTimeoutMs : headTimeoutMs);
  }

  #awaitMore(): boolean {
    const { start, end } = this.#held;
    if (end - start > maxFirstBytes) return this.#refuse("unknown protocol");
    return this.#await("speaking", this.#shard.limits.detectTimeoutMs);
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
    const answer = this.#destination?.answer;
    if (this.#waiting === "policy") this.#refuse("discovery timeout");
    else if (answer?.kind !== "policy" || !mayAskServer(answer.policy)) this.#undetected();
    else if (this.#waiting === "speaking") this.#carryWord(answer.policy.opaque);
    else if (this.#server !== undefined) this.#close();
    else this.#askServer(answer.policy.opaque);
  }

  #undetected(): boolean {
    return this.#refuse("detection timeout");
  }

  /** The client waits for an answer to what it has said, which may be the beginning of a request. */
  #carryWord(route: LoadedOpaqueRoute): void {
    this.#isWord = true;
    if (!this.#relay(route)) this.#client.wire.pause();
  }

  /** The client waits for something, which can only be the server's greeting. */
  #askServer(route: LoadedOpaqueRoute): void {
    this.#connect(route, (server) => {
      this.#server = server;
      server.wire.owner = this.#greetingOwner(server);
      if (!this.#held.isEmpty) this.#look();
      else if (this.#clientEnded) this.#join(server, nothing);
      else this.#await("silent", this.#shard.limits.tunnelIdleTimeoutMs);
    });
  }

  /** The server may speak, or leave, before the client says a word. */
  #greetingOwner(server: Reached): WireOwner {
    const { headBuffer } = this.#shard;
    return {
      readBuffer: () => headBuffer,
      onBytes: (bytes, length) => {
        this.#join(server, Buffer.from(bytes.subarray(0, length)));
        return true;
      },
      onWritten: () => {},
      onEnd: () => {
        this.#join(server, nothing);
        server.wire.owner.onEnd();
      },
      onClose: () => this.#close(),
    };
  }

  #relay(route: LoadedOpaqueRoute): boolean {
    if (this.#server !== undefined) {
      this.#join(this.#server, nothing);
      return true;
    }
    // What was asked for a greeting takes the bytes as well.
    if (this.#dial === undefined) this.#connect(route, (server) => this.#join(server, nothing));
    return false;
  }

  #connect(route: LoadedOpaqueRoute, onOpen: (server: Reached) => void): void {
    this.#stopWaiting();
    this.#dial = new OpaqueDial(this.#shard, route, {
      onOpen: (server) => {
        this.#dial = undefined;
        onOpen(server);
      },
      onFailure: (label, reason) => {
        this.#dial = undefined;
        this.#refuse(label, reason);
      },
    });
    this.#dial.begin();
  }

  #join(server: Reached, fromServer: Buffer): void {
    this.#server = undefined;
    this.#leave();
    const { bytes, start, end } = this.#held;
    new OutboundOpaque(this.#shard, this.#client.wire, server, {
      fromClient: bytes.subarray(start, end),
      isWord: this.#mayBecomeHttp(),
      fromServer,
      clientEnded: this.#clientEnded,
    });
  }

  #mayBecomeHttp(): boolean {
    const answer = this.#destination?.answer;
    if (answer?.kind !== "policy" || answer.policy.table.protocol !== "detect") return false;
    const { bytes, start, end } = this.#held;
    return start < end && sniff(bytes, start, end) === "more";
  }

  #serve(): boolean {
    const { wire, peer, authority } = this.#client;
    this.#leave();
    const served = serve(this.#shard, wire, peer, authority);
    const { bytes, start, end } = this.#held;
    const readsOn = start === end || served.feed(bytes, start, end);
    if (this.#clientEnded) served.onEnd();
    return readsOn;
  }

  #refuse(label: string, detail: string = ""): boolean {
    const { authority } = this.#client;
    this.#shard.refuseOutbound(label, { destination: authority, detail });
    this.#leave();
    // An application that gets nothing must not take it for an empty answer.
    this.#client.wire.reset();
    return false;
  }

  #close(): void {
    this.#leave();
    this.#client.wire.destroy();
  }

  #forgetServer(): void {
    this.#dial?.cancel();
    this.#dial = undefined;
    this.#server?.giveUp();
    this.#server = undefined;
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
    this.#destination?.followers.delete(this.#onAnswer);
    this.#forgetServer();
  }
}

/** Where nothing says that the client has to speak first. */
function mayAskServer(
  policy: LoadedOutbound,
): policy is LoadedOutbound & { readonly opaque: LoadedOpaqueRoute } {
  return policy.table.protocol === "detect" && policy.opaque !== undefined;
}

const nothing: Buffer = Buffer.alloc(0);
