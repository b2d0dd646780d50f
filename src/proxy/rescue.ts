/**
 * The one place where a failure becomes a status. Each failure has a row: what the client is told, whether its connection
 * goes on, and under which name it is counted.
 */
import { writeAnswer } from "../codec/http1-write.ts";
import { grpcCode } from "../core/model/grpc-status.ts";
import { toFieldText } from "../core/std/field.ts";
import { decisionHeader, tellsDecision } from "./decision-header.ts";
import type { Exchange } from "./exchange.ts";
import { grpcFields, grpcStatusOf, grpcTypeField } from "./grpc.ts";

export type ErrorCode =
  | "bad-request"
  | "head-timeout"
  | "body-timeout"
  | "bad-destination"
  | "foreign-scheme"
  | "bad-client-response"
  | "no-route"
  | "bad-route"
  | "unauthorized"
  | "unsupported-protocol"
  | "no-policy"
  | "discovery-timeout"
  | "discovery-overload"
  | "unknown-destination"
  | "no-backend"
  | "bad-backend"
  | "no-endpoints"
  | "no-identity"
  | "wrong-identity"
  | "connect-failed"
  | "connect-timeout"
  | "upstream-closed"
  | "bad-response"
  | "request-timeout"
  | "response-timeout"
  | "try-timeout"
  | "idle-timeout"
  | "fail-fast"
  | "retry-budget"
  | "backend-overload"
  | "overload"
  | "shutting-down"
  | "rate-limited"
  | "no-verdict"
  | "auth-body"
  | "injected";

type Row = {
  readonly status: number;
  /** The connection ends: it is unclear where the next request begins, or the client had better go elsewhere. */
  readonly closes: boolean;
  /** The label `error` of `inbound_http_errors_total` and `outbound_http_errors_total`; Linkerd's where it has one. */
  readonly label: string;
  /** When nobody can say more. */
  readonly reason: string;
};

export const rows: Readonly<Record<ErrorCode, Row>> = {
  "bad-request": row(400, "bad request", "the request is malformed", true),
  "head-timeout": row(408, "head timeout", "the request head did not arrive in time", true),
  "body-timeout": row(408, "body timeout", "the request body did not arrive in time", true),
  "bad-destination": row(400, "bad destination", "name the destination in the target or in Host"),
  "foreign-scheme": row(501, "unsupported", "only http:// targets are supported"),
  "bad-client-response": row(502, "i/o", "the response cannot be expressed in HTTP/1.0", true),
  "no-route": row(404, "no route", "no route matches this request"),
  "bad-route": row(500, "bad route", "a route that may match this request cannot be judged"),
  unauthorized: row(403, "unauthorized", "no authorization admits this request"),
  "unsupported-protocol": row(501, "unsupported", "this port does not speak HTTP/1"),
  "no-policy": row(503, "no policy", "the policy of this port has not arrived yet"),
  "discovery-timeout": row(504, "discovery timeout", "the policy service did not answer in time"),
  "discovery-overload": row(503, "loadshed", "too many requests wait for the policy service"),
  "unknown-destination": row(502, "unknown destination", "no such destination"),
  "no-backend": row(500, "no backend", "no backend of the rule takes traffic"),
  "bad-backend": row(500, "bad backend", "the backend of the rule cannot be used"),
  "no-endpoints": row(503, "no endpoints", "the backend has no endpoints"),
  "no-identity": row(503, "no identity", "this proxy has no certificate yet"),
  "wrong-identity": row(502, "identity required", "the endpoint is not who it must be"),
  "connect-failed": row(502, "i/o", "the endpoint cannot be reached"),
  "connect-timeout": row(504, "connect timeout", "the endpoint did not answer in time"),
  "upstream-closed": row(502, "i/o", "the endpoint closed the connection before it answered"),
  "bad-response": row(502, "bad response", "the endpoint sent a malformed response"),
  "request-timeout": row(504, "response timeout", "the request took longer than its rule allows"),
  "response-timeout": row(504, "response timeout", "the response took longer than its rule allows"),
  "try-timeout": row(504, "response timeout", "the endpoint took longer than the rule allows"),
  "idle-timeout": row(504, "idle timeout", "nothing came for longer than the rule allows"),
  "fail-fast": row(503, "failfast", "every endpoint of the backend is out because of its failures"),
  "retry-budget": row(503, "retry budget", "the request failed and the retry budget is used up"),
  "backend-overload": row(503, "loadshed", "too many requests wait for the backend"),
  overload: row(503, "loadshed", "too many requests are in flight"),
  "shutting-down": row(503, "shutdown", "the proxy in the way is shutting down"),
  "rate-limited": row(429, "rate limited", "too many requests"),
  "no-verdict": row(403, "external auth", "the authorization service gave no verdict"),
  "auth-body": row(
    413,
    "external auth",
    "the body is longer than the authorization service may see",
  ),
  injected: row(500, "injected", "the rule fails this request"),
};

/** What of an explanation goes into the header. */
const maxReasonLength = 1_024;

export type RescueOptions = {
  /** For people: what is wrong, and where. */
  readonly reason?: string;
  /** In place of the row's status, where the cause knows better (a refused head, an injected failure). */
  readonly status?: number;
  /** Tells the client when to come again (RFC 9110 §10.2.3). */
  readonly retryAfterSeconds?: number;
  /** What a client of gRPC is told in place of what the row means there. */
  readonly grpcStatus?: number | undefined;
};

/** Linkerd's codes for its own answers, by their status, and one for heads that are too long; anything else is `INTERNAL`. */
const grpcCodes: ReadonlyMap<number, number> = new Map([
  [403, grpcCode.permissionDenied],
  [404, grpcCode.notFound],
  [413, grpcCode.resourceExhausted],
  [429, grpcCode.resourceExhausted],
  [431, grpcCode.resourceExhausted],
  [501, grpcCode.unimplemented],
  [502, grpcCode.unavailable],
  [503, grpcCode.unavailable],
  [504, grpcCode.deadlineExceeded],
]);

/** Linkerd: FAILED_PRECONDITION for what a rule about HTTP injects on its way out. */
const injectedCode = 9;

function grpcCodeFor(exchange: Exchange, code: ErrorCode, options: RescueOptions): number {
  if (options.grpcStatus !== undefined) return options.grpcStatus;
  // Gateway API GRPCRouteRule, and what clients of gRPC make of a 404.
  if (code === "no-route") return grpcCode.unimplemented;
  if (code === "injected" && exchange.origin.direction === "outbound") return injectedCode;
  return grpcCodes.get(options.status ?? rows[code].status) ?? grpcCode.internal;
}

/** Ends an exchange by an answer of this proxy, or by ending the connection when part of another answer is out. */
export function rescue(exchange: Exchange, code: ErrorCode, options: RescueOptions = {}): void {
  const { status, label, closes, reason } = rows[code];
  exchange.shard.countError(exchange.origin.direction, label);
  const text = toFieldText(options.reason ?? reason, maxReasonLength);
  exchange.decision.failed(code, text);
  const { downstream, resetCode, responseStarted } = exchange;
  downstream.dropUpstream();
  const grpc = exchange.isGrpc ? grpcFields(grpcCodeFor(exchange, code, options), text) : [];
  if (responseStarted) {
    // A client of HTTP/2 is told by which code the endpoint ended the stream, if it has.
    const isTold = grpc.length > 0 && resetCode === undefined && downstream.endWithTrailers(grpc);
    if (!isTold) downstream.reset();
    return;
  }
  const headers: LocalAnswer["headers"] = [["l5d-proxy-error", text], ...retryAfter(options)];
  if (grpc.length > 0) {
    const fields = [...headers, grpcTypeField, ...grpc];
    answerLocally(exchange, { status: 200, headers: fields, body: "", closes });
    return;
  }
  answerLocally(exchange, {
    status: finalStatus(options.status ?? status),
    headers: [...headers, ["content-type", "text/plain"]],
    body: `${text}\n`,
    closes,
  });
}

function retryAfter({ retryAfterSeconds }: RescueOptions): LocalAnswer["headers"] {
  return retryAfterSeconds === undefined ? [] : [["retry-after", `${retryAfterSeconds}`]];
}

export type LocalAnswer = {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string | Buffer;
  readonly closes: boolean;
};

/** Answers in place of a backend. */
export function answerLocally(exchange: Exchange, answer: LocalAnswer): void {
  const { shard, downstream } = exchange;
  // What is left of an unread request body would be taken for the next request.
  exchange.closes ||= answer.closes || !exchange.requestDone || shard.draining;
  const nowMs = shard.nowMs();
  exchange.decision.answered(answer.status, nowMs);
  exchange.decision.responseBytes = Buffer.byteLength(answer.body);
  const { headers } = answer;
  const end = writeAnswer(shard.scratch, 0, {
    status: answer.status,
    reason: phrases.get(answer.status) ?? "",
    headers: tellsDecision(exchange)
      ? [...headers, [decisionHeader, shard.decisions.idOf(exchange)]]
      : headers,
    body: answer.body,
    close: exchange.closes,
    omitBody: exchange.readable && exchange.head.method === "HEAD",
  });
  if (end < 0) throw new Error("Made an answer that is larger than a buffer");
  const code = headers.find(([name]) => name === "grpc-status")?.[1];
  const grpcStatus = grpcStatusOf(code);
  if (exchange.trace !== undefined) exchange.trace.grpcStatus = grpcStatus ?? -1;
  exchange.route?.response(answer.status, nowMs - exchange.startedMs, grpcStatus);
  exchange.responseStarted = true;
  downstream.sendScratch(end);
  downstream.finish();
}

/** A policy may name any number; an answer must be a final one. */
function finalStatus(status: number): number {
  return Number.isInteger(status) && status >= 200 && status <= 599 ? status : 500;
}

/** RFC 9110 §15. Clients do not read them, people do. */
const phrases: ReadonlyMap<number, string> = new Map([
  [301, "Moved Permanently"],
  [302, "Found"],
  [303, "See Other"],
  [307, "Temporary Redirect"],
  [308, "Permanent Redirect"],
  [400, "Bad Request"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [408, "Request Timeout"],
  [413, "Content Too Large"],
  [414, "URI Too Long"],
  [429, "Too Many Requests"],
  [431, "Request Header Fields Too Large"],
  [500, "Internal Server Error"],
  [501, "Not Implemented"],
  [502, "Bad Gateway"],
  [503, "Service Unavailable"],
  [504, "Gateway Timeout"],
  [505, "HTTP Version Not Supported"],
]);

function row(status: number, label: string, reason: string, closes: boolean = false): Row {
  return { status, label, reason, closes };
}
