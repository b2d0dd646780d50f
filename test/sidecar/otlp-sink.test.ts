import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import test from "ava";
import { openOtlpSink } from "../../src/sidecar/otlp-sink.ts";
import type { SinkEvents, SpanSink } from "../../src/sidecar/span-export.ts";
import {
  maxBatchSpans,
  noTexts,
  type SpanBatch,
  SpanNumber,
  SpanRoom,
} from "../../src/thread/spans.ts";
import { TraceCollector } from "../harness/trace-collector.ts";

const startMs = 1_700_000_000_000.25;

/** Spans of a worker, each with a path of its own. */
function batchOf(
  count: number,
  numbers: Partial<Record<keyof typeof SpanNumber, number>> = {},
): SpanBatch {
  const room = new SpanRoom();
  for (let at = 0; at < count; at++) {
    const row = room.add({ ...noTexts, method: "GET", path: `/${at}`, authority: "web" });
    const all = { traceId: 1, spanId: at + 1, flags: 1, startMs, endMs: startMs + 1.5, ...numbers };
    for (const [name, value] of Object.entries(all)) {
      row[SpanNumber[name as keyof typeof SpanNumber]] = value;
    }
  }
  return room.take();
}

function openSink(collector: string, events: Partial<SinkEvents> = {}): SpanSink {
  return openOtlpSink(
    { collector, credentials: undefined, serviceName: "web", resource: {}, version: "1.2.3" },
    { onSent: () => {}, onLost: () => {}, ...events },
  );
}

test("openOtlpSink() a span arrives with its identifiers, its parent, its kind and its times", async (t) => {
  await using collector = await TraceCollector.start();
  let sent = 0;
  const sink = openSink(collector.address, {
    onSent: (spans) => {
      sent += spans;
    },
  });
  t.is(sink.take(batchOf(1, { isServer: 1, parentId: 0xabcdef01 })), 0);
  t.is(sink.take(batchOf(1)), 0);
  await sink.close();
  t.is(sent, 2);
  const [child, root] = collector.spans;
  t.like(child, {
    traceId: "00000001000000000000000000000000",
    spanId: "0000000100000000",
    parentId: "abcdef0100000000",
    kind: "server",
    startMs,
    endMs: startMs + 1.5,
  });
  t.like(root, { parentId: "", kind: "client", name: "GET" });
  t.is(root?.attributes.get("url.full"), "http://web/0");
});

test("openOtlpSink() a span whose clock was set back ends no earlier than it began", async (t) => {
  await using collector = await TraceCollector.start();
  const sink = openSink(collector.address);
  sink.take(batchOf(1, { endMs: startMs - 1_000 }));
  await sink.close();
  t.is(collector.spans[0]?.endMs, startMs);
});

test("openOtlpSink() a collector that hangs gets one batch, the queue fills up, and the rest is given up at once", async (t) => {
  const sockets: Socket[] = [];
  const hanging = createServer((socket) => sockets.push(socket.on("error", () => {})));
  hanging.listen(0, "127.0.0.1");
  await once(hanging, "listening");
  const { promise: lost, resolve } = Promise.withResolvers<number>();
  const sink = openSink(`127.0.0.1:${(hanging.address() as AddressInfo).port}`, {
    onLost: resolve,
  });
  const batches = 40;
  let refused = 0;
  for (let taken = 0; taken < batches; taken++) refused += sink.take(batchOf(maxBatchSpans));
  // Those of OpenTelemetry's specification: 2,048 wait and 512 are on their way.
  t.is(batches * maxBatchSpans - refused, 2_048 + 512);
  t.is(await lost, 512);
  for (const socket of sockets) socket.destroy();
  hanging.close();
  await sink.close();
});
