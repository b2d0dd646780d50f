/** Limits of HTTP/2 that an operator may change. Those that hold off floods are constants (`codec/http2/protection.ts`). */
import type { EnvReader } from "./env.ts";

export type Http2Settings = {
  readonly maxConcurrentStreams: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly sendStallMs: number;
  readonly keepAliveMs: number;
  readonly keepAliveTimeoutMs: number;
};

export const defaultHttp2Settings: Http2Settings = {
  /** Of one client's connection. What RFC 9113 §6.5.2 calls the least that does not hinder; clients of gRPC open another connection or wait. */
  maxConcurrentStreams: 100,
  /** Of one stream, in either direction, before it has to be taken. Fills 1 Gbit/s at a round trip of 2 ms. */
  streamWindowBytes: 256 * 1024,
  /** Linkerd. Of all streams of a connection together. */
  connectionWindowBytes: 1024 * 1024,
  /** nginx's send_timeout: for a peer that gives no window to a stream that has something to send. */
  sendStallMs: 60_000,
  /** Without a frame for this long a PING asks whether the peer is there. Shorter than what load balancers leave a silent connection. */
  keepAliveMs: 30_000,
  keepAliveTimeoutMs: 10_000,
};

const hourMs = 3_600_000;
/** RFC 9113 §6.9.1. */
const maxWindow = 0x7fff_ffff;
/** A frame of the size that everybody sends has to fit (RFC 9113 §4.2). */
const minStreamWindow = 16_384;
/** RFC 9113 §6.9.2: it begins with 65,535 and can only be made larger. */
const minConnectionWindow = 65_536;
const maxStreams = 1_000_000;

/** Names are Linkerd's, which has most of them once for each side. */
export function readHttp2Settings(env: EnvReader): Http2Settings {
  const d = defaultHttp2Settings;
  return Object.freeze({
    maxConcurrentStreams: env.integer("WEFT_HTTP2_MAX_CONCURRENT_STREAMS", {
      fallback: d.maxConcurrentStreams,
      min: 1,
      max: maxStreams,
    }),
    streamWindowBytes: env.integer("WEFT_HTTP2_INITIAL_STREAM_WINDOW_SIZE", {
      fallback: d.streamWindowBytes,
      min: minStreamWindow,
      max: maxWindow,
    }),
    connectionWindowBytes: env.integer("WEFT_HTTP2_INITIAL_CONNECTION_WINDOW_SIZE", {
      fallback: d.connectionWindowBytes,
      min: minConnectionWindow,
      max: maxWindow,
    }),
    sendStallMs: env.durationMs("WEFT_HTTP2_SEND_STALL_TIMEOUT", {
      fallback: d.sendStallMs,
      min: 1_000,
      max: hourMs,
    }),
    keepAliveMs: env.durationMs("WEFT_HTTP2_KEEP_ALIVE_INTERVAL", {
      fallback: d.keepAliveMs,
      min: 0,
      max: hourMs,
    }),
    keepAliveTimeoutMs: env.durationMs("WEFT_HTTP2_KEEP_ALIVE_TIMEOUT", {
      fallback: d.keepAliveTimeoutMs,
      min: 1_000,
      max: hourMs,
    }),
  });
}
