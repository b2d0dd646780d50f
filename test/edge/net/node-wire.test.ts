import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import test from "ava";
import { BufferPool } from "../../../src/edge/net/buffer-pool.ts";
import { NodeWire } from "../../../src/edge/net/node-wire.ts";

test("reset() aborts also right behind an end, which libuv is about to say", async (t) => {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [[far]] = (await Promise.all([once(server, "connection"), once(near, "connect")])) as [
    [Socket],
    unknown,
  ];
  t.teardown(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  const wire = new NodeWire({
    firstBuffer: Buffer.alloc(1),
    pool: new BufferPool(),
    encrypted: false,
    open: () => near,
  });
  const closed = Promise.withResolvers<string>();
  wire.owner = { ...wire.owner, onClose: closed.resolve };
  wire.end();

  wire.reset();

  t.is(await closed.promise, "");
  const [error] = (await once(far.resume(), "error")) as [NodeJS.ErrnoException];
  t.is(error.code, "ECONNRESET");
});
