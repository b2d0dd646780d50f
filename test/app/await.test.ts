/** `weft await` as a container's hook runs it. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test from "ava";

const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));

async function weftAwait(...args: readonly string[]): Promise<{ code: number; err: string }> {
  const node = ["--disable-warning=ExperimentalWarning", main, "await", ...args];
  try {
    await promisify(execFile)(process.execPath, node);
    return { code: 0, err: "" };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, err: stderr };
  }
}

test("weft await blocks until the sidecar says that it is ready", async (t) => {
  let asked = 0;
  await using server = createServer((request, response) => {
    t.is(request.url, "/ready");
    asked += 1;
    response.writeHead(asked < 4 ? 503 : 200).end("not ready: certificate\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  t.deepEqual(await weftAwait("--port", String(port)), { code: 0, err: "" });
  t.is(asked, 4);
});

test("weft await gives up after its timeout and says what the sidecar said last", async (t) => {
  await using server = createServer((_, response) => {
    response.writeHead(503).end("not ready: certificate\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { code, err } = await weftAwait("--port", String(port), "--timeout", "2s");
  t.is(code, 1);
  t.is(
    err,
    `weft await: the sidecar at port ${port} is not ready after 2s: 503 not ready: certificate\n`,
  );
});

test("weft await is not held up by a sidecar that does not answer", async (t) => {
  await using server = createServer(() => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { code, err } = await weftAwait("--port", String(port), "--timeout", "400ms");
  t.is(code, 1);
  t.regex(err, /not ready after 400ms: no answer/);
  server.closeAllConnections();
});

test("weft await refuses what is no port and no duration", async (t) => {
  t.deepEqual(await weftAwait("--port", "0"), {
    code: 64,
    err: 'weft await: set --port to a number from 1 to 65535 instead of "0"\n',
  });
  const { code, err } = await weftAwait("--timeout", "soon");
  t.is(code, 64);
  t.regex(err, /--timeout to a duration.*"soon"/);
});
