import test from "ava";
import { describeFaults } from "../../../src/core/std/result.ts";
import {
  type Admin,
  type AdminHandler,
  liveHandler,
  readyHandler,
  startAdmin,
} from "../../../src/edge/process/admin.ts";
import { makeLog } from "../../../src/edge/telemetry/log.ts";

const loopback = { host: "127.0.0.1", port: 0 };

class Running implements AsyncDisposable {
  readonly admin: Admin;
  readonly lines: string[];

  constructor(admin: Admin, lines: string[]) {
    this.admin = admin;
    this.lines = lines;
  }

  ask(path: string, method = "GET"): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.admin.address.port}${path}`, { method });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.admin.close();
  }
}

async function run(routes: Readonly<Record<string, AdminHandler>>): Promise<Running> {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = makeLog({ level: "debug", name: "test", destination });
  const admin = await startAdmin({
    address: loopback,
    routes: new Map(Object.entries(routes)),
    log,
  });
  if (!admin.ok) throw new Error(describeFaults(admin.faults));
  return new Running(admin.value, lines);
}

test("startAdmin() answers a path for GET and for HEAD without the body", async (t) => {
  await using running = await run({ "/live": liveHandler() });
  const got = await running.ask("/live?x=1");
  t.is(got.status, 200);
  t.is(await got.text(), "live\n");
  const head = await running.ask("/live", "HEAD");
  t.is(head.headers.get("content-length"), "5");
  t.is(await head.text(), "");
});

test("readyHandler() answers 503 until it is ready", async (t) => {
  let ready = false;
  await using running = await run({ "/ready": readyHandler(() => ready) });
  t.is((await running.ask("/ready")).status, 503);
  ready = true;
  t.is((await running.ask("/ready")).status, 200);
});

test("startAdmin() answers 404 for a path it does not know", async (t) => {
  await using running = await run({ "/live": liveHandler() });
  for (const path of ["/", "/live/", "/liv", "/constructor", "/live%2f", "//live"]) {
    t.is((await running.ask(path)).status, 404, path);
  }
});

test("startAdmin() answers every path with one more part for a key that ends in a star", async (t) => {
  await using running = await run({
    "/pages/*": ({ path }) => ({ status: 200, body: path }),
    "/pages/own": () => ({ status: 200, body: "own" }),
  });
  t.is(await (await running.ask("/pages/1-a")).text(), "/pages/1-a");
  t.is(await (await running.ask("/pages/own")).text(), "own");
  t.is((await running.ask("/pages/1/2")).status, 404);
  t.is((await running.ask("/pages")).status, 404);
  t.is((await running.ask("/pages/1", "POST")).status, 405);
});

test("startAdmin() answers 405 with the methods that would do", async (t) => {
  const done: AdminHandler = () => ({ status: 204, body: "" });
  await using running = await run({ "/live": done, "POST /shutdown": done, "PUT /live": done });
  const post = await running.ask("/live", "POST");
  t.is(post.status, 405);
  t.is(post.headers.get("allow"), "GET, HEAD, PUT");
  t.is((await running.ask("/shutdown")).headers.get("allow"), "POST");
  t.is((await running.ask("/shutdown", "POST")).status, 204);
});

test("startAdmin() gives a handler the query, the headers and the other end", async (t) => {
  await using running = await run({
    "/what": ({ query, headers, remoteAddress, path, method }) => ({
      status: 200,
      contentType: "application/json",
      body: JSON.stringify([query.get("q"), headers.host, remoteAddress, path, method]),
    }),
  });
  const answer = await running.ask("/what?q=a%20b");
  t.is(answer.headers.get("content-type"), "application/json");
  const host = `127.0.0.1:${running.admin.address.port}`;
  t.deepEqual(await answer.json(), ["a b", host, "127.0.0.1", "/what", "GET"]);
});

test("startAdmin() answers 500 for a handler that throws, logs it and goes on", async (t) => {
  await using running = await run({
    "/throws": () => {
      throw new Error("secret detail");
    },
    "/rejects": () => Promise.reject(new Error("secret detail")),
    "/live": liveHandler(),
  });
  for (const path of ["/throws", "/rejects"]) {
    const answer = await running.ask(path);
    t.is(answer.status, 500);
    t.false((await answer.text()).includes("secret detail"));
  }
  t.is(running.lines.filter((line) => line.includes("admin_handler_failed")).length, 2);
  t.is((await running.ask("/live")).status, 200);
});

test("startAdmin() reports an address that is taken as a fault", async (t) => {
  await using running = await run({});
  const log = makeLog({ level: "error", name: "test" });
  const { address } = running.admin;
  const second = await startAdmin({ address, routes: new Map(), log });
  t.regex(
    second.ok ? "" : describeFaults(second.faults),
    /choose another admin address .*EADDRINUSE/,
  );
});

test("Admin.close() ends a connection that waits for its answer", async (t) => {
  const asked = Promise.withResolvers<void>();
  await using running = await run({
    "/slow": () => {
      asked.resolve();
      return new Promise(() => undefined);
    },
  });
  const answer = t.throwsAsync(running.ask("/slow"));
  await asked.promise;
  await running.admin.close();
  await answer;
});
