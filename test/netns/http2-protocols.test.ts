/** Clients and applications that do not speak the same version of HTTP, and WebSockets between them, through two sidecars. */
import test, { type ExecutionContext } from "ava";
import { NetnsMesh } from "../../src/demo/netns/mesh.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";
import { metricSum } from "./metrics.ts";
import { startNginx, startWebSocketServer } from "./servers.ts";

/** `said` and so on: what the Service says of the port. */
const ports = {
  http1: 8080,
  saidHttp1: 8081,
  saidHttp2: 8082,
  webSocket: 8083,
  webSocketHttp2: 8084,
} as const;

/** A WebSocket's frames, unmasked, in a stream of HTTP/2 (RFC 8441): says back what a short text frame says. */
const webSocketOverHttp2 = `
const server = require("node:http2").createServer({ settings: { enableConnectProtocol: true } });
server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  stream.respond({ ":status": 200, "x-protocol": headers[":protocol"] });
  stream.on("data", (frame) => {
    const text = Buffer.from(frame.subarray(6).map((byte, at) => byte ^ frame[2 + (at % 4)]));
    if ((frame[0] & 15) === 1) stream.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
    else stream.end(Buffer.from([0x88, 0]));
  });
}).listen(${ports.webSocketHttp2}, "::", () => console.log("listening"));`;

/** A client of RFC 8441: extended CONNECT, one masked text frame, and a close frame after the answer. */
const http2WebSocketClient = (address: string): string => `
const session = require("node:http2").connect("http://${address}");
session.on("error", (error) => console.log("failed: " + error.code));
session.once("remoteSettings", () => {
  const stream = session.request({ ":method": "CONNECT", ":authority": "${address}", ":protocol": "websocket", ":path": "/chat", "sec-websocket-version": "13" });
  const text = Buffer.from("a secret frame");
  stream.on("response", (headers) => {
    console.log(headers[":status"]);
    stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  });
  stream.on("data", (frame) => {
    if ((frame[0] & 15) === 1) {
      console.log("said back: " + frame.subarray(2));
      stream.write(Buffer.from([0x88, 0x80, 0, 0, 0, 0]));
    } else stream.end();
  });
  stream.on("error", (error) => console.log("failed: " + error.code));
  stream.on("close", () => session.close());
});`;

const http1WebSocketClient = (address: string): string => `
const socket = new WebSocket("ws://${address}/chat");
socket.onopen = () => socket.send("a secret frame");
socket.onmessage = ({ data }) => { console.log("said back: " + data); socket.close(); };
socket.onerror = ({ message }) => console.log("failed: " + message);
socket.onclose = () => console.log("closed");`;

type Case = { readonly title: string; readonly command: readonly string[]; readonly said: string };

function cases(host: string): readonly Case[] {
  const at = (port: number): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const curl = (version: string, port: number): readonly string[] => [
    ...["curl", "-sSg", "-m", "20", version, "-w", " %{http_version} %{http_code}"],
    `http://${at(port)}/a-path`,
  ];
  const script = (text: string): readonly string[] => [process.execPath, "-e", text];
  return [
    {
      title: "HTTP/2 to an application that turns out to speak HTTP/1.1",
      command: curl("--http2-prior-knowledge", ports.http1),
      said: "nginx for /a-path 2 200",
    },
    {
      title: "HTTP/2 to an application that is said to speak HTTP/1.1",
      command: curl("--http2-prior-knowledge", ports.saidHttp1),
      said: "nginx for /a-path 2 200",
    },
    {
      title: "HTTP/1.1 to an application that is said to speak HTTP/2",
      command: curl("--http1.1", ports.saidHttp2),
      said: "nginx for /a-path 1.1 200",
    },
    {
      title: "HTTP/2 to an application that is said to speak HTTP/2",
      command: curl("--http2-prior-knowledge", ports.saidHttp2),
      said: "nginx for /a-path 2 200",
    },
    {
      title: "extended CONNECT to a WebSocket of HTTP/1.1",
      command: script(http2WebSocketClient(at(ports.webSocket))),
      said: "200\nsaid back: a secret frame\n",
    },
    {
      title: "extended CONNECT to a WebSocket of HTTP/2",
      command: script(http2WebSocketClient(at(ports.webSocketHttp2))),
      said: "200\nsaid back: a secret frame\n",
    },
    {
      title: "Upgrade to a WebSocket of HTTP/2",
      command: script(http1WebSocketClient(at(ports.webSocketHttp2))),
      said: "said back: a secret frame\nclosed\n",
    },
  ];
}

async function startServers(pod: Pod, folder: string): Promise<void> {
  const listens = {
    http1: [ports.http1, ports.saidHttp1],
    http2: [ports.saidHttp2],
  };
  await Promise.all([
    startNginx(pod, folder, listens),
    startWebSocketServer(pod, ports.webSocket),
    pod.start("application", [process.execPath, "-e", webSocketOverHttp2]).untilSays(/listening/),
  ]);
}

async function ask(t: ExecutionContext, a: Pod, b: Pod, one: Case): Promise<void> {
  const counts = (): Promise<readonly number[]> =>
    Promise.all([
      metricSum(a, "request_total", 'direction="outbound"'),
      metricSum(b, "request_total", 'direction="inbound"'),
    ]);
  const before = await counts();
  const { out, err } = await a.exec("application", one.command);
  t.is(out, one.said, `${one.title}: ${err}`);
  t.deepEqual(
    await counts(),
    before.map((count) => count + 1),
    one.title,
  );
}

test("HTTP/1.1 and HTTP/2 are carried to applications that speak the other, WebSockets too", async (t) => {
  await using mesh = await NetnsMesh.start();
  const a = await mesh.addPod("a");
  const b = await mesh.addPod("b", Object.values(ports));
  const said: Readonly<Record<number, string>> = {
    [ports.saidHttp1]: "http",
    [ports.saidHttp2]: "kubernetes.io/h2c",
    [ports.webSocketHttp2]: "kubernetes.io/h2c",
  };
  const service = await mesh.addService({
    name: "b",
    ports: Object.values(ports).map((port) => {
      const appProtocol = said[port];
      return { port, targetPort: port, ...(appProtocol === undefined ? {} : { appProtocol }) };
    }),
    endpoints: [b],
  });
  await startServers(b, mesh.node.folder);
  await Promise.all([a, b].map((pod) => mesh.startSidecar(pod, { isTransparent: true })));
  for (const host of [service.ip4, service.ip6]) {
    for (const one of cases(host)) await ask(t, a, b, one);
  }
});
