import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  everyPath,
  everyRequest,
  type HostMatch,
  type HttpMatch,
  type PathMatch,
  type RpcMatch,
  type RpcName,
  type ValueMatch,
} from "../model/match.ts";
import { matchOfRpc } from "../model/rpc-match.ts";
import { isToken } from "../std/field.ts";
import { report, type Trace, under } from "./decode.ts";
import type {
  HeaderMatchSchema,
  HttpRouteMatch,
  HttpRouteMatchSchema,
  QueryParamMatchSchema,
  HeaderMatch as WireHeaderMatch,
  HostMatch as WireHostMatch,
  PathMatch as WirePathMatch,
  QueryParamMatch as WireQueryParamMatch,
} from "./gen/linkerd/http_route_pb.ts";
import {
  type HttpMethod,
  HttpMethod_Registered,
  type HttpMethodSchema,
} from "./gen/linkerd/http_types_pb.ts";
import type { SniMatch as WireSniMatch } from "./gen/linkerd/tls_route_pb.ts";
import type { RpcMatchSchema, RpcMatch as WireRpcMatch } from "./gen/weft/extensions_pb.ts";
import { fromOctets, toOctets } from "./octets.ts";

export function toWireMatch(match: HttpMatch): MessageInitShape<typeof HttpRouteMatchSchema> {
  const { path, headers, queryParams, method, condition, rpc, unreadable } = match;
  if (condition !== undefined && rpc === undefined)
    throw new Error("The condition of a match has no message");
  return {
    // A match that was not understood is not sent on as if it was.
    path: unreadable === undefined ? { kind: { case: path.kind, value: path.value } } : {},
    headers: headers.map(toWireHeader),
    queryParams: queryParams.map(toWireQueryParam),
    ...(method === "" ? {} : { method: toWireMethod(method) }),
    ...(rpc === undefined ? {} : { rpc: toWireRpc(rpc) }),
  };
}

/** Without matches a rule takes every request. */
export function fromWireMatches(
  matches: readonly HttpRouteMatch[],
  trace: Trace,
): readonly HttpMatch[] {
  if (matches.length === 0) return [everyRequest];
  return matches.map((match, at) => fromWireMatch(match, under(trace, "matches", at)));
}

/** Criteria that could not be read are left out, and the match says so (see HttpMatch). */
export function fromWireMatch(match: HttpRouteMatch, trace: Trace): HttpMatch {
  const reasons: string[] = [];
  const path = match.path === undefined ? everyPath : fromWirePath(match.path);
  if (path === undefined) reasons.push(report(under(trace, "path"), "has no kind"));
  const headers = fromWireHeaders(match.headers, trace, reasons);
  const queryParams = fromWireList(match.queryParams, fromWireQueryParam, {
    trace,
    field: "queryParams",
    reasons,
  });
  const method = match.method === undefined ? "" : fromWireMethod(match.method);
  if (method === undefined) {
    reasons.push(report(under(trace, "method"), "is not a method of HTTP"));
  }
  const asHttp = { path: path ?? everyPath, headers, queryParams, method: method ?? "" };
  return {
    ...(match.rpc === undefined ? asHttp : matchOfRpc(fromWireRpc(match.rpc), headers)),
    ...(reasons.length === 0 ? {} : { unreadable: reasons.join("; ") }),
  };
}

export function toWireRpc({ service, method }: RpcMatch): MessageInitShape<typeof RpcMatchSchema> {
  return {
    ...(service.kind === "regex" ? { serviceRegex: service.value } : { service: service.value }),
    ...(method.kind === "regex" ? { methodRegex: method.value } : { method: method.value }),
  };
}

export function fromWireRpc(message: WireRpcMatch): RpcMatch {
  return {
    service: rpcName(message.service, message.serviceRegex),
    method: rpcName(message.method, message.methodRegex),
  };
}

export function rpcName(exact: string, regex: string): RpcName {
  if (regex !== "") return { kind: "regex", value: regex };
  return exact === "" ? { kind: "any", value: "" } : { kind: "exact", value: exact };
}

/** What every match of headers has; `reasons` says what could not be read. */
export function fromWireHeaders(
  headers: readonly WireHeaderMatch[],
  trace: Trace,
  reasons: string[],
): readonly ValueMatch[] {
  return fromWireList(headers, fromWireHeader, { trace, field: "headers", reasons });
}

type HostInit = {
  readonly match:
    | { case: "exact"; value: string }
    | { case: "suffix"; value: { reverseLabels: string[] } };
};

export function toWireHost({ kind, value }: HostMatch): HostInit {
  return kind === "exact"
    ? { match: { case: "exact", value } }
    : { match: { case: "suffix", value: { reverseLabels: value.split(".").reverse() } } };
}

/** Undefined: one of them could not be read, so that nobody knows whose requests the route takes. */
export function fromWireHosts(hosts: readonly WireHostMatch[], trace: Trace): ReadNames {
  return fromWireNames(hosts, under(trace, "hosts"));
}

type ReadNames = {
  readonly hosts: readonly HostMatch[];
  readonly unreadable: string | undefined;
};

/** Server names of TLS are matched alike. */
export function fromWireNames(
  names: readonly (WireHostMatch | WireSniMatch)[],
  trace: Trace,
): ReadNames {
  const read: HostMatch[] = [];
  for (const [at, { match }] of names.entries()) {
    const host = fromWireHost(match);
    if (host === undefined) {
      const path = `${trace.path}[${at}]`;
      const reason = report({ ...trace, path }, "is neither a name nor a suffix");
      return { hosts: [], unreadable: reason };
    }
    read.push(host);
  }
  return { hosts: read, unreadable: undefined };
}

function fromWireHost(match: (WireHostMatch | WireSniMatch)["match"]): HostMatch | undefined {
  switch (match.case) {
    case "exact":
      return match.value === "" ? undefined : { kind: "exact", value: match.value.toLowerCase() };
    case "suffix": {
      const labels = match.value.reverseLabels;
      if (labels.length === 0 || labels.some((label) => label === "" || label.includes("."))) {
        return undefined;
      }
      return { kind: "suffix", value: labels.toReversed().join(".").toLowerCase() };
    }
    case undefined:
      return undefined;
  }
}

function fromWirePath({ kind }: WirePathMatch): PathMatch | undefined {
  return kind.case === undefined ? undefined : { kind: kind.case, value: kind.value };
}

export function toWireHeader({
  name,
  kind,
  value,
}: ValueMatch): MessageInitShape<typeof HeaderMatchSchema> {
  return kind === "exact"
    ? { name, value: { case: "exact", value: toOctets(value) } }
    : { name, value: { case: "regex", value } };
}

function fromWireHeader({ name, value }: WireHeaderMatch): ValueMatch | undefined {
  if (!isToken(name)) return undefined;
  switch (value.case) {
    case "exact":
      return { name: name.toLowerCase(), kind: "exact", value: fromOctets(value.value) };
    case "regex":
      return { name: name.toLowerCase(), kind: "regex", value: value.value };
    case undefined:
      return undefined;
  }
}

function toWireQueryParam({
  name,
  kind,
  value,
}: ValueMatch): MessageInitShape<typeof QueryParamMatchSchema> {
  return { name, value: { case: kind, value } };
}

function fromWireQueryParam({ name, value }: WireQueryParamMatch): ValueMatch | undefined {
  if (name === "" || value.case === undefined) return undefined;
  return { name, kind: value.case, value: value.value };
}

type ListContext = {
  readonly trace: Trace;
  readonly field: string;
  readonly reasons: string[];
};

/** Gateway API HTTPHeaderMatch, HTTPQueryParamMatch: of entries with one name the first counts. */
function fromWireList<T>(
  values: readonly T[],
  read: (value: T) => ValueMatch | undefined,
  { trace, field, reasons }: ListContext,
): readonly ValueMatch[] {
  const byName = new Map<string, ValueMatch>();
  for (const [at, value] of values.entries()) {
    const match = read(value);
    if (match === undefined) {
      reasons.push(report(under(trace, field, at), "has no usable name or no value"));
    } else if (byName.has(match.name)) {
      report(under(trace, field, at), `repeats ${JSON.stringify(match.name)} and is ignored`);
    } else {
      byName.set(match.name, match);
    }
  }
  return [...byName.values()];
}

const registeredByName: ReadonlyMap<string, HttpMethod_Registered> = new Map(
  Object.entries(HttpMethod_Registered),
);
const registeredByNumber: ReadonlyMap<HttpMethod_Registered, string> = new Map(
  Array.from(registeredByName, ([name, number]) => [number, name]),
);

export function toWireMethod(method: string): MessageInitShape<typeof HttpMethodSchema> {
  const registered = registeredByName.get(method);
  return registered === undefined
    ? { type: { case: "unregistered", value: method } }
    : { type: { case: "registered", value: registered } };
}

export function fromWireMethod({ type }: HttpMethod): string | undefined {
  switch (type.case) {
    case "registered":
      return registeredByNumber.get(type.value);
    case "unregistered":
      return isToken(type.value) ? type.value : undefined;
    case undefined:
      return undefined;
  }
}
