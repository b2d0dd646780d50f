import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { promisify } from "node:util";
import test from "ava";
import { type AcceptedSocket, listen } from "../../../src/edge/net/listen.ts";
import { openOriginalDst } from "../../../src/edge/net/original-dst.ts";

// Redirected connections are the business of test/netns; here nothing is redirected.

for (const host of ["127.0.0.1", "::1", "::"]) {
  test(`originalDestination() invents nothing for a connection to ${host} that was not redirected`, async (t) => {
    const opened = openOriginalDst();
    t.true(opened.ok, JSON.stringify(opened));
    if (!opened.ok) return;
    const accepted = Promise.withResolvers<AcceptedSocket>();
    const listener = await listen({
      host,
      port: 0,
      onConnection: (socket) => accepted.resolve(socket),
      onAcceptFailure: (code) => accepted.reject(new Error(code)),
    });
    const client = connect(listener.port, host === "::" ? "127.0.0.1" : host);
    await once(client, "connect");
    const { remotePort = 0 } = client;
    const socket = await accepted.promise;
    const meant = socket.originalDestination(opened.value);
    // A machine that tracks its connections knows this one by the address that it was made to.
    if (meant !== undefined) {
      t.deepEqual(meant, { ip: host === "::" ? "127.0.0.1" : host, port: remotePort });
    }
    socket.destroy();
    t.is(socket.originalDestination(opened.value), undefined);
    client.destroy();
    listener.close();
    listener.destroyAll();
  });
}

test("openOriginalDst() says what to do when Node.js lacks node:ffi", async (t) => {
  const module = new URL("../../../src/edge/net/original-dst.ts", import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then(({ openOriginalDst }) => console.log(JSON.stringify(openOriginalDst())))`;
  const node = ["--no-experimental-ffi", "-e", script];
  const { stdout } = await promisify(execFile)(process.execPath, node);
  const opened = JSON.parse(stdout);
  t.false(opened.ok);
  t.regex(opened.faults[0].reason, /^run Node.js 26.10 with node:ffi, or explicit mode/);
});
