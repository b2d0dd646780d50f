import type {
  HostMatch,
  HttpMatch,
  PathMatch,
  RpcMatch,
  RpcName,
  ValueMatch,
} from "../model/match.ts";
import { matchOfRpc } from "../model/rpc-match.ts";
import {
  everyValue,
  type GrpcMethodMatch,
  type HttpPathMatch,
  type HttpRouteMatch,
  type HttpValueMatch,
} from "../resource/http-match.ts";
import { type Converted, type Problem, unsupported } from "./problem.ts";
import type { ResolveSettings } from "./settings.ts";

const pathKinds: Readonly<Record<HttpPathMatch["type"], PathMatch["kind"]>> = {
  Exact: "exact",
  PathPrefix: "prefix",
  RegularExpression: "regex",
};

/** Matches of one rule. */
export function resolveMatches(
  settings: Pick<ResolveSettings, "checkPattern">,
  matches: readonly HttpRouteMatch[],
): Converted<readonly HttpMatch[]> {
  const problems: Problem[] = [];
  const pattern = (field: string, source: string): string => {
    const reason = settings.checkPattern(source);
    if (reason === undefined) return source;
    problems.push(unsupported(`${field}: the regular expression cannot be used: ${reason}`));
    return everyValue;
  };
  const value = matches.map((match, at): HttpMatch => {
    const field = `matches[${at}]`;
    if (match.rpc !== undefined) {
      const rpc = rpcMatch(match.rpc, (source) => pattern(`${field}.method`, source));
      const headers = match.headers.map((header) =>
        valueMatch(header, (source) => pattern(`${field}.headers`, source)),
      );
      return matchOfRpc(rpc, headers);
    }
    return {
      path: pathMatch(match.path, (source) => pattern(`${field}.path`, source)),
      headers: match.headers.map((header) =>
        valueMatch(header, (source) => pattern(`${field}.headers`, source)),
      ),
      queryParams: match.queryParams.map((param) =>
        valueMatch(param, (source) => pattern(`${field}.queryParams`, source)),
      ),
      method: match.method ?? "",
    };
  });
  return { value, problems };
}

type Checked = (source: string) => string;

function pathMatch({ type, value }: HttpPathMatch, checked: Checked): PathMatch {
  return {
    kind: pathKinds[type],
    value: type === "RegularExpression" ? checked(value) : value,
  };
}

/** Without the dot in front, which Gateway API allows and no path has. */
function rpcMatch({ type, service, method }: GrpcMethodMatch, checked: Checked): RpcMatch {
  const nameOf = (name: string): RpcName => {
    if (name === "") return { kind: "any", value: "" };
    return type === "Exact"
      ? { kind: "exact", value: name }
      : { kind: "regex", value: checked(name) };
  };
  return {
    service: nameOf(type === "Exact" ? service.replace(/^\./, "") : service),
    method: nameOf(method),
  };
}

function valueMatch({ type, name, value }: HttpValueMatch, checked: Checked): ValueMatch {
  return type === "Exact"
    ? { name, kind: "exact", value }
    : { name, kind: "regex", value: checked(value) };
}

/** Gateway API Hostname: `*.example.com` stands for one or more labels in front of the rest. */
export function resolveHosts(hostnames: readonly string[]): readonly HostMatch[] {
  return hostnames.map((host) =>
    host.startsWith("*.")
      ? { kind: "suffix", value: host.slice(2) }
      : { kind: "exact", value: host },
  );
}
