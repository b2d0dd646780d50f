/**
 * What a span says: name, attributes and status by OpenTelemetry's stable conventions for HTTP and RPC, and beside them, under `weft.`, what this proxy decided
 * and why. No query, no header but User-Agent.
 */
import { type Attributes, SpanStatusCode } from "@opentelemetry/api";
import {
  ATTR_CLIENT_ADDRESS,
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_REQUEST_METHOD_ORIGINAL,
  ATTR_HTTP_REQUEST_RESEND_COUNT,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_NETWORK_PEER_ADDRESS,
  ATTR_NETWORK_PEER_PORT,
  ATTR_NETWORK_PROTOCOL_VERSION,
  ATTR_RPC_METHOD,
  ATTR_RPC_METHOD_ORIGINAL,
  ATTR_RPC_STATUS_CODE,
  ATTR_RPC_SYSTEM_NAME,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_FULL,
  ATTR_URL_PATH,
  ATTR_URL_SCHEME,
  ATTR_USER_AGENT_ORIGINAL,
  HTTP_REQUEST_METHOD_VALUE_OTHER,
  RPC_SYSTEM_NAME_VALUE_GRPC,
} from "@opentelemetry/semantic-conventions";
import { grpcCode } from "../core/model/grpc-status.ts";
import { codeName } from "../edge/grpc/status.ts";
import { SpanNumber, type SpanReader } from "../thread/spans.ts";

export type SpanFace = {
  readonly name: string;
  readonly attributes: Attributes;
  readonly status: { readonly code: SpanStatusCode; readonly message?: string };
};

/** Those of RFC 9110 and PATCH (RFC 5789), as the conventions list them. */
const knownMethods: ReadonlySet<string> = new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "TRACE",
]);

/** The conventions for gRPC: of a server's answers these are errors of the server. */
const serverErrors: ReadonlySet<number> = new Set([
  grpcCode.unknown,
  grpcCode.deadlineExceeded,
  grpcCode.unimplemented,
  grpcCode.internal,
  grpcCode.unavailable,
  grpcCode.dataLoss,
]);

export function spanFace(span: SpanReader): SpanFace {
  const isServer = span.number(SpanNumber.isServer) === 1;
  const isGrpc = span.number(SpanNumber.isGrpc) === 1;
  const attributes: Attributes = {};
  addCommon(span, attributes);
  if (isServer) addServer(span, attributes);
  else addClient(span, attributes);
  const rpc = isGrpc ? addRpc(span, attributes) : undefined;
  const errorType = errorTypeOf(span, isServer, isGrpc);
  const reason = span.text("reason");
  if (errorType !== "") attributes[ATTR_ERROR_TYPE] = errorType;
  return {
    name: rpc ?? httpName(span, attributes),
    attributes,
    status:
      errorType === ""
        ? { code: SpanStatusCode.UNSET }
        : { code: SpanStatusCode.ERROR, ...(reason === "" ? {} : { message: reason }) },
  };
}

function httpName(span: SpanReader, attributes: Attributes): string {
  const method = attributes[ATTR_HTTP_REQUEST_METHOD];
  const verb = method === HTTP_REQUEST_METHOD_VALUE_OTHER ? "HTTP" : String(method);
  const route = span.text("routePath");
  return route === "" ? verb : `${verb} ${route}`;
}

function addCommon(span: SpanReader, attributes: Attributes): void {
  const method = span.text("method");
  const isKnown = knownMethods.has(method);
  attributes[ATTR_HTTP_REQUEST_METHOD] = isKnown ? method : HTTP_REQUEST_METHOD_VALUE_OTHER;
  if (!isKnown) attributes[ATTR_HTTP_REQUEST_METHOD_ORIGINAL] = method;
  const status = span.number(SpanNumber.status);
  if (status !== 0) attributes[ATTR_HTTP_RESPONSE_STATUS_CODE] = status;
  const isStream = span.number(SpanNumber.isStream) === 1;
  const isOld = span.number(SpanNumber.isHttp10) === 1;
  attributes[ATTR_NETWORK_PROTOCOL_VERSION] = isStream ? "2" : isOld ? "1.0" : "1.1";
  addServerAddress(span.text("authority"), attributes);
  const isOutbound = span.number(SpanNumber.isOutbound) === 1;
  attributes["weft.direction"] = isOutbound ? "outbound" : "inbound";
  attributes["weft.tls"] = span.number(SpanNumber.isTls) === 1;
  addText(attributes, "weft.peer.identity", span.text("peerIdentity"));
  addText(attributes, "weft.error", span.text("error"));
}

function addServer(span: SpanReader, attributes: Attributes): void {
  attributes[ATTR_URL_SCHEME] = "http";
  attributes[ATTR_URL_PATH] = span.text("path");
  attributes[ATTR_CLIENT_ADDRESS] = span.text("peerAddress");
  addText(attributes, ATTR_USER_AGENT_ORIGINAL, span.text("userAgent"));
  addText(attributes, ATTR_HTTP_ROUTE, span.text("routePath"));
  addText(attributes, "weft.policy", span.text("policy"));
  addText(attributes, "weft.route", span.text("route"));
  const rule = span.number(SpanNumber.rule);
  if (rule >= 0) attributes["weft.rule"] = rule;
  addText(attributes, "weft.authorization", span.text("authorization"));
  addText(attributes, "weft.verdict", span.text("verdict"));
  addText(attributes, "weft.decision_id", span.text("decisionId"));
  addTime(attributes, "weft.queue_ms", span.number(SpanNumber.queueMs));
  addText(attributes, "weft.reason", span.text("reason"));
}

function addClient(span: SpanReader, attributes: Attributes): void {
  const path = span.text("path");
  attributes[ATTR_URL_FULL] = `http://${span.text("authority")}${path}`;
  attributes[ATTR_NETWORK_PEER_ADDRESS] = span.text("peerAddress");
  attributes[ATTR_NETWORK_PEER_PORT] = span.number(SpanNumber.peerPort);
  const resends = span.number(SpanNumber.resends);
  if (resends > 0) attributes[ATTR_HTTP_REQUEST_RESEND_COUNT] = resends;
  addTime(attributes, "weft.connect_ms", span.number(SpanNumber.connectMs));
  addTime(attributes, "weft.first_byte_ms", span.number(SpanNumber.firstByteMs));
  addText(attributes, "weft.backend", span.text("backend"));
}

/** Answers the name of the span. A method that nobody knows has none, so that clients cannot make up names without end. */
function addRpc(span: SpanReader, attributes: Attributes): string {
  const code = span.number(SpanNumber.grpcStatus);
  const called = span.text("path").slice(1);
  const isUnknown = code === grpcCode.unimplemented || !/^[^/]+\/[^/]+$/.test(called);
  const method = isUnknown ? "_OTHER" : called;
  attributes[ATTR_RPC_SYSTEM_NAME] = RPC_SYSTEM_NAME_VALUE_GRPC;
  attributes[ATTR_RPC_METHOD] = method;
  if (isUnknown) attributes[ATTR_RPC_METHOD_ORIGINAL] = called;
  if (code >= 0) attributes[ATTR_RPC_STATUS_CODE] = codeName(code);
  return isUnknown ? RPC_SYSTEM_NAME_VALUE_GRPC : method;
}

/** Empty: the span is not one of an error. A denial is no error of the server that denies, and one of the client. */
function errorTypeOf(span: SpanReader, isServer: boolean, isGrpc: boolean): string {
  const error = span.text("error");
  const status = span.number(SpanNumber.status);
  const code = span.number(SpanNumber.grpcStatus);
  if (isGrpc && code >= 0) {
    const isError = isServer ? serverErrors.has(code) : code !== 0;
    return isError ? codeName(code) : "";
  }
  const isRefusal = status >= 400 && status < 500;
  if (isRefusal) return isServer ? "" : String(status);
  if (error !== "") return error;
  return status >= 500 ? String(status) : "";
}

/** `host[:port]`, with IPv6 in brackets (RFC 3986 §3.2.2). */
function addServerAddress(authority: string, attributes: Attributes): void {
  const parts = /^(?:\[(.*)\]|([^:]*))(?::([0-9]+))?$/.exec(authority);
  addText(attributes, ATTR_SERVER_ADDRESS, parts?.[1] ?? parts?.[2] ?? "");
  const port = Number(parts?.[3] ?? 0);
  if (port > 0) attributes[ATTR_SERVER_PORT] = port;
}

/** To the microsecond; less than nothing is no time. */
function addTime(attributes: Attributes, name: string, ms: number): void {
  if (ms >= 0) attributes[name] = Math.round(ms * 1_000) / 1_000;
}

function addText(attributes: Attributes, name: string, text: string): void {
  if (text !== "") attributes[name] = text;
}
