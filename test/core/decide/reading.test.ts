import test from "ava";
import { type Reading, readingOf } from "../../../src/core/decide/reading.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import type { InboundTable } from "../../../src/core/table/inbound.ts";
import { inboundRoute, serverTable, withPath } from "../../harness/policies.ts";

const named = inboundRoute("a", withPath("/a"), []);
const probe = { ...named, meta: defaultMeta("probe") };

const cases: readonly (readonly [string, InboundTable, Reading])[] = [
  ["an opaque port", serverTable({ protocol: "opaque" }), "opaque"],
  ["a port for TLS", serverTable({ protocol: "tls" }), "tls"],
  ["a port for HTTP/1", serverTable({ protocol: "http1" }), "http"],
  ["a port for HTTP/2", serverTable({ protocol: "http2" }), "http"],
  ["a port for gRPC", serverTable({ protocol: "grpc" }), "http"],
  ["a port that nobody has described", serverTable({}), "any"],
  ["a port with routes", serverTable({ routes: [named] }), "http"],
  ["a port with probes alone", serverTable({ routes: [probe] }), "any"],
  [
    "a port with a rate limit",
    {
      ...serverTable({}),
      rateLimit: { total: 1 } as unknown as NonNullable<InboundTable["rateLimit"]>,
    },
    "http",
  ],
];
for (const [name, table, reading] of cases) {
  test(`readingOf() ${name} is "${reading}"`, (t) => {
    t.is(readingOf(table), reading);
  });
}
