/** What is different for requests of gRPC, which are those of HTTP/2 with its content type ("gRPC over HTTP2", PROTOCOL-HTTP2.md). */
import type { RequestHead } from "../codec/http1-head.ts";
import type { Exchange } from "./exchange.ts";

const contentType = "application/grpc";

const plus = 0x2b;
const semicolon = 0x3b;

/** Digits and a unit, eight digits at most. */
const timeoutPattern = /^([0-9]{1,8})([HMSmun])$/;

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Whether a request that came over HTTP/2 is one of gRPC. gRPC-Web, whose type begins alike, has its trailers in the content. */
export function asksGrpc(head: RequestHead): boolean {
  const type = head.fields.get("content-type");
  return type !== undefined && isGrpcType(type) && head.method === "POST";
}

export function isGrpcType(type: string): boolean {
  if (!type.startsWith(contentType)) return false;
  const next = type.charCodeAt(contentType.length);
  return Number.isNaN(next) || next === plus || next === semicolon;
}

/** With `grpcFields` in a head without content it is what gRPC calls Trailers-Only. */
export const grpcTypeField: readonly [string, string] = ["content-type", contentType];

export function grpcFields(code: number, text: string): readonly (readonly [string, string])[] {
  return [
    ["grpc-status", `${code}`],
    ["grpc-message", grpcMessage(text)],
  ];
}

/** How long the client waits, from when its request came; 0: it has not said. A deadline that has passed already is the shortest. */
export function grpcTimeoutMs(exchange: Exchange): number {
  if (!exchange.isGrpc) return 0;
  const match = timeoutPattern.exec(exchange.head.fields.get("grpc-timeout") ?? "");
  if (match === null) return 0;
  return Math.max(Math.ceil(Number(match[1]) * (unitMs[match[2] ?? ""] ?? 0)), 1);
}

/** A status as text; undefined: it is none. */
export function grpcStatusOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,3}$/.test(text) ? Number(text) : undefined;
}

/** Percent-encoded UTF-8 but for visible ASCII without the percent sign itself ("gRPC over HTTP2", Status-Message). */
function grpcMessage(text: string): string {
  const bytes = Buffer.from(text, "utf8");
  let message = "";
  for (const byte of bytes) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    message += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return message;
}
