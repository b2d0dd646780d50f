import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import test from "ava";
import { describeFaults } from "../../src/core/std/result.ts";
import { settleListenPorts } from "../../src/sidecar/listen-ports.ts";

const host = "127.0.0.1";

test("settleListenPorts() chooses a free port that several may share, and leaves it when released", async (t) => {
  const settled = await settleListenPorts([
    { host, port: 0 },
    { host, port: 0 },
  ]);
  if (!settled.ok) return t.fail(describeFaults(settled.faults));
  const [first, second] = settled.value.addresses;
  t.true((first?.port ?? 0) > 0);
  t.not(first?.port, second?.port);
  const worker = createServer();
  worker.listen({ ...first, reusePort: true });
  await once(worker, "listening");
  await settled.value.release();
  worker.close();
});

test("settleListenPorts() keeps a given port and is not in its way", async (t) => {
  const free = await settleListenPorts([{ host, port: 0 }]);
  if (!free.ok) return t.fail(describeFaults(free.faults));
  await free.value.release();
  const settled = await settleListenPorts(free.value.addresses);
  if (!settled.ok) return t.fail(describeFaults(settled.faults));
  t.deepEqual(settled.value.addresses, free.value.addresses);
  const alone = createServer();
  alone.listen(free.value.addresses[0]);
  await once(alone, "listening");
  alone.close();
});

test("settleListenPorts() names every address that another process shares or holds", async (t) => {
  const taken = createServer();
  taken.listen({ host, port: 0, reusePort: true });
  await once(taken, "listening");
  t.teardown(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const settled = await settleListenPorts([
    { host, port },
    { host: "192.0.2.1", port: 9 },
  ]);
  t.false(settled.ok);
  if (settled.ok) return;
  t.regex(describeFaults(settled.faults), new RegExp(`127.0.0.1:${port}.*EADDRINUSE`));
  t.regex(describeFaults(settled.faults), /192\.0\.2\.1:9.*EADDRNOTAVAIL/);
});
