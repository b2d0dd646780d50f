/**
 * A connection to an endpoint: takes one request at a time and sends the response on to the client that asked. Between
 * requests it waits in its endpoint's pool.
 */
import { BodyKind, BodyReader } from "../codec/http1-body.ts";
import { parseResponseHead, ResponseHead } from "../codec/http1-head.ts";
import { refusalOf } from "../codec/refusal.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import type { ConnectionCounts } from "./count.ts";
import type { Idle } from "./endpoints.ts";
import type { Exchange, Target, TargetGroup } from "./exchange.ts";
import { HeldBytes } from "./held-bytes.ts";
import { keepAliveMs, maxDrainBytes, maxDrainMs } from "./keep-alive.ts";
import { grpcOutcome, noteAnswered, noteLateStatus, noteResponse } from "./outcome.ts";
import { type ErrorCode, rescue } from "./rescue.ts";
import { passInterim, writeResponseHead } from "./response-head.ts";
import type { Shard } from "./shard.ts";
import { isRefused, resetCodeOf } from "./stream-reset.ts";
import { Timer } from "./timer-wheel.ts";

/** `drain`: the rest of a response comes that nobody wants, because its request is sent again. */
type Phase = "idle" | "head" | "body" | "drain" | "tunnel" | "closed";

export type UpstreamOptions = {
  readonly shard: Shard;
  readonly wire: Wire;
  readonly target: Target;
  readonly counts: Pick<ConnectionCounts, "opened" | "closed">;
  /** Sent in front of the first request. */
  readonly preface: Buffer | undefined;
  /** Where it waits between requests. */
  readonly idle: Upstream[];
};

export class Upstream implements WireOwner, Idle {
  readonly target: Target;
  readonly head: ResponseHead = new ResponseHead();
  readonly #shard: Shard;
  readonly #wire: Wire;
  readonly #counts: UpstreamOptions["counts"];
  readonly #idle: Upstream[];
  readonly #body: BodyReader = new BodyReader();
  readonly #held: HeldBytes = new HeldBytes();
  readonly #timer: Timer;
  #preface: Buffer | undefined;
  #phase: Phase = "idle";
  #exchange: Exchange | undefined;
  /** Whose load the current request is part of. */
  #group: TargetGroup | undefined;
  #bodyBuffer: Buffer | undefined;
  /** Part of the request has not left. */
  #blocked = false;
  #stopped = false;
  /** A byte of a response to the current request has come. */
  #answering = false;
  /** Requests before the current one. */
  #served = 0;
  #ended = false;
  /** How long the endpoint keeps the connection after this response; told by its head. */
  #idleMs = 0;
  #drained = 0;
  /** Whether the response was a success will show at its end. */
  #isUncounted = false;

  constructor(options: UpstreamOptions) {
    this.#shard = options.shard;
    this.#wire = options.wire;
    this.target = options.target;
    this.#counts = options.counts;
    this.#preface = options.preface;
    this.#idle = options.idle;
    this.#timer = new Timer(() => this.#leavePool());
    this.#wire.owner = this;
    this.#counts.opened();
  }

  /** Whether the endpoint is the verified sidecar of a meshed pod, whose word about errors is taken. */
  get isMeshed(): boolean {
    return this.#wire.encrypted;
  }

  get isBlocked(): boolean {
    return this.#blocked;
  }

  /** Whether it is a stream of a connection that speaks HTTP/2. */
  get isStream(): boolean {
    return this.#wire.isStream === true;
  }

  /** What a response to a gRPC request has said of its success so far. */
  get grpcStatus(): number | undefined {
    return this.#wire.grpcStatus;
  }

  /** Whether a request has been sent over it before, so that the other end may be about to close it. */
  get wasUsed(): boolean {
    return this.#served > 0;
  }

  /** Takes an exchange; what is sent next is its request. */
  begin(exchange: Exchange): void {
    this.#exchange = exchange;
    this.#wire.awaitsStatus = exchange.rule?.retry?.policy.grpcCodes !== undefined;
    this.#group = exchange.group;
    this.#phase = "head";
    this.#answering = false;
    this.head.reset();
  }

  /** Writes what belongs in front of the first request; answers the position after it. */
  writePreface(out: Buffer): number {
    const preface = this.#preface;
    if (preface === undefined) return 0;
    this.#preface = undefined;
    return preface.copy(out, 0);
  }

  sendScratch(end: number): void {
    if (!this.#shard.sendScratch(this.#wire, end)) this.#blocked = true;
  }

  /** False: the buffer is lent, take another one. */
  sendOwned(bytes: Buffer, start: number, end: number): boolean {
    if (this.#wire.send(bytes, start, end)) return true;
    this.#blocked = true;
    return false;
  }

  sendCopy(bytes: Buffer, start: number, end: number): void {
    if (start < end && !this.#shard.sendCopy(this.#wire, bytes, start, end)) this.#blocked = true;
  }

  readBuffer(): Buffer {
    if (this.#phase === "body" || this.#phase === "tunnel") {
      this.#bodyBuffer ??= this.#shard.pool.take();
      return this.#bodyBuffer;
    }
    this.#giveBodyBuffer();
    return this.#shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    this.#answering = true;
    switch (this.#phase) {
      case "head":
        this.#takeHeadBytes(bytes, length);
        break;
      case "body":
        this.#takeBodyBytes(bytes, length);
        break;
      case "drain":
        this.#drain(bytes, length);
        break;
      case "tunnel":
        this.#sendOn(
          bytes,
          this.#exchange?.downstream.tunnel?.toClient(bytes, 0, length) ?? length,
        );
        break;
      case "idle":
      case "closed":
        // Bytes that nobody asked for: a response to a request that was never sent.
        this.#wire.destroy();
        break;
      default:
        unreachable(this.#phase);
    }
    this.#stopped = this.#exchange?.downstream.isBlocked === true;
    return !this.#stopped;
  }

  onWritten(): void {
    this.#blocked = false;
    this.#exchange?.downstream.goOn();
  }

  onEnd(): void {
    this.#ended = true;
    const exchange = this.#exchange;
    switch (this.#phase) {
      case "body":
        if (this.#body.finish()) this.#finish(false);
        else this.#fail("upstream-closed", "the endpoint closed the connection within a response");
        break;
      case "tunnel":
        exchange?.downstream.endTunnel();
        break;
      case "idle":
      case "head":
      case "drain":
      case "closed":
        this.#lose("");
        break;
      default:
        unreachable(this.#phase);
    }
  }

  onClose(code: string): void {
    this.#shard.wheel.forget(this.#timer);
    if (this.#phase === "tunnel" && code === "" && this.#ended)
      this.#exchange?.downstream.endTunnel();
    else if (this.#phase === "tunnel") this.#exchange?.downstream.abort();
    else if (this.#phase !== "closed") this.#lose(code);
    this.#phase = "closed";
    this.#endLoad();
    this.#held.clear();
    this.#giveBodyBuffer();
    this.#counts.closed();
  }

  /** Reads on when the client has taken what there was. */
  goOn(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#wire.resume();
  }

  /** The exchange does not want its response any more. */
  abandon(): void {
    const nowMs = this.#shard.nowMs();
    const { readyMs = nowMs } = this.#exchange ?? {};
    if (this.#phase === "head") this.#group?.observeAtLeast(this.target, nowMs - readyMs, nowMs);
    this.#endLoad();
    const resetCode = this.#exchange?.resetCode;
    if (this.#exchange !== undefined && this.#phase === "body") {
      this.#exchange.decision.responseBytes = this.#body.payloadBytes;
      this.#settle(this.#exchange);
    }
    this.#exchange = undefined;
    if (resetCode === undefined) {
      this.close();
      return;
    }
    this.#phase = "closed";
    this.#wire.reset(resetCode);
  }

  close(): void {
    this.#phase = "closed";
    this.#wire.destroy();
  }

  endTunnel(): void {
    this.#wire.end();
  }

  /** Leaves the pool for a request. */
  leaveIdle(): void {
    this.#shard.wheel.disarm(this.#timer);
  }

  /** Waits in the pool for the next request, at most `idleMs`. */
  waitIdle(idleMs: number): void {
    this.#idle.push(this);
    this.#shard.wheel.arm(this.#timer, idleMs);
  }

  #takeHeadBytes(bytes: Buffer, length: number): void {
    const held = this.#held;
    let source = bytes;
    let at = 0;
    let end = length;
    if (!held.isEmpty) {
      held.append(bytes, 0, length);
      source = held.bytes;
      at = held.start;
      end = held.end;
    }
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    for (;;) {
      const after = parseResponseHead(this.head, source, at, end, exchange.head.method);
      if (after === 0) {
        held.keep(source, at, end);
        return;
      }
      if (after < 0) {
        this.#fail("bad-response", refusalOf(after).reason);
        return;
      }
      if (this.head.upgrade) {
        this.#beginTunnel(exchange, source, after, end);
        return;
      }
      if (this.head.status >= 200) {
        this.#beginResponse(exchange, source, after, end);
        return;
      }
      if (!this.#passInterim(exchange)) return;
      this.head.reset();
      at = after;
    }
  }

  #passInterim(exchange: Exchange): boolean {
    const failure = passInterim(exchange, this.head);
    if (failure !== "") this.#fail("bad-response", failure);
    return failure === "";
  }

  /** The final head, and what came of the body along with it. */
  #beginResponse(exchange: Exchange, bytes: Buffer, after: number, end: number): void {
    const shard = this.#shard;
    const { head } = this;
    if (head.bodyKind === BodyKind.chunked && exchange.head.versionMinor === 0) {
      rescue(exchange, "bad-client-response");
      return;
    }
    this.#body.begin(head.bodyKind, head.contentLength);
    const bodyEnd = this.#body.take(bytes, after, end);
    if (bodyEnd < 0) {
      this.#fail("bad-response", refusalOf(bodyEnd).reason);
      return;
    }
    const grpc = grpcOutcome(exchange, this);
    const nowMs = noteResponse(exchange, head, grpc);
    this.#idleMs = keepAliveMs(head, shard.limits.poolIdleTimeoutMs);
    if (exchange.guard !== undefined && !exchange.answers.responded(exchange, head)) {
      this.#discard(exchange, bodyEnd, end);
      return;
    }
    if (head.bodyKind === BodyKind.close || !exchange.requestDone || shard.draining) {
      exchange.closes = true;
    }
    const headEnd = writeResponseHead(exchange, this);
    if (headEnd < 0) {
      this.#fail("bad-response", "the head of the response is too long");
      return;
    }
    noteAnswered(exchange, head.status, grpc, nowMs);
    this.#isUncounted = grpc === "later";
    this.#phase = "body";
    const copied = Math.min(bodyEnd - after, shard.scratch.length - headEnd);
    if (copied > 0) bytes.copy(shard.scratch, headEnd, after, after + copied);
    exchange.downstream.sendScratch(headEnd + copied);
    exchange.downstream.sendCopy(bytes, after + copied, bodyEnd);
    this.#held.clear();
    if (this.#body.done) this.#finish(bodyEnd < end);
  }

  /** The response is not for the client: its exchange goes on without this connection. */
  #discard(exchange: Exchange, bodyEnd: number, end: number): void {
    this.#held.clear();
    if (exchange.upstream === this) exchange.upstream = undefined;
    this.#exchange = undefined;
    this.#endLoad();
    this.#served++;
    if (this.#phase === "closed") return;
    if (!exchange.requestDone || this.#blocked) {
      this.close();
    } else if (this.#body.done) {
      this.#rest(bodyEnd < end);
    } else {
      this.#phase = "drain";
      this.#drained = 0;
      this.#shard.wheel.arm(this.#timer, maxDrainMs);
    }
  }

  #drain(bytes: Buffer, length: number): void {
    this.#drained += length;
    const taken = this.#body.take(bytes, 0, length);
    if (taken < 0 || this.#drained > maxDrainBytes) {
      this.close();
    } else if (this.#body.done) {
      this.#shard.wheel.disarm(this.#timer);
      this.#rest(taken < length);
    }
  }

  #takeBodyBytes(bytes: Buffer, length: number): void {
    const taken = this.#body.take(bytes, 0, length);
    if (taken < 0) {
      this.#fail("bad-response", refusalOf(taken).reason);
      return;
    }
    this.#exchange?.guard?.touch();
    this.#sendOn(bytes, taken);
    if (this.#body.done) this.#finish(taken < length);
  }

  #sendOn(bytes: Buffer, length: number): void {
    const downstream = this.#exchange?.downstream;
    if (downstream === undefined || length === 0) return;
    if (!downstream.sendOwned(bytes, 0, length)) this.#bodyBuffer = undefined;
  }

  /** The response is complete. `more`: bytes followed that belong to no response. */
  #finish(more: boolean): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#endLoad();
    exchange.decision.responseBytes = this.#body.payloadBytes;
    this.#settle(exchange);
    exchange.upstream = undefined;
    this.#exchange = undefined;
    this.#served++;
    this.#rest(more || !exchange.requestDone || this.#blocked);
    exchange.downstream.finish();
  }

  /** The connection waits for its next request, unless it is `unfit` for one. */
  #rest(unfit: boolean): void {
    const reusable = this.head.keepAlive && !unfit && !this.#ended && this.#idleMs > 0;
    if (reusable && this.#shard.mayPool(this.target, this.#idle)) {
      this.#phase = "idle";
      this.waitIdle(this.#idleMs);
    } else {
      this.close();
    }
  }

  #beginTunnel(exchange: Exchange, bytes: Buffer, after: number, end: number): void {
    const isAsked = exchange.keepsUpgrade || this.head.status !== 101;
    if (!isAsked || !exchange.requestDone) {
      this.#fail("bad-response", "the endpoint switched protocols without being asked");
      return;
    }
    const nowMs = noteResponse(exchange, this.head, "none");
    const headEnd = writeResponseHead(exchange, this);
    if (headEnd < 0) {
      this.#fail("bad-response", "the head of the response is too long");
      return;
    }
    noteAnswered(exchange, this.head.status, "none", nowMs);
    this.#shard.wheel.disarm(exchange.deadline);
    exchange.guard?.answered();
    exchange.guard?.end();
    this.#phase = "tunnel";
    exchange.downstream.sendScratch(headEnd);
    exchange.downstream.beginTunnel(bytes, after, end);
    this.#held.clear();
  }

  /** The connection ended while nothing of a response, or not all of its head, had come. */
  #lose(closeCode: string): void {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.#leavePool();
      return;
    }
    // What the other end has not begun with may be sent again whatever it asks for.
    const isRefusedStream = isRefused(closeCode);
    const isSafe = exchange.isIdempotent || isRefusedStream;
    const stale = (this.wasUsed || isRefusedStream) && !this.#answering && isSafe;
    exchange.resetCode = resetCodeOf(closeCode);
    this.#exchange = undefined;
    exchange.upstream = undefined;
    this.#settle(exchange);
    this.#endLoad();
    this.close();
    const code = "upstream-closed";
    const reason = "the endpoint closed the connection before it answered";
    exchange.answers.failed(exchange, { code, reason, stale, nothingSent: false });
  }

  /** The response cannot be used. */
  #fail(code: ErrorCode, reason: string): void {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.close();
      return;
    }
    if (exchange.responseStarted) {
      rescue(exchange, code, { reason });
      return;
    }
    this.#exchange = undefined;
    exchange.upstream = undefined;
    this.#endLoad();
    this.close();
    exchange.answers.failed(exchange, { code, reason, stale: false, nothingSent: false });
  }

  #leavePool(): void {
    const at = this.#idle.indexOf(this);
    if (at >= 0) this.#idle.splice(at, 1);
    this.close();
  }

  #settle(exchange: Exchange): void {
    if (this.#isUncounted) noteLateStatus(exchange, this.head.status, this.grpcStatus);
    this.#isUncounted = false;
  }

  #endLoad(): void {
    this.#group?.end(this.target);
    this.#group = undefined;
  }

  #giveBodyBuffer(): void {
    if (this.#bodyBuffer === undefined) return;
    this.#shard.pool.give(this.#bodyBuffer);
    this.#bodyBuffer = undefined;
  }
}
