import { once } from "node:events";
import test from "ava";
import type { Filter } from "../../src/core/model/filter.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  allTo,
  backend,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { deadPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const get = "GET /x HTTP/1.1\r\nHost: web\r\n\r\n";
const metric = "outbound_http_route_mirror_total";

function mirror(name: string, numerator: number = 1, denominator: number = 1): Filter {
  return { kind: "mirror", mirror: { backend: backend(name).backend, numerator, denominator } };
}

function setHeader(name: string, value: string): Filter {
  return { kind: "request-headers", modifier: { set: [{ name, value }], add: [], remove: [] } };
}

function answered(shard: ShardInTest, result: string = "answered"): number {
  return shard.count(metric, { result });
}

test("mirrorRequest() copies head and body to each mirror, with the changes that stand before it in the list", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await EchoOrigin.start("m");
  await using n = await EchoOrigin.start("n");
  const rewrite: Filter = {
    kind: "url-rewrite",
    rewrite: { host: "", path: { kind: "full", value: "/y" } },
  };
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      endpointSnapshot("n", endpoint(n.port)),
      ...allTo(a.port, {
        filters: [
          setHeader("x-step", "1"),
          mirror("m"),
          setHeader("x-step", "2"),
          rewrite,
          mirror("n"),
        ],
        backends: to(backend("a", { filters: [setHeader("x-step", "3")] })),
      }),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 1; i <= 3; i++) {
    client.send("POST /x?q HTTP/1.1\r\nHost: web\r\nl5d-x: 1\r\nContent-Length: 5\r\n\r\nhello");
    t.is((await client.response()).body, "a POST /y?q");
    await shard.until(() => answered(shard) === 2 * i);
    t.deepEqual(
      [a, m, n].map((origin) => [origin.seen.length, origin.header("x-step")]),
      [
        [i, "3"],
        [i, "1"],
        [i, "2"],
      ],
    );
    t.is(m.seen.at(-1)?.url, "/x?q");
    t.is(n.seen.at(-1)?.url, "/y?q");
    for (const origin of [m, n]) {
      t.is(origin.seen.at(-1)?.body, "hello");
      t.is(origin.header("host"), "web");
      t.is(origin.header("l5d-x"), undefined);
      t.is(origin.connections, 1);
    }
  }
});

test("mirrorRequest() copies a chunked body as it flows, trailers included", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("x-t: 1\r\n\r\n")) socket.write("HTTP/1.1 204 No Content\r\n\r\n");
  });
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, { filters: [mirror("m")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send("POST /x HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
  await m.until(() => m.received.endsWith("\r\n\r\n"));
  client.send("5\r\nhello\r\n");
  await m.until(() => m.received.endsWith("hello\r\n"));
  client.send("0\r\nx-t: 1\r\n\r\n");
  t.is((await client.response()).body, "a POST /x");
  await shard.until(() => answered(shard) === 1);
  t.is(a.seen[0]?.body, "hello");
  // The connection is used again after a body that came by and by.
  client.send("POST /x HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.send("0\r\nx-t: 1\r\n\r\n");
  t.is((await client.response()).body, "a POST /x");
  await shard.until(() => answered(shard) === 2);
  t.is(m.sockets.length, 1);
});

test("mirrorRequest() sends each copy to one endpoint", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await EchoOrigin.start("m");
  await using n = await EchoOrigin.start("n");
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port), endpoint(n.port)),
      ...allTo(a.port, { filters: [mirror("m")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 100; i++) await client.send(get).response();
  await shard.until(() => answered(shard) === 100);
  t.is(m.seen.length + n.seen.length, 100);
  t.true(m.seen.length > 0 && n.seen.length > 0);
});

test("mirrorRequest() copies the share of requests that the filter says", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await EchoOrigin.start("m");
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, { filters: [mirror("m", 20, 100), mirror("m", 0, 100)] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 500; i++) await client.send(get).response();
  const copies = shard.series(metric).length === 0 ? 0 : m.seen.length;
  // Gateway API judges shares at three standard deviations (73 to 127); five leave no chance.
  t.true(copies > 55 && copies < 145, `${copies} of 500`);
});

test("mirrorRequest() throws away whatever the mirror answers, and goes on with the connection when it can", async (t) => {
  await using a = await EchoOrigin.start("a");
  const long = "x".repeat(100_000);
  await using m = await RawOrigin.answering(
    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
      `HTTP/1.1 500 No\r\nSet-Cookie: m=1\r\nContent-Length: ${long.length}\r\n\r\n${long}`,
  );
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, { filters: [mirror("m")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 1; i <= 3; i++) {
    const { status, headers, body } = await client.send(get).response();
    t.is(status, 200);
    t.is(headers.get("set-cookie"), undefined);
    t.is(body, "a GET /x");
    await shard.until(() => answered(shard) === i);
  }
  t.is(m.sockets.length, 1);
});

const failing = test.macro({
  exec: async (t, answer: string, closes: boolean) => {
    await using a = await EchoOrigin.start("a");
    await using m = await RawOrigin.start((socket, soFar) => {
      if (!soFar.endsWith("\r\n\r\n")) return;
      socket.write(answer);
      if (closes) socket.end();
    });
    await using shard = await ShardInTest.start({
      snapshots: [
        endpointSnapshot("m", endpoint(m.port)),
        ...allTo(a.port, { filters: [mirror("m")] }),
      ],
    });
    using client = await RawClient.open(shard.port());
    t.is((await client.send(get).response()).body, "a GET /x");
    await shard.until(() => answered(shard, "failed") === 1);
    t.is((await client.send(get).response()).body, "a GET /x");
    t.is(shard.count("outbound_http_errors_total"), 0);
  },
  title: (given) => `MirrorConnection ends a copy whose mirror ${given}`,
});

test("closes without an answer", failing, "", true);
test("answers by halves", failing, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", true);
test("does not speak HTTP", failing, "220 mail.example.org\r\n\r\n", false);
test(
  "switches protocols",
  failing,
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
  false,
);

test("mirrorRequest() takes no notice of a mirror that refuses connections or has no endpoints", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(deadPort)),
      ...allTo(a.port, { filters: [mirror("m"), mirror("none")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 1; i <= 3; i++) {
    t.is((await client.send(get).response()).body, "a GET /x");
    await shard.until(() => answered(shard, "failed") === i);
    t.is(answered(shard, "no_endpoints"), i);
  }
  t.is(shard.count("outbound_http_errors_total"), 0);
  t.is(shard.series(metric)[0]?.labels["backend_name"], "none");
});

const upload = 10 * 1024 * 1024;

const uploads = test.macro({
  exec: async (t, readsNothing: boolean) => {
    await using a = await EchoOrigin.start("a");
    // It never answers, and takes what its kernel takes or everything.
    await using m = await RawOrigin.start(() => {}, { readsNothing });
    await using shard = await ShardInTest.start({
      snapshots: [
        endpointSnapshot("m", endpoint(m.port)),
        ...allTo(a.port, { filters: [mirror("m")] }),
      ],
    });
    using client = await RawClient.open(shard.port());
    client.send(`POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: ${upload}\r\n\r\n`);
    client.send(Buffer.alloc(upload, "x"));
    t.is((await client.response()).body, "a POST /x");
    t.is(a.seen[0]?.body.length, upload);
    t.is((await client.send(get).response()).body, "a GET /x");
    if (readsNothing) t.is(answered(shard, "cut_off"), 1);
    t.is(shard.count("outbound_http_errors_total"), 0);
  },
  title: (given) => `a long upload is not held up by a mirror that ${given}`,
});

test("reads nothing", uploads, true);
test("never answers", uploads, false);

test("the copies of fast uploads come through, though their mirror is a little behind", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await EchoOrigin.start("m");
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, { filters: [mirror("m")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 1; i <= 4; i++) {
    client.send(`POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: ${upload}\r\n\r\n`);
    client.send(Buffer.alloc(upload, "x"));
    t.is((await client.response()).status, 200);
    await shard.until(() => answered(shard) + answered(shard, "cut_off") === i);
  }
  t.is(answered(shard), 4);
  t.is(m.seen.at(-1)?.body.length, upload);
});

const bounded = test.macro({
  exec: async (t, limits: ShardInTestOptions["limits"], cutOff: number) => {
    await using a = await EchoOrigin.start("a");
    await using m = await RawOrigin.start(() => {}, { readsNothing: true });
    await using shard = await ShardInTest.start({
      limits: limits ?? {},
      snapshots: [
        endpointSnapshot("m", endpoint(m.port)),
        ...allTo(a.port, { filters: [mirror("m")] }),
      ],
    });
    using client = await RawClient.open(shard.port());
    for (let i = 0; i < 2; i++) {
      client.send(`POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: ${2 * upload}\r\n\r\n`);
      client.send(Buffer.alloc(2 * upload, "x"));
      t.is((await client.response()).status, 200);
    }
    t.is(answered(shard, "cut_off"), cutOff);
    // What was cut off takes no room any more.
    await using reads = await EchoOrigin.start("m");
    shard.take(endpointSnapshot("m", endpoint(reads.port)));
    t.is((await client.send(get).response()).status, 200);
    await shard.until(() => answered(shard) === 1);
  },
  title: (_given, limits: ShardInTestOptions["limits"], cutOff: number) =>
    `${cutOff} of 2 copies are cut off with ${JSON.stringify(limits)}`,
});
const gib = 1024 * 1024 * 1024;
test(bounded, { maxMirrorBytes: gib, maxMirrorBytesInAll: gib }, 0);
test(bounded, { maxMirrorBytes: 1024 * 1024, maxMirrorBytesInAll: gib }, 2);
test(bounded, { maxMirrorBytes: gib, maxMirrorBytesInAll: 1024 * 1024 }, 2);

test("mirrorRequest() sheds copies when too many are under way, and requests go on", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, { filters: [mirror("m")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 600; i++) {
    t.is((await client.send(get).response()).status, 200);
  }
  t.is(answered(shard, "shed"), 88);
});

const silent = test.macro({
  exec: async (t, parts: readonly string[]) => {
    const clock = new HandClock();
    await using a = await EchoOrigin.start("a");
    await using m = await RawOrigin.start(() => {});
    await using shard = await ShardInTest.start({
      clock,
      snapshots: [
        endpointSnapshot("m", endpoint(m.port)),
        ...allTo(a.port, { filters: [mirror("m")] }),
      ],
    });
    using client = await RawClient.open(shard.port());
    for (const part of parts) {
      client.send(part);
      await m.until(() => m.received.endsWith(part));
    }
    t.is((await client.response()).status, 200);
    clock.pass(9_000);
    t.is(answered(shard, "timeout"), 0);
    clock.pass(2_000);
    t.is(answered(shard, "timeout"), 1);
    await m.until(() => m.openCount === 0);
  },
  title: (given) => `MirrorConnection waits 10 s for the answer to ${given}`,
});

test("a request", silent, [get]);
test("a request whose body came later", silent, [
  "POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\n",
  "hello",
]);

test("MirrorConnection leaves a mirror whose request never comes to its end", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, { filters: [mirror("m")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send("POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\nhalf");
  await m.until(() => m.received.endsWith("half"));
  client.socket.destroy();
  await once(client.socket, "close");
  await shard.until(() => answered(shard, "abandoned") === 1);
  await m.until(() => m.openCount === 0);
  t.pass();
});

test("mirrorRequest() copies for a backend only when that is picked", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await EchoOrigin.start("m");
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a", endpoint(a.port)),
      endpointSnapshot("m", endpoint(m.port)),
      outboundSnapshot(
        routed(
          rule({
            backends: to(
              backend("a", { weight: 1 }),
              backend("a", { weight: 1, filters: [setHeader("x-copied", "1"), mirror("m")] }),
            ),
          }),
        ),
      ),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 50; i++) await client.send(get).response();
  const copied = a.seen.filter(({ rawHeaders }) => rawHeaders.includes("x-copied")).length;
  await shard.until(() => answered(shard) === copied);
  t.is(m.seen.length, copied);
  t.true(copied > 0 && copied < 50);
});
