import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { describeFaults } from "../../../src/core/std/result.ts";
import { fetchKeySet, maxKeySetBytes, readKeySetFile } from "../../../src/edge/jwt/read-key-set.ts";
import { deadPort } from "../../harness/port.ts";

async function serving(answer: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/keys`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

async function fetched(answer: RequestListener): Promise<string> {
  await using server = await serving(answer);
  const found = await fetchKeySet(server.url);
  return found.ok ? found.value : describeFaults(found.faults);
}

test("fetchKeySet() reads what stands at the URL", async (t) => {
  t.is(await fetched((_request, response) => response.end('{"keys":[]}')), '{"keys":[]}');
});

test("fetchKeySet() takes no other status, no redirect and nothing too long", async (t) => {
  const missing = await fetched((_request, response) => response.writeHead(404).end("secret"));
  t.is(missing, "expected status 200, got 404");
  const moved = await fetched((_request, response) =>
    response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
  );
  t.regex(moved, /redirect/);
  const long = await fetched((_request, response) => response.end("x".repeat(maxKeySetBytes + 1)));
  t.is(long, `publish at most ${maxKeySetBytes} bytes`);
});

test("fetchKeySet() says why nobody answered", async (t) => {
  const found = await fetchKeySet(`http://127.0.0.1:${deadPort}/`);
  t.false(found.ok);
  if (!found.ok) t.regex(describeFaults(found.faults), /ECONNREFUSED|bad port/);
});

test("readKeySetFile() reads a regular file that is not too long, and nothing else", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "weft-keys-"));
  try {
    const path = join(dir, "keys.json");
    await writeFile(path, '{"keys":[]}');
    t.deepEqual(await readKeySetFile(path), { ok: true, value: '{"keys":[]}' });
    await writeFile(path, "x".repeat(maxKeySetBytes + 1));
    t.false((await readKeySetFile(path)).ok);
    for (const other of [dir, join(dir, "absent"), "/dev/zero"]) {
      t.false((await readKeySetFile(other)).ok, other);
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});
