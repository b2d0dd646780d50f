/** The engine against nghttp2's tools: what they ask is answered, in numbers and without an error. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { needing } from "../../harness/needing.ts";
import { EngineSocket } from "./engine-socket.ts";
import { sendFields } from "./hand-made.ts";

/** One package brings h2load as well. */
const testNghttp = needing({
  command: "nghttp",
  trial: ["--version"],
  debianPackage: "nghttp2-client",
});

async function startHello(): Promise<{ readonly url: string; readonly close: () => void }> {
  const body = Buffer.from("hello");
  const server = createServer((socket) => {
    const engine = new EngineSocket(socket, {
      role: "server",
      owner: () => ({
        onStream: (stream) => {
          stream.consumer = {
            onHead: () => {},
            onData: (_bytes, start, end) => engine.session.consumed(stream, end - start),
            onTrailers: () => {},
            onEnd: () => {
              sendFields(engine.session, stream, [[":status", "200"]], false);
              stream.consumer.onWritable();
            },
            onReset: () => {},
            onWritable: () => {
              engine.session.sendData(stream, body, 0, body.length, true);
            },
          };
        },
      }),
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

async function outputOf(tool: string, args: readonly string[]): Promise<string> {
  const child = spawn(tool, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (text) => {
    output += String(text);
  });
  child.stderr.on("data", (text) => {
    output += String(text);
  });
  await once(child, "close");
  return output;
}

testNghttp("Http2Session as a server answers every call of h2load and nghttp", async (t) => {
  const { url, close } = await startHello();
  t.teardown(close);
  const load = await outputOf("h2load", ["-n", "400", "-c", "4", "-m", "20", url]);
  t.regex(load, /400 succeeded, 0 failed, 0 errored, 0 timeout/);
  const asked = await outputOf("nghttp", ["-v", "-m", "3", "-d", "package.json", url]);
  t.is(asked.match(/hello/g)?.length, 3, asked);
  t.notRegex(asked, /RST_STREAM|ENHANCE_YOUR_CALM|PROTOCOL_ERROR/);
});
