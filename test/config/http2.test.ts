import test from "ava";
import { defaultHttp2Limits } from "../../src/codec/http2/protection.ts";
import { EnvReader } from "../../src/config/env.ts";
import {
  defaultHttp2Settings,
  type Http2Settings,
  readHttp2Settings,
} from "../../src/config/http2.ts";
import { describeFaults } from "../../src/core/std/result.ts";

function read(environment: Record<string, string>): Http2Settings | string {
  const env = new EnvReader(environment);
  const result = env.finish(readHttp2Settings(env));
  return result.ok ? result.value : describeFaults(result.faults);
}

const settings: readonly (readonly [keyof Http2Settings, string, string, number, string])[] = [
  ["maxConcurrentStreams", "WEFT_HTTP2_MAX_CONCURRENT_STREAMS", "7", 7, "0"],
  ["streamWindowBytes", "WEFT_HTTP2_INITIAL_STREAM_WINDOW_SIZE", "16384", 16_384, "16383"],
  ["connectionWindowBytes", "WEFT_HTTP2_INITIAL_CONNECTION_WINDOW_SIZE", "65536", 65_536, "65535"],
  ["sendStallMs", "WEFT_HTTP2_SEND_STALL_TIMEOUT", "5s", 5_000, "999ms"],
  ["keepAliveMs", "WEFT_HTTP2_KEEP_ALIVE_INTERVAL", "0", 0, "2h"],
  ["keepAliveTimeoutMs", "WEFT_HTTP2_KEEP_ALIVE_TIMEOUT", "1s", 1_000, "0"],
];

test("readHttp2Settings() reads each setting from its own variable, within its bounds", (t) => {
  t.is(settings.length, Object.keys(defaultHttp2Settings).length);
  for (const [key, name, text, value, bad] of settings) {
    t.deepEqual(read({ [name]: text }), { ...defaultHttp2Settings, [key]: value });
    t.regex(String(read({ [name]: bad })), new RegExp(name));
  }
});

test("defaultHttp2Settings are what a session has by itself", (t) => {
  t.like(defaultHttp2Limits, defaultHttp2Settings);
});
