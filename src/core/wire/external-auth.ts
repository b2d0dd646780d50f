/**
 * The question to Envoy's authorization service and its answer (`envoy.service.auth.v3`). The answer is read so that only a clear yes is one: what cannot be carried out
 * as it is written refuses the request.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { getTextEncoding } from "@bufbuild/protobuf/wire";
import type { HeaderValue } from "../model/filter.ts";
import { isFieldValue, isToken } from "../std/field.ts";
import {
  HeaderValueOption_AppendAction as AppendAction,
  type CheckRequestSchema,
  type CheckResponse,
  type HeaderValueOption,
  type AttributeContext_PeerSchema as PeerSchema,
} from "./gen/envoy/ext_authz_pb.ts";
import { fromOctets, toOctets } from "./octets.ts";

type AuthPeer = {
  /** Empty: not known. */
  readonly ip: string;
  readonly port: number;
  /** The authenticated identity; empty: none. */
  readonly principal: string;
};

/** All strings hold octets, as they came. */
export type AuthCheck = {
  readonly source: AuthPeer;
  readonly destination: AuthPeer;
  readonly id: string;
  readonly method: string;
  /** Lower-case names; only those that may be shown. */
  readonly headers: readonly HeaderValue[];
  /** With the query. */
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly protocol: string;
  /** Length of the whole body; undefined: not known. */
  readonly bodyBytes: number | undefined;
  /** Empty: not shown. */
  readonly body: Uint8Array<ArrayBuffer>;
};

export type HeaderChange = HeaderValue & {
  readonly how: "set" | "add" | "add-if-absent" | "set-if-present";
};

export type CheckAnswer =
  | {
      readonly kind: "allow";
      /** Of the request to the backend. */
      readonly headers: readonly HeaderChange[];
      readonly remove: readonly string[];
      /** Of the response to the client. */
      readonly responseHeaders: readonly HeaderChange[];
    }
  | {
      readonly kind: "deny";
      readonly status: number;
      readonly headers: readonly HeaderChange[];
      readonly body: string;
    };

/** Envoy's, when the answer names none. */
const defaultDenialStatus = 403;

/** A service that changes more headers than a message may have is broken. */
export const maxHeaderChanges = 100;

/** These frame the message or say where it goes; a service that names them is not heeded in that (Envoy ignores them too). */
const fixedHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export function toWireCheck(check: AuthCheck): MessageInitShape<typeof CheckRequestSchema> {
  const { source, destination, id, method, scheme, protocol, body } = check;
  const text = asText(body);
  const http = {
    id: toText(id),
    method,
    headers: joinHeaders(check.headers),
    path: toText(check.path),
    host: toText(check.host),
    scheme,
    size: BigInt(check.bodyBytes ?? -1),
    protocol,
    ...(text === undefined ? { rawBody: body } : { body: text }),
  };
  return {
    attributes: {
      source: toWirePeer(source),
      destination: toWirePeer(destination),
      request: { http },
    },
  };
}

function toWirePeer({ ip, port, principal }: AuthPeer): MessageInitShape<typeof PeerSchema> {
  if (ip === "") return { principal };
  return { principal, address: { socketAddress: { address: ip, portValue: port } } };
}

/** RFC 9110 §5.2. `fromEntries` makes own properties of any name, `__proto__` included. */
function joinHeaders(headers: readonly HeaderValue[]): Record<string, string> {
  const joined = new Map<string, string>();
  for (const { name, value } of headers) {
    const before = joined.get(name);
    const text = toText(value);
    joined.set(name, before === undefined ? text : `${before},${text}`);
  }
  return Object.fromEntries(joined);
}

/** Strings of protobuf are UTF-8, and so are nearly all values; what is not keeps its ASCII, as a replacement character stands for the rest. */
function toText(octets: string): string {
  if (ascii.test(octets)) return octets;
  return getTextEncoding().decodeUtf8(Uint8Array.from(octets, (octet) => octet.charCodeAt(0)));
}

const ascii = /^[\0-\u007f]*$/;

/** Undefined: not UTF-8. */
function asText(body: Uint8Array): string | undefined {
  try {
    return getTextEncoding().decodeUtf8(body, true);
  } catch {
    return undefined;
  }
}

/** `OK` allows, unless the rest of the answer says otherwise. Without a status the answer has to say in another way that it means to allow. */
export function fromWireCheck({ status, httpResponse }: CheckResponse): CheckAnswer {
  const allowed =
    httpResponse.case !== "deniedResponse" &&
    (status === undefined ? httpResponse.case === "okResponse" : status.code === 0);
  if (allowed) {
    if (httpResponse.case !== "okResponse") return allowAsIs;
    const { headers, headersToRemove, responseHeadersToAdd } = httpResponse.value;
    const changes = readChanges(headers);
    const responseChanges = readChanges(responseHeadersToAdd);
    const remove = headersToRemove.map((name) => name.toLowerCase());
    if (changes === undefined || responseChanges === undefined || !remove.every(isNameOrPseudo)) {
      return refusal;
    }
    return {
      kind: "allow",
      headers: changes,
      remove: remove.filter((name) => isToken(name) && !fixedHeaders.has(name)),
      responseHeaders: responseChanges,
    };
  }
  if (httpResponse.case !== "deniedResponse") return refusal;
  const { status: http, headers, body } = httpResponse.value;
  return {
    kind: "deny",
    status: denialStatus(http?.code ?? defaultDenialStatus),
    headers: readChanges(headers) ?? [],
    body,
  };
}

const allowAsIs: CheckAnswer = { kind: "allow", headers: [], remove: [], responseHeaders: [] };

const refusal: CheckAnswer = {
  kind: "deny",
  status: defaultDenialStatus,
  headers: [],
  body: "",
};

/** A refusal must not look like a success or an interim response. */
function denialStatus(code: number): number {
  return code >= 300 && code <= 599 ? code : defaultDenialStatus;
}

function isNameOrPseudo(name: string): boolean {
  return isToken(name.startsWith(":") ? name.slice(1) : name);
}

/** Undefined: one of them cannot be written. */
function readChanges(options: readonly HeaderValueOption[]): readonly HeaderChange[] | undefined {
  if (options.length > maxHeaderChanges) return undefined;
  const changes: HeaderChange[] = [];
  for (const option of options) {
    const name = option.header?.key.toLowerCase() ?? "";
    if (!isNameOrPseudo(name)) return undefined;
    if (name.startsWith(":") || fixedHeaders.has(name)) continue;
    const octets = octetsOf(option);
    if (!isFieldValue(octets)) return undefined;
    changes.push({ name, value: octets, how: manner(option) });
  }
  return changes;
}

function octetsOf({ header }: HeaderValueOption): string {
  if (header === undefined) return "";
  return fromOctets(header.rawValue.length > 0 ? header.rawValue : toOctets(header.value));
}

/** The older `append` goes first when it is there. In this service, other than elsewhere in Envoy, an option that says nothing replaces. */
function manner({ append, appendAction }: HeaderValueOption): HeaderChange["how"] {
  if (append !== undefined) return append ? "add" : "set";
  if (appendAction === AppendAction.ADD_IF_ABSENT) return "add-if-absent";
  return appendAction === AppendAction.OVERWRITE_IF_EXISTS ? "set-if-present" : "set";
}
