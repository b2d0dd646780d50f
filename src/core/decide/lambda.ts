/**
 * A request as the invocation of a function of AWS Lambda, and its answer as a response. The JSON is that of Envoy's `aws_lambda` filter, which is what kgateway's
 * `payloadTransformMode: Envoy` means; answers are also read in the spelling of AWS's own proxies (`statusCode`, `multiValueHeaders`).
 */
import type { LambdaFunction } from "../model/backend.ts";
import type { HeaderValue } from "../model/filter.ts";
import { isToken } from "../std/field.ts";

/** AWS refuses longer payloads: 6 MB for calls that wait for an answer. */
export const maxSyncPayloadBytes = 6_000_000;

/** The smallest limit that AWS has had for calls that do not wait (256 KB) holds in every region. */
export const maxAsyncPayloadBytes = 256_000;

/** As many lines as an HTTP/1.1 message may have at a common server. */
export const maxAnswerHeaders = 100;

/** The function threw or ran out of time. Its answer is a description of the error, which is not for clients. */
export const functionErrorStatus = 502;

export type Invocation = {
  /** `https://host[:port]`. */
  readonly origin: string;
  readonly path: string;
  readonly query: string;
  readonly headers: readonly HeaderValue[];
};

/** AWS Lambda API, `Invoke`. With an account the function is named by its ARN, which also reaches functions of other accounts. */
export function invocationOf(fn: LambdaFunction): Invocation {
  const name =
    fn.accountId === ""
      ? fn.name
      : `arn:${partitionOf(fn.region)}:lambda:${fn.region}:${fn.accountId}:function:${fn.name}`;
  const type = fn.mode === "sync" ? "RequestResponse" : "Event";
  return {
    origin: fn.endpointUrl === "" ? regionOrigin(fn.region) : fn.endpointUrl.replace(/\/+$/, ""),
    path: `/2015-03-31/functions/${encodeURIComponent(name)}/invocations`,
    query: fn.qualifier === "" ? "" : `Qualifier=${encodeURIComponent(fn.qualifier)}`,
    headers: [{ name: "x-amz-invocation-type", value: type }],
  };
}

/** The regions of China and of the US government are worlds of their own. */
function partitionOf(region: string): string {
  if (region.startsWith("cn-")) return "aws-cn";
  return region.startsWith("us-gov-") ? "aws-us-gov" : "aws";
}

function regionOrigin(region: string): string {
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return `https://lambda.${region}.${domain}`;
}

export type LambdaRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** Lower-case names. */
  readonly headers: readonly HeaderValue[];
  readonly body: Uint8Array;
};

/** The payload of an invocation. `decodeUtf8` answers undefined for octets that are not UTF-8. */
export function wrapRequest(
  { method, path, query, headers, body }: LambdaRequest,
  decodeUtf8: (octets: Uint8Array) => string | undefined,
): string {
  const joined = new Map<string, string>();
  for (const { name, value } of headers) {
    const before = joined.get(name);
    joined.set(name, before === undefined ? value : `${before},${value}`);
  }
  const text = isText(joined.get("content-type")) ? decodeUtf8(body) : undefined;
  // `fromEntries` makes own properties of any name, `__proto__` included.
  return JSON.stringify({
    raw_path: query === "" ? path : `${path}?${query}`,
    method,
    headers: Object.fromEntries(joined),
    query_string_parameters: Object.fromEntries(parameters(query)),
    body: text ?? body.toBase64(),
    is_base64_encoded: text === undefined,
  });
}

/** Envoy's list. A body without a type is taken for text, and octets that are no text go as base64 whatever they claim to be. */
function isText(contentType: string | undefined): boolean {
  return (
    contentType === undefined ||
    /^(text\/|application\/(json|xml|javascript)\s*(;|$))/i.test(contentType)
  );
}

/** As they came, without decoding; of several with one name the last counts. Both is Envoy's way. */
function parameters(query: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    if (equals < 0) found.set(pair, "");
    else found.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return found;
}

export type LambdaAnswer =
  | {
      readonly kind: "response";
      readonly status: number;
      readonly headers: readonly HeaderValue[];
      /** Text is to be sent as UTF-8. */
      readonly body: string | Uint8Array;
    }
  /** The function's answer is not what it should be: 502, and the reason for the log. */
  | { readonly kind: "broken"; readonly reason: string };

/** The caller bounds the length of the payload. */
export function unwrapAnswer(payload: string): LambdaAnswer {
  let answer: unknown;
  try {
    answer = JSON.parse(payload);
  } catch {
    return broken("is not JSON");
  }
  if (!isObject(answer)) return broken("is not a JSON object");
  const status = field(answer, "statusCode", "status_code") ?? 200;
  if (!Number.isInteger(status) || Number(status) < 200 || Number(status) > 599) {
    return broken("has a status code that is not a number from 200 to 599");
  }
  const headers = readHeaders(answer);
  if (typeof headers === "string") return broken(headers);
  const body = readBody(answer);
  if (body === undefined) return broken("has a body that is not text, or not the base64 it claims");
  return { kind: "response", status: Number(status), headers, body };
}

function broken(reason: string): LambdaAnswer {
  return { kind: "broken", reason: `the answer of the function ${reason}` };
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The first of two spellings that is there; null is as good as absent. */
function field(answer: JsonObject, camel: string, snake: string): unknown {
  for (const name of [camel, snake]) {
    if (Object.hasOwn(answer, name) && answer[name] !== null) return answer[name];
  }
  return undefined;
}

/** The response is framed anew (RFC 9112 §6), and its connection is ours. */
const droppedHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Values are written as Latin-1, so a character beyond it has no octet. */
const octets = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;

/** A string says what is wrong. `multiValueHeaders` go before `headers` of the same name, as at AWS. */
function readHeaders(answer: JsonObject): readonly HeaderValue[] | string {
  const single = field(answer, "headers", "headers") ?? {};
  const multiple = field(answer, "multiValueHeaders", "multi_value_headers") ?? {};
  const cookies = field(answer, "cookies", "cookies") ?? [];
  if (!isObject(single) || !isObject(multiple)) return "has headers that are not an object";
  if (!Array.isArray(cookies)) return "has cookies that are not a list";
  const lists = new Map<string, readonly unknown[]>();
  for (const [name, value] of Object.entries(single)) lists.set(name.toLowerCase(), [value]);
  for (const [name, values] of Object.entries(multiple)) {
    if (!Array.isArray(values)) return "has multiValueHeaders that are not lists";
    lists.set(name.toLowerCase(), values);
  }
  lists.set("set-cookie", [...(lists.get("set-cookie") ?? []), ...cookies]);
  const headers: HeaderValue[] = [];
  for (const [name, values] of lists) {
    if (droppedHeaders.has(name)) continue;
    for (const value of values) {
      const text = headerText(value);
      if (!isToken(name) || text === undefined) return "has a header that cannot be written";
      if (headers.length === maxAnswerHeaders) return `has more than ${maxAnswerHeaders} headers`;
      headers.push({ name, value: text });
    }
  }
  return headers;
}

/** Functions write numbers and truth values without quotes, and AWS takes them. */
function headerText(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" && octets.test(value) ? value.trim() : undefined;
}

function readBody(answer: JsonObject): string | Uint8Array | undefined {
  const body = field(answer, "body", "body") ?? "";
  if (typeof body !== "string") return undefined;
  if (field(answer, "isBase64Encoded", "is_base64_encoded") !== true) return body;
  try {
    return Uint8Array.fromBase64(body);
  } catch {
    return undefined;
  }
}
