/**
 * Gateway API HTTPExternalAuthFilter: somebody else is asked before a request goes on. Whatever is not a clear yes is a no: a
 * service that is away, slow or confused lets nobody in.
 */
import { BodyKind, BodyReader } from "../codec/http1-body.ts";
import {
  authTarget,
  bodyShowing,
  httpVerdict,
  shownHeaders,
} from "../core/decide/external-auth.ts";
import { isPrivateName } from "../core/decide/private-name.ts";
import { endpointKey } from "../core/model/endpoint.ts";
import type { HeaderValue } from "../core/model/filter.ts";
import { formatIp } from "../core/std/ip.ts";
import type { AuthCheck, HeaderChange } from "../core/wire/external-auth.ts";
import { answer } from "./answer-filters.ts";
import type { Asking, AuthAnswer, AuthQuestion } from "./auth-connections.ts";
import type { Exchange, Target } from "./exchange.ts";
import { applyModifier, type PreparedAuth } from "./filters.ts";
import { payloadOf } from "./payload.ts";
import { rescue } from "./rescue.ts";
import { Timer } from "./timer-wheel.ts";

/** An endpoint that is dying, a connection that was closed while it waited, and one that works. */
const maxTries = 3;

/** How much longer than its content a chunked body may be that is collected: sizes of one byte each make it six times. */
const maxFraming = 8;

type Outcome = "answered" | "waiting";

/** Loaded when a first question needs them: with them comes all of protobuf, 4 MiB in each worker. */
type CheckMessages = typeof import("./check-message.ts");

const emptyBody: Buffer = Buffer.alloc(0);

/** A step of `pass-filters.ts`. After a yes `resume` of the exchange's answers is called. */
export function askAuthorization(exchange: Exchange, auth: PreparedAuth): Outcome {
  const { head, downstream } = exchange;
  const announced = head.bodyKind === BodyKind.none ? 0 : head.contentLength;
  const showing = bodyShowing(auth, announced < 0 ? undefined : announced);
  if (showing === "too-large") {
    rescue(exchange, "auth-body");
    return "answered";
  }
  if (showing === "hide") {
    new Question(exchange, auth, undefined).ask();
    return "waiting";
  }
  exchange.detach();
  if (collected(exchange).payloadBytes !== downstream.bodyBytes) {
    refuse(exchange, "the body is on its way already");
    return "answered";
  }
  if (exchange.requestDone || isTooLong(exchange, auth)) return showBody(exchange, auth);
  if (head.expectContinue) invite(exchange);
  exchange.onBody = () => {
    if (exchange.requestDone || isTooLong(exchange, auth)) showBody(exchange, auth);
  };
  exchange.cancelWait = () => {
    exchange.onBody = undefined;
  };
  downstream.goOn();
  return "waiting";
}

/** The body is complete, or too long already. */
function showBody(exchange: Exchange, auth: PreparedAuth): Outcome {
  const { head, bytes, bodyStart, bodyEnd } = exchange;
  exchange.onBody = undefined;
  exchange.cancelWait = undefined;
  if (isTooLong(exchange, auth)) {
    rescue(exchange, "auth-body");
    return "answered";
  }
  new Question(exchange, auth, payloadOf(head.bodyKind, bytes, bodyStart, bodyEnd)).ask();
  return "waiting";
}

function isTooLong({ downstream, bodyStart, bodyEnd }: Exchange, auth: PreparedAuth): boolean {
  const { maxBodyBytes } = auth;
  return (
    downstream.bodyBytes > maxBodyBytes ||
    bodyEnd - bodyStart > maxFraming * maxBodyBytes + maxFramingBytes
  );
}

/** Beside that: the last chunk and its trailers. */
const maxFramingBytes: number = 16 * 1024;

/** The part of the body that is at hand. */
function collected({ head, bytes, bodyStart, bodyEnd }: Exchange): BodyReader {
  const reader = new BodyReader();
  reader.begin(head.bodyKind, head.contentLength);
  reader.take(bytes, bodyStart, bodyEnd);
  return reader;
}

/** RFC 9110 §10.1.1: the client waits to be asked for its body. The next server is not asked for that again. */
function invite({ shard, downstream, requestEdit }: Exchange): void {
  requestEdit.remove("expect");
  downstream.sendScratch(shard.scratch.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1"));
}

class Question {
  readonly #exchange: Exchange;
  readonly #auth: PreparedAuth;
  /** Undefined: it is not shown. */
  readonly #body: Buffer | undefined;
  readonly #tried: Target[] = [];
  readonly #timer: Timer;
  /** Of gRPC. */
  #messages: CheckMessages | undefined;
  #tries = 0;
  #target: Target | undefined;
  #lastFailure = "its backend has no endpoints";

  constructor(exchange: Exchange, auth: PreparedAuth, body: Buffer | undefined) {
    this.#exchange = exchange;
    this.#auth = auth;
    this.#body = body;
    const { wheel, limits } = exchange.shard;
    const { externalAuthTimeoutMs } = limits;
    this.#timer = new Timer(() => this.#expired(externalAuthTimeoutMs));
    wheel.arm(this.#timer, externalAuthTimeoutMs);
  }

  /** Also once more, after a try that reached nobody. */
  ask(): void {
    if (this.#auth.protocol === "http") this.#try(undefined);
    else if (this.#messages !== undefined) this.#try(this.#messages);
    else this.#loadMessages();
  }

  #loadMessages(): void {
    const exchange = this.#exchange;
    let isOver = false;
    exchange.cancelWait = () => {
      exchange.shard.wheel.forget(this.#timer);
      isOver = true;
    };
    void import("./check-message.ts").then((messages) => {
      if (isOver) return;
      exchange.cancelWait = undefined;
      this.#messages = messages;
      this.#try(messages);
    });
  }

  #try(messages: CheckMessages | undefined): void {
    const { shard } = this.#exchange;
    const { group, protocol } = this.#auth;
    const startMs = shard.nowMs();
    const target = group?.pick(startMs, shard.random, this.#tried);
    if (group === undefined || target === undefined) {
      this.#refuse(this.#lastFailure);
      return;
    }
    if (target.open !== undefined) {
      this.#refuse("its backend is a function, which speaks no protocol of authorization");
      return;
    }
    if (protocol === "http" && this.#exchange.head.method === "CONNECT") {
      // The question has the method of the request, and this one would ask for a tunnel to the service.
      this.#refuse("CONNECT can be asked about over gRPC alone");
      return;
    }
    this.#tries++;
    this.#target = target;
    group.begin(target);
    const onAnswer = (heard: AuthAnswer): void => {
      group.end(target);
      if (heard.kind === "answer") group.observe(target, shard.nowMs() - startMs, shard.nowMs());
      this.#heard(target, heard);
    };
    const { authConnections } = shard;
    const asking: Asking =
      messages === undefined
        ? authConnections.askHttp(this.#httpQuestion(target), onAnswer)
        : authConnections.askGrpc(this.#grpcQuestion(target, messages), onAnswer);
    this.#exchange.cancelWait = () => {
      shard.wheel.forget(this.#timer);
      asking.cancel();
      group.end(target);
    };
  }

  #heard(target: Target, heard: AuthAnswer): void {
    const messages = this.#messages;
    this.#exchange.cancelWait = undefined;
    if (heard.kind === "failed") {
      if (heard.again !== "anywhere") this.#tried.push(target);
      this.#lastFailure = `${endpointKey(target.endpoint)}: ${heard.reason}`;
      if (heard.again !== "no" && this.#tries < maxTries) this.ask();
      else this.#refuse(this.#lastFailure);
      return;
    }
    this.#exchange.shard.wheel.forget(this.#timer);
    if (messages === undefined) this.#heardHttp(heard);
    else this.#heardGrpc(heard, messages);
  }

  #heardHttp({ status, headers, body }: Extract<AuthAnswer, { kind: "answer" }>): void {
    const exchange = this.#exchange;
    const verdict = httpVerdict(this.#auth, status, headers);
    if (verdict.kind === "deny") {
      deny(exchange, verdict.status, headers, body);
      return;
    }
    const seen = new Set<string>();
    for (const { name, value } of verdict.headers) {
      if (isPrivateName(name)) continue;
      if (seen.has(name)) exchange.requestEdit.add(name, value);
      else exchange.requestEdit.set(name, value);
      seen.add(name);
    }
    exchange.answers.resume(exchange);
  }

  #heardGrpc(heard: Extract<AuthAnswer, { kind: "answer" }>, messages: CheckMessages): void {
    const exchange = this.#exchange;
    const checked = messages.readCheck(heard);
    if (typeof checked === "string") {
      refuse(exchange, checked);
      return;
    }
    if (checked.kind === "deny") {
      const headers = applyChanges([], checked.headers);
      deny(exchange, checked.status, headers, Buffer.from(checked.body));
      return;
    }
    const names = new Set(effectiveHeaders(exchange).map(({ name }) => name));
    for (const name of checked.remove) if (!isPrivateName(name)) exchange.requestEdit.remove(name);
    for (const change of checked.headers) {
      if (isPrivateName(change.name) || !isWanted(change, names)) continue;
      applyModifier(exchange.requestEdit, modifierOf(change));
    }
    for (const change of checked.responseHeaders) {
      // Whether the response has such a header is not known yet.
      const isFirm = change.how === "set" || change.how === "add";
      if (isFirm && !isPrivateName(change.name))
        exchange.responseModifiers.push(modifierOf(change));
    }
    exchange.answers.resume(exchange);
  }

  /** Others are asked before one that is so slow. */
  #expired(timeoutMs: number): void {
    const nowMs = this.#exchange.shard.nowMs();
    if (this.#target !== undefined) this.#auth.group?.observe(this.#target, timeoutMs, nowMs);
    this.#refuse(`it took longer than ${timeoutMs} ms`);
  }

  #refuse(reason: string): void {
    this.#exchange.shard.wheel.forget(this.#timer);
    refuse(this.#exchange, reason);
  }

  #httpQuestion(target: Target): AuthQuestion {
    const { head } = this.#exchange;
    const body = this.#body ?? emptyBody;
    const headers = [
      { name: "host", value: head.authority },
      ...shownHeaders(this.#auth, effectiveHeaders(this.#exchange)),
      ...(head.bodyKind === BodyKind.none
        ? []
        : [{ name: "content-length", value: String(body.length) }]),
    ];
    const path = authTarget(this.#auth, targetOf(this.#exchange));
    return { target, method: head.method, path, headers, body };
  }

  #grpcQuestion(target: Target, messages: CheckMessages): AuthQuestion {
    const { head, origin, dialedPort } = this.#exchange;
    const body = this.#body ?? emptyBody;
    const check: AuthCheck = {
      source: { ip: formatIp(origin.peer.ip), port: 0, principal: origin.peer.identity ?? "" },
      destination: { ip: "", port: dialedPort, principal: "" },
      id: "",
      method: head.method,
      headers: shownHeaders(this.#auth, effectiveHeaders(this.#exchange)),
      path: targetOf(this.#exchange),
      host: head.authority,
      scheme: "http",
      protocol: `HTTP/1.${head.versionMinor}`,
      bodyBytes: this.#body?.length ?? announcedBytes(this.#exchange),
      body: Uint8Array.from(body),
    };
    const timeout = `${this.#exchange.shard.limits.externalAuthTimeoutMs}m`;
    return {
      target,
      method: "POST",
      path: messages.checkPath,
      headers: [...grpcHeaders, { name: "grpc-timeout", value: timeout }],
      body: messages.writeCheck(check),
    };
  }
}

const grpcHeaders: readonly HeaderValue[] = [
  { name: "content-type", value: "application/grpc" },
  { name: "te", value: "trailers" },
];

function refuse(exchange: Exchange, reason: string): void {
  rescue(exchange, "no-verdict", {
    reason: `the authorization service gave no verdict: ${reason}`,
  });
}

/** These frame the answer of the service, or end with its connection. */
const ownHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function deny(
  exchange: Exchange,
  status: number,
  headers: readonly HeaderValue[],
  body: Buffer,
): void {
  const kept = headers.filter(({ name }) => !ownHeaders.has(name) && !isPrivateName(name));
  answer(exchange, {
    status,
    headers: kept.map(({ name, value }) => [name, value] as const),
    body,
  });
}

function applyChanges(
  headers: readonly HeaderValue[],
  changes: readonly HeaderChange[],
): readonly HeaderValue[] {
  let changed = headers;
  for (const { name, value, how } of changes) {
    const others = changed.filter((one) => one.name !== name);
    const isThere = others.length < changed.length;
    if ((how === "add-if-absent" && isThere) || (how === "set-if-present" && !isThere)) continue;
    changed = [...(how === "add" ? changed : others), { name, value }];
  }
  return changed;
}

function isWanted({ name, how }: HeaderChange, present: ReadonlySet<string>): boolean {
  if (how === "add-if-absent") return !present.has(name);
  return how !== "set-if-present" || present.has(name);
}

function modifierOf({ name, value, how }: HeaderChange): Parameters<typeof applyModifier>[1] {
  const one = [{ name, value }];
  return how === "add" ? { set: [], add: one, remove: [] } : { set: one, add: [], remove: [] };
}

/** The headers as the filters so far have left them. Names in lower case. */
function effectiveHeaders({ head, requestEdit }: Exchange): readonly HeaderValue[] {
  const { fields } = head;
  const headers: HeaderValue[] = [];
  requestEdit.resolve(fields);
  for (let i = 0; i < fields.count; i++) {
    if (!requestEdit.isDropped(i)) headers.push({ name: fields.name(i), value: fields.value(i) });
  }
  for (let i = 0; i < requestEdit.count; i++) {
    headers.push({ name: requestEdit.names[i] ?? "", value: requestEdit.values[i] ?? "" });
  }
  return headers;
}

/** As the client asked, whatever rewrites there are: it is the client that is judged. */
function targetOf({ head }: Exchange): string {
  return head.hasQuery ? `${head.path}?${head.query}` : head.path;
}

function announcedBytes({ head }: Exchange): number | undefined {
  if (head.bodyKind === BodyKind.none) return 0;
  return head.contentLength < 0 ? undefined : head.contentLength;
}
