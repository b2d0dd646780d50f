/**
 * The access log: a line for each request, when its answer has been sent. Names and order of fields are those of Linkerd's access
 * log, with what this proxy decided behind them. Everything in a line is ASCII without control characters, whatever peers send.
 *
 * Left out on purpose: the query, which carries tokens, and all header values but the two that are named.
 */

import { endpointKey } from "../core/model/endpoint.ts";
import { formatIp } from "../core/std/ip.ts";
import { decided } from "./decided.ts";
import { triesOf } from "./decisions.ts";
import type { Exchange } from "./exchange.ts";
import type { Shard } from "./shard.ts";
import { cut, short } from "./short-text.ts";
import { TraceContext, traceIdOf } from "./trace-context.ts";

/** Longer than other texts (`short-text.ts`). */
const maxPathText = 1_024;

export type AccessLogOptions = {
  readonly format: "apache" | "json";
  readonly write: (line: string) => void;
};

/** What is read of a request when it comes, because its bytes are gone when the line is written. */
export type Heard = { userAgent: string; trace: string };

export class AccessLog {
  readonly #options: AccessLogOptions;
  readonly #context: TraceContext = new TraceContext();

  constructor(options: AccessLogOptions) {
    this.#options = options;
  }

  /** A request was read; if its trace begins here, it has begun. */
  hear({ head, heard, trace }: Exchange): void {
    heard.userAgent = head.fields.get("user-agent") ?? "";
    heard.trace = trace === undefined ? traceIdOf(this.#context, head.fields) : trace.id;
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

function nanoseconds(ms: number): number {
  return Math.round(ms * 1_000_000);
}

function ascii(text: string): string {
  return text.replaceAll(
    /[^ -~]/g,
    (one) => String.raw`\u` + one.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}
