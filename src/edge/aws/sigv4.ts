/**
 * AWS Signature Version 4 by headers, as every service but S3 wants it: the path is encoded once more than it is on the wire, and the payload is signed by its hash.
 */
import { createHash, createHmac } from "node:crypto";
import type { HeaderValue } from "../../core/model/filter.ts";
import type { Secret } from "../../core/std/secret.ts";

type AwsKeys = {
  readonly accessKey: Secret<string>;
  readonly secretKey: Secret<string>;
  /** Empty: the keys are not temporary. */
  readonly sessionToken: Secret<string>;
};

/** A request as it goes out. */
export type UnsignedRequest = {
  readonly method: string;
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
  /** All that is signed; Host has to be among them. Nothing may change them on the way. */
  readonly headers: readonly HeaderValue[];
  /** See `sha256Hex`. */
  readonly bodySha256: string;
};

export type SigningScope = {
  readonly region: string;
  readonly service: string;
  readonly keys: AwsKeys;
  /** Since 1970. AWS refuses a signature that is more than 5 minutes off. */
  readonly nowMs: number;
};

const algorithm = "AWS4-HMAC-SHA256";

export function sha256Hex(body: string | Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}

/** The headers that the request gets in addition. */
export function signV4(request: UnsignedRequest, scope: SigningScope): readonly HeaderValue[] {
  const { keys, region, service } = scope;
  const time = new Date(scope.nowMs).toISOString().replaceAll(/[-:]|\.[0-9]{3}/g, "");
  const date = time.slice(0, 8);
  const added: HeaderValue[] = [{ name: "x-amz-date", value: time }];
  const token = keys.sessionToken.reveal();
  if (token !== "") added.push({ name: "x-amz-security-token", value: token });
  const headers = canonicalHeaders([...request.headers, ...added]);
  const names = headers.map(([name]) => name).join(";");
  const area = `${date}/${region}/${service}/aws4_request`;
  const canonical = [
    request.method,
    canonicalPath(request.path),
    canonicalQuery(request.query),
    ...headers.map(([name, value]) => `${name}:${value}`),
    "",
    names,
    request.bodySha256,
  ].join("\n");
  const text = [algorithm, time, area, sha256Hex(canonical)].join("\n");
  const signature = hmac(signingKey(scope, date), text).toString("hex");
  const credential = `${keys.accessKey.reveal()}/${area}`;
  const authorization = `${algorithm} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return [...added, { name: "authorization", value: authorization }];
}

function signingKey({ keys, region, service }: SigningScope, date: string): Buffer {
  const dateKey = hmac(`AWS4${keys.secretKey.reveal()}`, date);
  return hmac(hmac(hmac(dateKey, region), service), "aws4_request");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** Names in lower case and in order; several values of one name joined in the order in which they are sent; runs of spaces become one. */
function canonicalHeaders(
  headers: readonly HeaderValue[],
): readonly (readonly [name: string, value: string])[] {
  const joined = new Map<string, string>();
  for (const { name, value } of headers) {
    const key = name.toLowerCase();
    const text = value.trim().replaceAll(/ +/g, " ");
    const before = joined.get(key);
    joined.set(key, before === undefined ? text : `${before},${text}`);
  }
  return [...joined].sort(([left], [right]) => compare(left, right));
}

/** RFC 3986 §5.2.4, then one more encoding of what is on the wire: `%20` is signed as `%2520`. */
function canonicalPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "." && segment !== "") kept.push(encode(segment));
  }
  const ends = path.endsWith("/") && kept.length > 0 ? "/" : "";
  return `/${kept.join("/")}${ends}`;
}

/** Sorted by the encoded name, then by the encoded value. */
function canonicalQuery(query: string): string {
  const pairs = query.split("&").filter((pair) => pair !== "");
  return pairs
    .map((pair) => {
      const equals = pair.indexOf("=");
      const name = equals < 0 ? pair : pair.slice(0, equals);
      return [recode(name), recode(equals < 0 ? "" : pair.slice(equals + 1))] as const;
    })
    .sort(
      ([name, value], [other, otherValue]) => compare(name, other) || compare(value, otherValue),
    )
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** By code point, which for encoded text is by octet. */
function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function recode(text: string): string {
  try {
    return encode(decodeURIComponent(text));
  } catch {
    // A percent sign that begins no octet of UTF-8 stands for itself.
    return encode(text);
  }
}

/** Everything but the unreserved characters of RFC 3986 §2.3. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
