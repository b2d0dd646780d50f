import test from "ava";
import type { SessionPersistence } from "../../src/core/model/session.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { RawOrigin } from "../harness/origin.ts";
import {
  backend,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
  withPath,
} from "../harness/policies.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";
import { WorkersInTest } from "../harness/worker-in-test.ts";

const cookie: SessionPersistence = {
  type: "cookie",
  name: "stick",
  cookiePath: "/",
  lifetime: "session",
  absoluteMs: 0,
  idleMs: 0,
};

/** Origins that say who they are. */
class Origins implements AsyncDisposable {
  readonly ports: number[] = [];
  readonly #stack = new AsyncDisposableStack();

  static async start(count: number): Promise<Origins> {
    const origins = new Origins();
    for (let i = 0; i < count; i++) {
      const body = `origin ${i}`;
      const response = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      const origin = origins.#stack.use(await RawOrigin.answering(response));
      origins.ports.push(origin.port);
    }
    return origins;
  }

  endpoints(authority: string, from: number, to: number): ToWorker {
    return endpointSnapshot(authority, ...this.ports.slice(from, to).map((port) => endpoint(port)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function ask(client: RawClient, header: string = "", path: string = "/"): Promise<RawResponse> {
  return client.send(`GET ${path} HTTP/1.1\r\nHost: web\r\n${header}\r\n`).response();
}

function cookieOf(response: RawResponse): string {
  return response.headers.get("set-cookie")?.split(";")[0] ?? "";
}

function snapshots(origins: Origins, session: SessionPersistence): readonly ToWorker[] {
  const policy = routed(rule({ backends: to(backend("a")), session }));
  return [origins.endpoints("a", 0, origins.ports.length), outboundSnapshot(policy)];
}

test("the first answer sets a cookie that leads back to its endpoint", async (t) => {
  await using origins = await Origins.start(5);
  await using shard = await ShardInTest.start({ snapshots: snapshots(origins, cookie) });
  using client = await RawClient.open(shard.port());
  const first = await ask(client);
  t.regex(
    first.headers.get("set-cookie") ?? "",
    /^stick=[\w-]+; Path=\/; HttpOnly; SameSite=Strict$/,
  );
  for (let i = 0; i < 10; i++) {
    const next = await ask(client, `Cookie: other=1; ${cookieOf(first)}\r\n`);
    t.is(next.body, first.body);
    t.false(next.headers.has("set-cookie"));
  }
});

test("a header does the same", async (t) => {
  await using origins = await Origins.start(5);
  const session: SessionPersistence = { ...cookie, type: "header", name: "X-Stick" };
  await using shard = await ShardInTest.start({ snapshots: snapshots(origins, session) });
  using client = await RawClient.open(shard.port());
  const first = await ask(client);
  const token = first.headers.get("x-stick") ?? "";
  for (let i = 0; i < 10; i++) {
    t.is((await ask(client, `x-stick: ${token}\r\n`)).body, first.body);
  }
});

test("without the cookie requests go anywhere, and so do unreadable ones", async (t) => {
  await using origins = await Origins.start(3);
  await using shard = await ShardInTest.start({ snapshots: snapshots(origins, cookie) });
  using client = await RawClient.open(shard.port());
  const bodies = new Set<string>();
  for (let i = 0; i < 60; i++) {
    const response = await ask(client, i % 2 === 0 ? "" : "Cookie: stick=nonsense\r\n");
    bodies.add(response.body);
    t.true(response.headers.has("set-cookie"));
  }
  t.is(bodies.size, 3);
});

test("a session stays where it is when the weight of its backend becomes 0", async (t) => {
  await using origins = await Origins.start(2);
  const weighted = (a: number, b: number): ToWorker =>
    outboundSnapshot(
      routed(
        rule({
          backends: to(backend("a", { weight: a }), backend("b", { weight: b })),
          session: cookie,
        }),
      ),
    );
  await using shard = await ShardInTest.start({
    snapshots: [origins.endpoints("a", 0, 1), origins.endpoints("b", 1, 2), weighted(1, 0)],
  });
  using client = await RawClient.open(shard.port());
  const first = await ask(client);
  t.is(first.body, "origin 0");
  shard.take(weighted(0, 1));
  t.is((await ask(client, `Cookie: ${cookieOf(first)}\r\n`)).body, "origin 0");
  t.is((await ask(client)).body, "origin 1");
});

test("a session whose endpoint is gone begins anew elsewhere", async (t) => {
  await using origins = await Origins.start(2);
  await using shard = await ShardInTest.start({
    snapshots: [
      origins.endpoints("a", 0, 1),
      outboundSnapshot(routed(rule({ backends: to(backend("a")), session: cookie }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  const first = await ask(client);
  shard.take(origins.endpoints("a", 1, 2));
  const second = await ask(client, `Cookie: ${cookieOf(first)}\r\n`);
  t.is(second.body, "origin 1");
  t.true(second.headers.has("set-cookie"));
  t.not(cookieOf(second), cookieOf(first));
});

test("a session whose endpoint cannot be connected to begins anew elsewhere", async (t) => {
  const dead = await RawOrigin.answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndead");
  await using origins = await Origins.start(1);
  const snapshotOf = (...ports: readonly number[]): ToWorker =>
    endpointSnapshot("a", ...ports.map((port) => endpoint(port)));
  await using shard = await ShardInTest.start({
    snapshots: [
      snapshotOf(dead.port),
      outboundSnapshot(routed(rule({ backends: to(backend("a")), session: cookie }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  const first = await ask(client);
  t.is(first.body, "dead");
  await dead[Symbol.asyncDispose]();
  shard.take(snapshotOf(dead.port, ...origins.ports));
  const second = await ask(client, `Cookie: ${cookieOf(first)}\r\n`);
  t.is(second.body, "origin 0");
  t.true(second.headers.has("set-cookie"));
});

test("a session is over when its time is over, and renewed while it is used", async (t) => {
  const clock = new HandClock();
  await using origins = await Origins.start(2);
  const session: SessionPersistence = { ...cookie, absoluteMs: 100_000, idleMs: 50_000 };
  await using shard = await ShardInTest.start({ clock, snapshots: snapshots(origins, session) });
  using client = await RawClient.open(shard.port());
  const first = await ask(client);
  clock.pass(40_000);
  const second = await ask(client, `Cookie: ${cookieOf(first)}\r\n`);
  t.is(second.body, first.body);
  t.not(cookieOf(second), "");
  clock.pass(40_000);
  // Since the first answer more than the idle time has passed, since the second less.
  const third = await ask(client, `Cookie: ${cookieOf(second)}\r\n`);
  t.is(third.body, first.body);
  clock.pass(30_000);
  const fourth = await ask(client, `Cookie: ${cookieOf(third)}\r\n`);
  t.not(cookieOf(fourth), "");
  clock.pass(45_000);
  t.is((await ask(client, `Cookie: ${cookieOf(fourth)}\r\n`)).body, fourth.body);
});

test("a permanent cookie tells how long it lasts", async (t) => {
  await using origins = await Origins.start(1);
  const session: SessionPersistence = { ...cookie, lifetime: "permanent", absoluteMs: 3_600_000 };
  await using shard = await ShardInTest.start({ snapshots: snapshots(origins, session) });
  using client = await RawClient.open(shard.port());
  t.regex((await ask(client)).headers.get("set-cookie") ?? "", /; Max-Age=3600;/);
});

test("a session in a header that belongs to the proxy fails its rule", async (t) => {
  await using origins = await Origins.start(1);
  const session: SessionPersistence = { ...cookie, type: "header", name: "Content-Length" };
  await using shard = await ShardInTest.start({ snapshots: snapshots(origins, session) });
  using client = await RawClient.open(shard.port());
  const response = await ask(client);
  t.is(response.status, 500);
  t.regex(response.headers.get("l5d-proxy-error") ?? "", /sessions cannot be kept in the header/);
});

test("two rules never share a session", async (t) => {
  await using origins = await Origins.start(8);
  const backends = to(backend("a"));
  await using shard = await ShardInTest.start({
    snapshots: [
      origins.endpoints("a", 0, 8),
      outboundSnapshot(
        routed(
          rule({ backends, session: cookie }),
          rule({ matches: [withPath("/other")], backends, session: cookie }),
        ),
      ),
    ],
  });
  using client = await RawClient.open(shard.port());
  const first = await ask(client);
  for (let i = 0; i < 5; i++) {
    const other = await ask(client, `Cookie: ${cookieOf(first)}\r\n`, "/other");
    t.true(other.headers.has("set-cookie"));
  }
});

test("an answer of the proxy itself begins no session", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a"),
      outboundSnapshot(routed(rule({ backends: to(backend("a")), session: cookie }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  const response = await ask(client);
  t.is(response.status, 503);
  t.false(response.headers.has("set-cookie"));
});

test("a session that was begun in one worker goes on in another, and in the next process", async (t) => {
  await using origins = await Origins.start(6);
  await using workers = new WorkersInTest();
  const listener = { kind: "outbound", host: "127.0.0.1", port: 0 } as const;
  const ports: number[] = [];
  for (const shard of [0, 1]) {
    const worker = workers.start(shard, [listener], snapshots(origins, cookie));
    await worker.until("listening");
    const listening = worker.messages.find((message) => message.kind === "listening");
    ports.push(listening?.kind === "listening" ? (listening.listeners[0]?.port ?? 0) : 0);
    t.teardown(() => worker.take({ kind: "drain", graceMs: 0 }));
  }
  using one = await RawClient.open(ports[0] ?? 0);
  using two = await RawClient.open(ports[1] ?? 0);
  for (let i = 0; i < 10; i++) {
    const first = await ask(one);
    const second = await ask(two, `Cookie: ${cookieOf(first)}\r\n`);
    t.is(second.body, first.body);
    t.false(second.headers.has("set-cookie"));
  }
});
