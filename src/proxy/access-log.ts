/**
 * The access log: a line for each request, when its answer has been sent. Names and order of fields are those of Linkerd's access
 * log, with what this proxy decided behind them. Everything in a line is ASCII without control characters, whatever peers send.
 *
 * Left out on purpose: the query, which carries tokens, and all header values but the two that are named.
 */

import { noRoute } from "../core/decide/find-route.ts";
import { endpointKey } from "../core/model/endpoint.ts";
import { describeMeta, type Meta } from "../core/model/meta.ts";
import { formatIp } from "../core/std/ip.ts";
import { triesOf } from "./decisions.ts";
import type { Exchange } from "./exchange.ts";
import type { Shard } from "./shard.ts";

/** Texts are cut, so that a line is never longer than can be written in one piece (`edge/telemetry/line-writer.ts`). */
const maxPathText = 1_024;
const maxText = 256;

/** W3C Trace Context §3.2.2.3, version 00 and those that begin like it. */
const traceparent = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

export type AccessLogOptions = {
  readonly format: "apache" | "json";
  readonly write: (line: string) => void;
};

/** What is read of a request when it comes, because its bytes are gone when the line is written. */
export type Heard = { userAgent: string; trace: string };

export class AccessLog {
  readonly #options: AccessLogOptions;

  constructor(options: AccessLogOptions) {
    this.#options = options;
  }

  /** A request was read. */
  hear({ head, heard }: Exchange): void {
    heard.userAgent = head.fields.get("user-agent") ?? "";
    heard.trace = traceparent.exec(head.fields.get("traceparent") ?? "")?.[1] ?? "";
  }

  /** A request is over, and its decision has been recorded. */
  write(exchange: Exchange): void {
    const { format, write } = this.#options;
    write(format === "json" ? jsonLine(exchange) : apacheLine(exchange));
  }
}

function jsonLine(exchange: Exchange): string {
  const { shard, origin, readable, head, decision, heard, startedMs, readyMs, target } = exchange;
  const { identity, ip } = origin.peer;
  const line = {
    "client.addr": formatIp(ip),
    "client.id": identity ?? "",
    timestamp: startOf(exchange).toISOString(),
    method: readable ? short(head.method) : "",
    uri: readable ? cut(head.path, maxPathText) : "",
    version: readable ? `HTTP/1.${head.versionMinor}` : "",
    trace_id: readable ? heard.trace : "",
    request_bytes: exchange.downstream.bodyBytes,
    status: decision.status,
    response_bytes: decision.responseBytes,
    total_ns: nanoseconds(shard.nowMs() - startedMs),
    processing_ns: nanoseconds(readyMs - startedMs),
    user_agent: readable ? short(heard.userAgent) : "",
    host: readable ? short(head.authority) : "",
    direction: origin.direction,
    decision_id: shard.decisions.idOf(exchange),
    ...decided(exchange),
    endpoint: target === undefined ? "" : endpointKey(target.endpoint),
    tries: triesOf(exchange),
    error: decision.code,
    reason: short(decision.reason),
  };
  return `${ascii(JSON.stringify(line))}\n`;
}

type Decided = {
  readonly policy: string;
  readonly route: string;
  readonly rule: number;
  readonly authorization: string;
  readonly backend: string;
};

const undecided: Decided = { policy: "", route: "", rule: -1, authorization: "", backend: "" };

/** Names of what decided, from the tables that decided. */
function decided({ decision, choice, rule }: Exchange): Decided {
  const policy = decision.edition?.policy;
  if (policy === undefined) return undecided;
  const { entries, rules, routes } = policy.table.http;
  const place = decision.found > noRoute ? rules[entries[decision.found]?.rule ?? -1] : undefined;
  const route = { route: nameOf(routes[place?.route ?? -1]?.meta), rule: place?.index ?? -1 };
  if (policy.direction === "inbound") {
    const { kind, name } = policy.table.server;
    const authorization = nameOf(policy.table.authorizations[decision.admitted]?.meta);
    return { ...undecided, ...route, policy: short(`${kind} ${name}`), authorization };
  }
  const chosen = choice === undefined ? -1 : (rule?.choices.indexOf(choice) ?? -1);
  const backend = policy.table.backends[rule?.rule.choices[chosen]?.backend ?? -1]?.meta;
  return { ...undecided, ...route, policy: nameOf(policy.table.parent), backend: nameOf(backend) };
}

/** The common log format: client, identity, user, time, request line, status, bytes; and the id of the decision behind them. */
function apacheLine(exchange: Exchange): string {
  const { shard, origin, readable, head, decision } = exchange;
  const line = readable
    ? `${short(head.method)} ${cut(head.path, maxPathText)} HTTP/1.${head.versionMinor}`
    : "-";
  const { identity, ip } = origin.peer;
  const id = shard.decisions.idOf(exchange);
  const fields = `${formatIp(ip)} ${identity ?? "-"} - [${apacheTime(startOf(exchange))}]`;
  const quoted = line.replaceAll(/[\\"]/g, String.raw`\$&`);
  return `${ascii(`${fields} "${quoted}" ${decision.status} ${decision.responseBytes} ${id}`)}\n`;
}

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `10/Oct/2000:13:55:36 +0000`. */
function apacheTime(time: Date): string {
  const [day = "", clock = ""] = time.toISOString().split("T");
  const [year = "", month = "", date = ""] = day.split("-");
  return `${date}/${months[Number(month) - 1] ?? ""}/${year}:${clock.slice(0, 8)} +0000`;
}

function startOf({
  shard,
  startedMs,
}: {
  readonly shard: Shard;
  readonly startedMs: number;
}): Date {
  return new Date(shard.wallMs() - (shard.nowMs() - startedMs));
}

function nameOf(meta: Meta | undefined): string {
  return meta === undefined ? "" : short(describeMeta(meta));
}

function nanoseconds(ms: number): number {
  return Math.round(ms * 1_000_000);
}

function short(text: string): string {
  return cut(text, maxText);
}

/** So that the escaped form fits as well: an octet that is not ASCII, or a backslash, takes up to six characters. */
function cut(text: string, limit: number): string {
  let cost = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    cost += code < 0x20 || code > 0x7e ? 6 : code === 0x22 || code === 0x5c ? 2 : 1;
    if (cost > limit) return text.slice(0, at);
  }
  return text;
}

function ascii(text: string): string {
  return text.replaceAll(
    /[^ -~]/g,
    (one) => String.raw`\u` + one.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}
