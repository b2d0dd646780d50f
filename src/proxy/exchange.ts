/**
 * One HTTP request and its response while they live: what was asked, by whom, what was decided, and where the response
 * comes from. A connection has one `Exchange` for its whole life and uses it for all its requests, so that the objects of
 * the hot path keep their shape and nothing is allocated for a request (`benchmarks/proxy/http1.ts`).
 */
import { RequestHead, type ResponseHead } from "../codec/http1-head.ts";
import { HeadEdit } from "../codec/http1-write.ts";
import { RepeatedText } from "../codec/repeated-text.ts";
import type { Peer } from "../core/decide/admit.ts";
import type { RequestView } from "../core/decide/find-route.ts";
import { isPrivateName } from "../core/decide/private-name.ts";
import type { HeaderModifier } from "../core/model/filter.ts";
import type { MatchEntry } from "../core/table/http-route.ts";
import type { Heard } from "./access-log.ts";
import type { Breaker } from "./breaker.ts";
import type { RouteCounts } from "./count.ts";
import { Draft } from "./decisions.ts";
import type { Downstream } from "./downstream.ts";
import type { EndpointGroup, EndpointState } from "./endpoints.ts";
import type { PreparedFilters } from "./filters.ts";
import { asksGrpc } from "./grpc.ts";
import { Guard } from "./guard.ts";
import type { Direction } from "./labels.ts";
import type { LoadedChoice, LoadedRule } from "./loaded.ts";
import type { MirrorConnection } from "./mirror-connection.ts";
import { noteNothing } from "./outcome.ts";
import type { RequestTrace } from "./request-trace.ts";
import type { ErrorCode } from "./rescue.ts";
import type { Shard } from "./shard.ts";
import type { Destination } from "./tables.ts";
import { Timer } from "./timer-wheel.ts";
import type { Upstream } from "./upstream.ts";

export type Target = EndpointState<Upstream>;
export type TargetGroup = EndpointGroup<Upstream>;

/** Where a connection came in. */
export type Origin = {
  readonly direction: Direction;
  readonly peer: Peer;
  /** Inbound: the port whose policy counts. Outbound: 0. */
  readonly port: number;
  /** Where a redirected connection was going, as an authority. Undefined: requests name their destination, or the port does. */
  readonly destination: string | undefined;
};

/** Why a request did not get its response from upstream. */
export type ForwardFailure = {
  readonly code: ErrorCode;
  readonly reason: string;
  /** A connection that had waited in the pool was closed before a byte of a response: the other end may never have seen the request. */
  readonly stale: boolean;
  /** No byte of the request has left. */
  readonly nothingSent: boolean;
};

/** What a direction does with a request (`inbound.ts`, `outbound.ts`). */
export type Answers = {
  /** Decides about a request. Called again from the start when what it waited for has arrived. */
  answer(exchange: Exchange): void;
  /** Goes on behind the filter that made the exchange wait (`pass-filters.ts`). */
  resume(exchange: Exchange): void;
  /** The request was not answered upstream; nothing of a response has been sent. */
  failed(exchange: Exchange, failure: ForwardFailure): void;
  /** The head of a response has come for an exchange that has a guard. False: it is not for the client. */
  responded(exchange: Exchange, head: ResponseHead): boolean;
};

/**
 * `deciding`: `answer` has it, or it waits for something. `forwarding`: an upstream has it. `answered`: the end of the
 * response has been sent, or the connection is gone.
 */
export type ExchangeState = "deciding" | "forwarding" | "answered";

const nothing: Buffer = Buffer.alloc(0);
const noFilters: PreparedFilters = [];

/** RFC 9110 §9.2.2. Only these may be sent a second time without knowing what became of the first. */
const idempotent: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
]);

/** What is kept of a request so that it can be sent again. Longer ones are bodies, which PUT alone has. */
const maxReplayBytes: number = 64 * 1024;

/** A head without cookies. Every connection keeps its room while it is idle (`benchmarks/proxy/memory.ts`). */
const minReplayBytes = 256;

export class Exchange {
  readonly shard: Shard;
  readonly downstream: Downstream;
  readonly origin: Origin;
  readonly answers: Answers;
  readonly head: RequestHead = new RequestHead();
  readonly view: HeadView;
  readonly requestEdit: HeadEdit = new HeadEdit();
  readonly responseEdit: HeadEdit = new HeadEdit();
  /** Armed for the whole exchange when its rule limits it. */
  readonly deadline: Timer;
  /** Armed while the exchange waits for a table. */
  readonly wait: Timer;

  state: ExchangeState = "answered";
  /** Holds the head, and `[bodyStart, bodyEnd)` of what came of the body along with it. */
  bytes: Buffer = nothing;
  /** Whether `bytes` belong to the exchange alone. */
  isDetached = false;
  bodyStart = 0;
  bodyEnd = 0;
  /** False: the request could not be read, and nothing in `head` counts. */
  readable = false;
  /** Whether the request was received to its end. */
  requestDone = false;
  /** Whether a byte of the final response has been sent. */
  responseStarted = false;
  /** Whether the connection ends with this exchange. */
  closes = false;
  startedMs = 0;
  /** Whether the client looks for errors in trailers. */
  isGrpc = false;
  /** When it was last known what to do next: after the head, after a wait. The endpoint's time runs from here. */
  readyMs = 0;
  interimCount = 0;

  /** Undefined: take the start line as it came. */
  startLine: string | undefined = undefined;
  keepsUpgrade = false;
  route: RouteCounts | undefined = undefined;
  /** For whoever asks later. */
  readonly decision: Draft = new Draft();
  /** What the access log needs of the head. */
  readonly heard: Heard = { userAgent: "", trace: "" };
  /** Undefined: tracing is off, or others have decided that this request is not traced. */
  trace: RequestTrace | undefined = undefined;
  /** That of an earlier request. */
  spareTrace: RequestTrace | undefined = undefined;
  /** What took the request, for filters that replace the prefix that matched. */
  matched: MatchEntry | undefined = undefined;
  /** The port that the client dialed, as it sees it. */
  dialedPort = 0;
  /** Outbound only, like `choice`. */
  rule: LoadedRule | undefined = undefined;
  /** Undefined until the filters of the rule are passed. */
  choice: LoadedChoice | undefined = undefined;
  /** While it waits for a filter: the list, and the place of the one that is next. */
  filters: PreparedFilters = noFilters;
  filterAt = 0;
  /** What filters do to the response, in the order in which the request met them. */
  readonly responseModifiers: HeaderModifier[] = [];
  /** Copies that take the body as it comes. */
  readonly mirrors: MirrorConnection[] = [];
  /** The next read of the body is left to the next turn of the event loop (`mirror.ts`). */
  isYielding = false;
  /** The request as the filters of the rule left it, for tries that begin there again; made when first wanted. */
  ruleEdit: HeadEdit | undefined = undefined;
  ruleStartLine: string | undefined = undefined;
  ruleModifiers = 0;
  /** Whether this is another try of the same request. */
  isAgain = false;
  /** Undefined: the rule asks for one try without limits. */
  guard: Guard | undefined = undefined;
  #spareGuard: Guard | undefined = undefined;
  breaker: Breaker | undefined = undefined;
  /** Whether the breaker of the endpoint waits for what becomes of this try. */
  isProbe = false;
  group: TargetGroup | undefined = undefined;
  target: Target | undefined = undefined;
  upstream: Upstream | undefined = undefined;
  /** What the connection asked for last, which it mostly asks for again. */
  destination: Destination | undefined = undefined;
  destinationName = "";
  /** Endpoints that have failed this request. */
  tried: Target[] = [];
  /** Endpoints that could not be connected to in this try. */
  dials = 0;
  lastFailure: ForwardFailure | undefined = undefined;
  /** Whether it waits for a table. */
  isParked = false;
  /** What the exchange does after a pause; undefined: there is none. */
  afterPause: ((exchange: Exchange) => void) | undefined = undefined;
  /** Called when more of the body has come, which is collected for a filter; undefined: it flows. */
  onBody: ((exchange: Exchange) => void) | undefined = undefined;
  /** What a waiting exchange leaves behind when it is over early. */
  cancelWait: (() => void) | undefined = undefined;
  /** With which code the stream of one side was reset, for the other; undefined: it was not. */
  resetCode: number | undefined = undefined;
  /** The request as it was sent, for a second time; empty when it must not be sent again. */
  #replay: Buffer = nothing;
  replayLength = 0;
  resent = false;

  constructor(downstream: Downstream, origin: Origin, answers: Answers) {
    this.shard = downstream.shard;
    this.downstream = downstream;
    this.origin = origin;
    this.answers = answers;
    this.view = new HeadView(this.head);
    this.deadline = new Timer(() => downstream.onTimeout("request-timeout"));
    this.wait = new Timer(() => downstream.onWaitExpired());
  }

  /** A request was read. */
  begin(bytes: Buffer, bodyStart: number, bodyEnd: number): void {
    this.state = "deciding";
    this.isDetached = false;
    this.bytes = bytes;
    this.bodyStart = bodyStart;
    this.bodyEnd = bodyEnd;
    this.view.forget();
    this.readable = true;
    this.isGrpc = this.downstream.isStream && asksGrpc(this.head);
    this.responseStarted = false;
    this.startedMs = this.shard.nowMs();
    this.readyMs = this.startedMs;
    const { tracer, accessLog } = this.shard;
    if (tracer !== undefined) tracer.begin(this);
    if (accessLog !== undefined) accessLog.hear(this);
    const { keepAlive, versionMinor, method } = this.head;
    // What a client sends behind CONNECT is meant for the tunnel. Without one nobody may read it as the next request.
    this.closes = !keepAlive || versionMinor === 0 || method === "CONNECT";
  }

  /** Something came that is no request. */
  beginUnreadable(): void {
    this.state = "deciding";
    this.readable = false;
    this.isGrpc = false;
    this.requestDone = false;
    this.responseStarted = false;
    this.startedMs = this.shard.nowMs();
    this.closes = true;
  }

  /** Forgets the request. */
  end(): void {
    const { wheel, decisions, accessLog } = this.shard;
    decisions.record(this);
    if (accessLog !== undefined) accessLog.write(this);
    if (this.trace !== undefined) this.#endTrace(this.trace);
    this.decision.reset();
    wheel.disarm(this.deadline);
    wheel.disarm(this.wait);
    this.state = "answered";
    this.bytes = nothing;
    this.requestDone = false;
    this.interimCount = 0;
    this.startLine = undefined;
    this.keepsUpgrade = false;
    this.route = undefined;
    this.matched = undefined;
    this.rule = undefined;
    this.choice = undefined;
    this.filters = noFilters;
    if (this.responseModifiers.length > 0) this.responseModifiers.length = 0;
    if (this.mirrors.length > 0) this.#leaveMirrors();
    this.isAgain = false;
    this.afterPause = undefined;
    this.onBody = undefined;
    if (this.isProbe) noteNothing(this);
    if (this.guard !== undefined) this.guard.end();
    this.guard = undefined;
    this.breaker = undefined;
    this.dials = 0;
    this.group = undefined;
    this.target = undefined;
    this.upstream = undefined;
    if (this.tried.length > 0) this.tried = [];
    this.lastFailure = undefined;
    this.isParked = false;
    this.cancelWait = undefined;
    this.replayLength = 0;
    this.resent = false;
    this.resetCode = undefined;
  }

  #endTrace(trace: RequestTrace): void {
    this.shard.tracer?.end(this, trace);
    this.trace = undefined;
  }

  /** The connection is over: nothing will be timed any more. */
  forgetTimers(): void {
    const { wheel } = this.shard;
    wheel.forget(this.deadline);
    wheel.forget(this.wait);
    this.#spareGuard?.forget();
  }

  /** The rule asks for more than one try without limits. */
  guardBy(rule: LoadedRule): void {
    this.#spareGuard ??= new Guard(this);
    this.guard = this.#spareGuard;
    this.guard.begin(rule);
  }

  /** A try is over and another will follow, which begins as if there had been none. */
  leaveTry(): void {
    if (this.isProbe) noteNothing(this);
    if (this.trace !== undefined) this.trace.close(this.shard.nowMs(), "");
    this.guard?.rest();
    this.state = "deciding";
    this.choice = undefined;
    this.breaker = undefined;
    this.dials = 0;
    this.interimCount = 0;
    this.group = undefined;
    this.target = undefined;
    this.lastFailure = undefined;
    this.replayLength = 0;
    this.resent = false;
  }

  /** Goes on with `then` after a while, unless the exchange is over before. */
  pause(delayMs: number, then: (exchange: Exchange) => void): void {
    this.afterPause = then;
    this.shard.wheel.arm(this.wait, delayMs);
  }

  /** The buffer of the connection will be used for other things: takes along what is still needed of it. */
  detach(): void {
    if (this.isDetached) return;
    this.isDetached = true;
    const { base } = this.head;
    const own = Buffer.from(this.bytes.subarray(base, this.bodyEnd));
    this.bodyStart -= base;
    this.bodyEnd -= base;
    this.head.moveTo(own, 0);
    this.bytes = own;
  }

  /** Adds to what came of the body along with the head, as if it had. The exchange is detached. */
  collect(bytes: Buffer, start: number, end: number): void {
    const length = this.bodyEnd + end - start;
    if (length > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(length)));
      this.bytes.copy(grown, 0, 0, this.bodyEnd);
      this.head.moveTo(grown, this.head.base);
      this.bytes = grown;
    }
    bytes.copy(this.bytes, this.bodyEnd, start, end);
    this.bodyEnd = length;
    this.onBody?.(this);
  }

  /** The rest of the body will not come. */
  #leaveMirrors(): void {
    for (const mirror of this.mirrors) mirror.abandon();
    this.mirrors.length = 0;
  }

  get isIdempotent(): boolean {
    return idempotent.has(this.head.method);
  }

  /** Keeps a request that was written to `sent[start, end)`, if it may come to be sent again. */
  keepForReplay(sent: Buffer, start: number, end: number): void {
    const length = end - start;
    if (!this.requestDone || length > maxReplayBytes) return;
    if (this.#replay.length < length) {
      this.#replay = Buffer.allocUnsafeSlow(
        2 ** Math.ceil(Math.log2(Math.max(length, minReplayBytes))),
      );
    }
    sent.copy(this.#replay, 0, start, end);
    this.replayLength = length;
  }

  /** Writes the kept request to `out`; answers the position after it. */
  copyReplay(out: Buffer, at: number): number {
    return at + this.#replay.copy(out, at, 0, this.replayLength);
  }
}

/**
 * The request as routes see it. Private fields are not there: only proxies write them, and they are removed. A class, since
 * an object literal with accessors would have a shape of its own on each connection (`benchmarks/proxy/http1.ts`).
 */
class HeadView implements RequestView {
  readonly #head: RequestHead;
  /** What was asked for last. Routes mostly look at one header, and its value is wanted again for `decisions.ts`. */
  #name = "";
  #value: string | undefined;
  readonly #text: RepeatedText = new RepeatedText();
  /** A property, because it is passed around without its object. */
  readonly header: (name: string) => string | undefined;

  constructor(head: RequestHead) {
    this.#head = head;
    this.header = (name) => {
      if (name === this.#name) return this.#value;
      this.#name = name;
      this.#value = isPrivateName(name) ? undefined : this.#read(name);
      return this.#value;
    };
  }

  /** The head is another one now. */
  forget(): void {
    this.#name = "";
  }

  #read(name: string): string | undefined {
    const { fields } = this.#head;
    const at = fields.find(name, 0);
    if (at < 0) return undefined;
    if (fields.find(name, at + 1) >= 0) return fields.get(name);
    const start = fields.spans[4 * at + 2] as number;
    return this.#text.read(fields.bytes, start, fields.spans[4 * at + 3] as number);
  }

  get method(): string {
    return this.#head.method;
  }

  get path(): string {
    return this.#head.path;
  }

  get query(): string {
    return this.#head.query;
  }

  get authority(): string {
    return this.#head.authority;
  }
}
