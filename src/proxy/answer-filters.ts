/** Filters that answer in place of a backend. The response filters that the request has met change their answers. */
import { redirectLocation } from "../core/decide/apply-filters.ts";
import { preflight } from "../core/decide/cors.ts";
import type { Cors, DirectResponse, HeaderModifier, Redirect } from "../core/model/filter.ts";
import { grpcCode, grpcCodeOf } from "../core/model/grpc-status.ts";
import { isFieldValue } from "../core/std/field.ts";
import type { Exchange } from "./exchange.ts";
import { grpcFields, grpcTypeField, isGrpcType } from "./grpc.ts";
import { matchedPrefix } from "./request-head.ts";
import { answerLocally, rescue } from "./rescue.ts";

type Header = readonly [string, string];

/** Gateway API HTTPRequestRedirectFilter. */
export function redirect(exchange: Exchange, rule: Redirect): void {
  const { head, dialedPort } = exchange;
  // RFC 9112 §3.2.4: `*` stands for an address without a path. CONNECT names none either.
  const path = head.targetForm === "asterisk" ? "" : head.path;
  const view = { path, query: head.query, authority: head.authority, scheme: "http" as const };
  const redirection = redirectLocation(rule, view, matchedPrefix(exchange), dialedPort);
  if (redirection === undefined || !isFieldValue(redirection.location)) {
    rescue(exchange, "bad-route", { reason: "the redirect of the rule cannot be made" });
    return;
  }
  const { status, location } = redirection;
  answer(exchange, { status, headers: [["location", location]], body: "" });
}

export function answerDirectly(exchange: Exchange, response: DirectResponse): void {
  const { status, body, contentType } = response;
  const headers: readonly Header[] = contentType === "" ? [] : [["content-type", contentType]];
  answer(exchange, { status, headers, body });
}

/** Gateway API HTTPCORSFilter: a preflight request never goes to a backend, whatever the answer is. */
export function answerPreflight(exchange: Exchange, cors: Cors, origin: string): void {
  const { header } = exchange.view;
  const granted = preflight(cors, {
    origin,
    requestedMethod: header("access-control-request-method"),
    requestedHeaders: header("access-control-request-headers"),
  });
  const headers = granted.map(({ name, value }): Header => [name, value]);
  answer(exchange, { status: 204, headers, body: "" });
}

type FilterAnswer = {
  readonly status: number;
  readonly headers: readonly Header[];
  readonly body: string | Buffer;
};

/** Answers in place of a backend, as the filters that the request has met change responses. */
export function answer(exchange: Exchange, { status, headers, body }: FilterAnswer): void {
  const modified = exchange.responseModifiers.reduce(modifyHeaders, headers);
  const given = { status, headers: modified, body };
  const told = exchange.isGrpc && !speaksGrpc(modified) ? asTrailersOnly(given) : given;
  answerLocally(exchange, { ...told, closes: false });
}

function speaksGrpc(headers: readonly Header[]): boolean {
  return headers.some(([name, value]) => name === "content-type" && isGrpcType(value));
}

/** Of the content, what a message may be long. */
const maxMessageLength = 1_024;

/** A client of gRPC reads no status and no content of HTTP: it gets the code that it would take the status for, and the content as its message. */
function asTrailersOnly({ status, headers, body }: FilterAnswer): FilterAnswer {
  const isRedirect = headers.some(([name]) => name === "location");
  // Linkerd: NOT_FOUND, for no client of gRPC follows.
  const code = isRedirect ? grpcCode.notFound : grpcCodeOf(status);
  const said = body.toString("utf8").trim();
  const text = said === "" ? unspoken(status, headers) : said;
  const kept = headers.filter(([name]) => name !== "content-type");
  const fields = grpcFields(code, text.slice(0, maxMessageLength));
  return { status: 200, headers: [...kept, grpcTypeField, ...fields], body: "" };
}

function unspoken(status: number, headers: readonly Header[]): string {
  const [, location] = headers.find(([name]) => name === "location") ?? [];
  return location === undefined
    ? `a rule answers ${status} in place of a backend`
    : `a rule redirects to ${location}, which calls of gRPC do not follow`;
}

/** In the order remove, set, add, as for a response that is passed on. */
function modifyHeaders(
  headers: readonly Header[],
  { remove, set, add }: HeaderModifier,
): readonly Header[] {
  let kept = headers.filter(([name]) => !remove.includes(name));
  for (const { name, value } of set) {
    kept = [...kept.filter(([other]) => other !== name), [name, value]];
  }
  return [...kept, ...add.map(({ name, value }): Header => [name, value])];
}
