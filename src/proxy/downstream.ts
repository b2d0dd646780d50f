/**
 * The side of a client: reads requests one after the other, hands each to `answer`, and sends what answers it. The next
 * request is not looked at before the exchange in front of it is over, so pipelined requests are answered in order.
 */
import { BodyReader } from "../codec/http1-body.ts";
import { parseRequestHead } from "../codec/http1-head.ts";
import { refusalOf } from "../codec/refusal.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import { Exchange } from "./exchange.ts";
import { HeldBytes } from "./held-bytes.ts";
import { leaveCall } from "./leave-call.ts";
import { mirrorBody } from "./mirror.ts";
import { noteTimeout } from "./outcome.ts";
import { type ErrorCode, type RescueOptions, rescue } from "./rescue.ts";
import type { ServeOptions } from "./serve-http.ts";
import type { Shard } from "./shard.ts";
import { resetCodeOf } from "./stream-reset.ts";
import { Timer } from "./timer-wheel.ts";
import { Tunnel } from "./tunnel.ts";

/**
 * `head`: between requests. `body`: a request is under way whose body is not complete. `wait`: a whole request is under
 * way. `tunnel`: the connection has left HTTP. `linger`: everything is said, and what still comes is thrown away.
 */
type Phase = "head" | "body" | "wait" | "tunnel" | "linger" | "closed";

/** How long a client may go on sending after its last answer. Closing at once would make the kernel send RST, which can destroy it (RFC 9112 §9.6). */
const lingerMs = 5_000;

/** While draining, how long an idle connection may still bring a request, whose answer then tells the client to go. */
const drainIdleMs = 1_000;

export class Downstream implements WireOwner {
  readonly shard: Shard;
  readonly exchange: Exchange;
  tunnel: Tunnel | undefined;
  readonly #wire: Wire;
  readonly #counts: ServeOptions["counts"];
  readonly #body: BodyReader = new BodyReader();
  readonly #held: HeldBytes = new HeldBytes();
  /** Armed for one thing at a time; what it means depends on the phase. */
  readonly #timer: Timer;
  #phase: Phase = "head";
  /** Buffer that a body is read to; belongs to this connection. */
  #bodyBuffer: Buffer | undefined;
  /** Part of what was sent has not left. */
  #blocked = false;
  /** Reading is stopped. */
  #stopped = false;
  /** `#serve` is on the stack. */
  #serving = false;
  /** The client will not send any more. */
  #ended = false;
  #draining = false;

  constructor(options: ServeOptions) {
    this.shard = options.shard;
    this.#wire = options.wire;
    this.#counts = options.counts;
    this.#timer = new Timer(() => this.#expired());
    this.exchange = new Exchange(this, options.origin, options.answers);
    this.#wire.owner = this;
    this.shard.connections.add(this);
    this.#counts.opened();
    this.shard.wheel.arm(this.#timer, this.shard.limits.idleTimeoutMs);
    if (this.shard.isClosing) this.drain();
  }

  /** Whether a request is under way. */
  get isBusy(): boolean {
    return this.exchange.state !== "answered" || this.#phase === "tunnel";
  }

  /** Whether the client speaks HTTP/2. */
  get isStream(): boolean {
    return this.#wire.isStream === true;
  }

  get carries(): "requests" | "tunnels" {
    return this.#phase === "tunnel" ? "tunnels" : "requests";
  }

  /** Part of a response has not left: sending more would pile up. */
  get isBlocked(): boolean {
    return this.#blocked;
  }

  /** How much of the body has come, without its framing. */
  get bodyBytes(): number {
    return this.#body.payloadBytes;
  }

  readBuffer(): Buffer {
    if (this.#phase === "body" || this.#phase === "tunnel") {
      this.#bodyBuffer ??= this.shard.pool.take();
      return this.#bodyBuffer;
    }
    this.#giveBodyBuffer();
    return this.shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    return this.feed(bytes, 0, length);
  }

  /** Takes `bytes[start, end)` as if they had been read just now. */
  feed(bytes: Buffer, start: number, end: number): boolean {
    switch (this.#phase) {
      case "head":
        this.#takeHeadBytes(bytes, start, end);
        break;
      case "body":
        this.#takeBodyBytes(bytes, start, end);
        break;
      case "wait":
        this.#held.append(bytes, start, end);
        break;
      case "tunnel":
        this.#sendOn(bytes, start, this.tunnel?.toServer(bytes, start, end) ?? end);
        break;
      case "linger":
      case "closed":
        break;
      default:
        unreachable(this.#phase);
    }
    this.#stopped = !this.#wantsBytes();
    return !this.#stopped;
  }

  onWritten(): void {
    this.#blocked = false;
    this.exchange.upstream?.goOn();
    if (this.#phase === "linger") {
      this.shard.wheel.arm(this.#timer, lingerMs);
    } else if (this.#phase === "head") {
      this.shard.wheel.arm(this.#timer, this.shard.limits.idleTimeoutMs);
      this.#serveHeld();
      this.goOn();
    } else if (this.#phase === "tunnel") {
      this.shard.wheel.disarm(this.#timer);
    }
  }

  /** The client closed its side. While a response is due that means it is gone: clients do not half-close HTTP connections. */
  onEnd(): void {
    this.#ended = true;
    switch (this.#phase) {
      case "head":
        this.#close();
        break;
      case "body":
      case "wait":
        this.abort();
        break;
      case "tunnel":
        this.tunnel?.endToServer();
        this.exchange.upstream?.endTunnel();
        break;
      case "linger":
      case "closed":
        break;
      default:
        unreachable(this.#phase);
    }
  }

  onClose(code: string): void {
    const wasTunnel = this.#phase === "tunnel";
    this.#phase = "closed";
    this.exchange.resetCode = resetCodeOf(code);
    this.tunnel?.close();
    this.#held.clear();
    this.#giveBodyBuffer();
    if (wasTunnel && code === "" && this.#ended) this.exchange.upstream?.endTunnel();
    else this.dropUpstream();
    this.#forgetExchange();
    this.shard.wheel.forget(this.#timer);
    this.exchange.forgetTimers();
    this.shard.connections.delete(this);
    this.#counts.closed();
    this.shard.onConnectionGone();
  }

  /** Reads on if there is a reason to. */
  goOn(): void {
    if (!this.#stopped || !this.#wantsBytes()) return;
    this.#stopped = false;
    this.#wire.resume();
  }

  /** Sends the first `end` bytes of the worker's scratch buffer. */
  sendScratch(end: number): void {
    if (!this.shard.sendScratch(this.#wire, end)) this.#block();
  }

  /** Sends bytes that the caller gives away. False: the buffer is lent, take another one. */
  sendOwned(bytes: Buffer, start: number, end: number): boolean {
    if (this.#wire.send(bytes, start, end)) return true;
    this.#block();
    return false;
  }

  /** Sends bytes of a buffer that is needed for other things. */
  sendCopy(bytes: Buffer, start: number, end: number): void {
    if (start < end && !this.shard.sendCopy(this.#wire, bytes, start, end)) this.#block();
  }

  /** The response has been sent to its end. */
  finish(): void {
    const { exchange, shard } = this;
    const closes = exchange.closes || !exchange.requestDone || this.#draining;
    this.#forgetExchange();
    if (closes) {
      this.#close();
      return;
    }
    this.#phase = "head";
    exchange.head.reset();
    shard.wheel.arm(this.#timer, shard.limits.idleTimeoutMs);
    if (this.#serving) return;
    this.#serveHeld();
    this.goOn();
  }

  /** Ends the connection without a word: part of a response is out, or nobody listens. */
  abort(): void {
    this.#wire.destroy();
  }

  /** The same, so that the client cannot take what has come for all there is (TCP: RST). */
  reset(): void {
    this.#wire.reset(this.exchange.resetCode);
  }

  /** Says in trailers why the response ends here. False: the client's protocol has no place for that now. */
  endWithTrailers(trailers: readonly (readonly [string, string])[]): boolean {
    return this.#wire.endWithTrailers?.(trailers) === true;
  }

  /** Lets go of whatever was to bring the response. */
  dropUpstream(): void {
    const { exchange } = this;
    const { upstream, cancelWait } = exchange;
    exchange.cancelWait = undefined;
    exchange.upstream = undefined;
    cancelWait?.();
    upstream?.abandon();
  }

  /** The response was 101, or 2xx to CONNECT: from now on bytes are bytes. `bytes[from, to)` came behind its head. */
  beginTunnel(bytes: Buffer, from: number, to: number): void {
    this.#phase = "tunnel";
    this.tunnel = new Tunnel(this.exchange, () => this.abort());
    this.sendCopy(bytes, from, this.tunnel.toClient(bytes, from, to));
    const { bytes: early, start, end } = this.#held;
    this.exchange.upstream?.sendCopy(early, start, this.tunnel.toServer(early, start, end));
    this.#held.clear();
    this.goOn();
  }

  endTunnel(): void {
    this.tunnel?.endToClient();
    this.#wire.end();
  }

  leave(): boolean {
    return this.tunnel?.leave() ?? leaveCall(this.exchange);
  }

  /** The connection ends when what is under way is over. */
  drain(): void {
    this.#draining = true;
    if (!this.isBusy) this.shard.wheel.arm(this.#timer, drainIdleMs);
  }

  /** A limit of time for the whole exchange is over. */
  onTimeout(code: "request-timeout" | "response-timeout" | "idle-timeout"): void {
    const { exchange } = this;
    if (!exchange.responseStarted) noteTimeout(exchange);
    rescue(exchange, code);
  }

  /** The limit of time for one try is over. */
  onTryExpired(): void {
    const { exchange } = this;
    if (exchange.responseStarted) {
      rescue(exchange, "try-timeout");
      return;
    }
    this.dropUpstream();
    const reason = "the endpoint took longer than the rule allows";
    const failure = { code: "try-timeout", reason, stale: false, nothingSent: false } as const;
    exchange.answers.failed(exchange, failure);
  }

  /** The request is to be sent again later: what is left of its body waits for that. */
  holdBody(): void {
    if (this.#phase !== "body" || this.#stopped) return;
    this.#stopped = true;
    this.#wire.pause();
  }

  /** A pause is over, or the table that the exchange waits for has not come. */
  onWaitExpired(): void {
    const { exchange } = this;
    const { afterPause } = exchange;
    if (afterPause !== undefined) {
      exchange.afterPause = undefined;
      exchange.readyMs = this.shard.nowMs();
      afterPause(exchange);
      return;
    }
    if (!exchange.isParked) return;
    const isInbound = exchange.origin.direction === "inbound";
    rescue(exchange, isInbound ? "no-policy" : "discovery-timeout");
  }

  #takeHeadBytes(bytes: Buffer, start: number, end: number): void {
    const held = this.#held;
    if (held.isEmpty && !this.#blocked) {
      this.#serve(bytes, start, end);
      return;
    }
    held.append(bytes, start, end);
    this.#serveHeld();
  }

  #serveHeld(): void {
    const { bytes, start, end } = this.#held;
    if (start < end && !this.#blocked && this.#phase === "head") this.#serve(bytes, start, end);
  }

  /** Begins the requests in `bytes[start, end)` one after the other, as long as each is answered at once, and holds what is left. */
  #serve(bytes: Buffer, start: number, end: number): void {
    let at = start;
    this.#serving = true;
    while (at < end && this.#phase === "head" && !this.#blocked) {
      const after = parseRequestHead(this.exchange.head, bytes, at, end);
      if (after === 0) {
        this.#awaitHead();
        break;
      }
      at = after < 0 ? this.#refuse(after, end) : this.#begin(bytes, after, end);
    }
    this.#serving = false;
    if (this.#phase === "linger" || this.#phase === "closed") this.#held.clear();
    else this.#held.keep(bytes, at, end);
  }

  /** The time for a head runs from its first byte, however it dribbles. */
  #awaitHead(): void {
    const { shard } = this;
    if (this.#held.isEmpty) shard.wheel.arm(this.#timer, shard.limits.headTimeoutMs);
  }

  /** A head is complete. Answers the position up to which bytes were taken. */
  #begin(bytes: Buffer, after: number, end: number): number {
    const { exchange, shard } = this;
    const { head } = exchange;
    this.#body.begin(head.bodyKind, head.contentLength);
    const bodyEnd = this.#body.take(bytes, after, end);
    if (bodyEnd < 0) return this.#refuse(bodyEnd, end);
    exchange.requestDone = this.#body.done;
    this.#phase = this.#body.done ? "wait" : "body";
    if (this.#body.done) shard.wheel.disarm(this.#timer);
    else shard.wheel.arm(this.#timer, shard.limits.idleTimeoutMs);
    exchange.begin(bytes, after, bodyEnd);
    shard.inFlight++;
    if (shard.inFlight > shard.limits.maxInFlight) rescue(exchange, "overload");
    else exchange.answers.answer(exchange);
    if (exchange.state === "deciding") exchange.detach();
    return bodyEnd;
  }

  /** Nothing that follows bytes like these can be trusted to be a request. */
  #refuse(result: number, end: number): number {
    const { status, reason } = refusalOf(result);
    this.#rescueUnreadable("bad-request", { status, reason });
    return end;
  }

  #rescueUnreadable(code: ErrorCode, options?: RescueOptions): void {
    this.#phase = "body";
    this.shard.inFlight++;
    this.exchange.beginUnreadable();
    rescue(this.exchange, code, options);
  }

  #takeBodyBytes(bytes: Buffer, start: number, end: number): void {
    const { exchange, shard } = this;
    const taken = this.#body.take(bytes, start, end);
    if (taken < 0) {
      const { status, reason } = refusalOf(taken);
      rescue(exchange, "bad-request", { status, reason });
      return;
    }
    if (this.#body.done) {
      this.#phase = "wait";
      exchange.requestDone = true;
      shard.wheel.disarm(this.#timer);
      if (taken < end) this.#held.append(bytes, taken, end);
    } else {
      shard.wheel.arm(this.#timer, shard.limits.idleTimeoutMs);
    }
    const isCollected = exchange.onBody !== undefined;
    // What is collected stays with the head, and is not kept for another try a second time.
    exchange.guard?.requestBytes(bytes, start, isCollected ? start : taken);
    if (exchange.mirrors.length > 0) mirrorBody(exchange, bytes, start, taken);
    if (isCollected) exchange.collect(bytes, start, taken);
    else this.#sendOn(bytes, start, taken);
  }

  #sendOn(bytes: Buffer, start: number, end: number): void {
    const { upstream } = this.exchange;
    if (upstream === undefined || start === end) return;
    if (this.#wire.givesBuffers) upstream.sendOwned(bytes, start, end);
    else if (bytes !== this.#bodyBuffer) upstream.sendCopy(bytes, start, end);
    else if (!upstream.sendOwned(bytes, start, end)) this.#bodyBuffer = undefined;
  }

  #wantsBytes(): boolean {
    const { upstream, isYielding } = this.exchange;
    switch (this.#phase) {
      case "head":
        return this.#held.isEmpty || !this.#blocked;
      case "body":
      case "tunnel":
        if (isYielding) return false;
        return upstream === undefined ? this.exchange.onBody !== undefined : !upstream.isBlocked;
      case "wait":
        return this.#held.isEmpty;
      case "linger":
      case "closed":
        return true;
      default:
        return unreachable(this.#phase);
    }
  }

  #block(): void {
    this.#blocked = true;
    // A client that takes nothing for so long is gone, or wants to be paid for by our memory.
    if (this.#phase !== "body") {
      this.shard.wheel.arm(this.#timer, this.shard.limits.idleTimeoutMs);
    }
  }

  #forgetExchange(): void {
    if (this.exchange.state === "answered") return;
    this.shard.inFlight--;
    this.exchange.end();
  }

  /** Says that this was all, and listens for a while so that the client can read it. */
  #close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "linger";
    this.#held.clear();
    this.#wire.end();
    if (!this.#blocked) this.shard.wheel.arm(this.#timer, lingerMs);
    this.goOn();
  }

  #expired(): void {
    const { shard } = this;
    if (this.#blocked) {
      this.abort();
      return;
    }
    switch (this.#phase) {
      case "head":
        if (this.#held.isEmpty) this.#close();
        else this.#rescueUnreadable("head-timeout");
        break;
      case "body":
        // The client is asked for bytes only when they can go on; else it is not the client that is slow.
        // Nor is a stream that has nothing to say for a while: PING finds out whether its client is there.
        if (this.#wantsBytes() && !this.isStream) rescue(this.exchange, "body-timeout");
        else shard.wheel.arm(this.#timer, shard.limits.idleTimeoutMs);
        break;
      case "linger":
        this.abort();
        break;
      case "wait":
      case "tunnel":
      case "closed":
        break;
      default:
        unreachable(this.#phase);
    }
  }

  #giveBodyBuffer(): void {
    if (this.#bodyBuffer === undefined) return;
    this.shard.pool.give(this.#bodyBuffer);
    this.#bodyBuffer = undefined;
  }
}
