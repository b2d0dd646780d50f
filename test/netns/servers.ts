/** Servers that we did not write, and small ones of our own, in a pod. Each resolves when it listens on all addresses of the pod. */
import { globSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { must } from "../../src/demo/netns/command.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";
import type { Running } from "../../src/demo/netns/running.ts";

/** A folder below `folder` that belongs to a system user. */
async function folderOf(folder: string, user: string): Promise<string> {
  const made = path.join(folder, user);
  mkdirSync(made);
  await must("chown", [user, made]);
  return made;
}

function as(user: string, command: readonly string[]): readonly string[] {
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", ...command];
}

export async function startRedis(pod: Pod, port: number): Promise<Running> {
  const options = ["--bind", "0.0.0.0", "::", "--protected-mode", "no", "--save", ""];
  const redis = pod.start("application", ["redis-server", "--port", String(port), ...options]);
  await redis.untilSays(/Ready to accept connections/);
  return redis;
}

export async function startPostgres(pod: Pod, folder: string, port: number): Promise<Running> {
  const data = await folderOf(folder, "postgres");
  const [bin = ""] = globSync("/usr/lib/postgresql/*/bin");
  const made = as("postgres", [
    `${bin}/initdb`,
    ...["-D", data, "-A", "trust", "-N", "-U", "postgres", "--no-instructions"],
  ]);
  const [file = "", ...args] = made;
  await must(file, args);
  writeFileSync(path.join(data, "pg_hba.conf"), "host all all all trust\n");
  const options = ["-D", data, "-k", data, "-h", "*", "-p", String(port), "-c", "fsync=off"];
  const postgres = pod.start("root", as("postgres", [`${bin}/postgres`, ...options]));
  await postgres.untilSays(/ready to accept connections/);
  return postgres;
}

/** It greets its clients before they say a word. */
export async function startMariaDb(pod: Pod, folder: string, port: number): Promise<Running> {
  const data = await folderOf(folder, "mysql");
  await must("mariadb-install-db", [
    ...["--no-defaults", "--user=mysql", `--datadir=${data}`, "--skip-test-db"],
    "--auth-root-authentication-method=normal",
  ]);
  const options = [`--datadir=${data}`, `--socket=${data}/socket`, `--port=${port}`];
  const server = pod.start("root", [
    ...as("mysql", [
      "mariadbd",
      "--no-defaults",
      "--bind-address=0.0.0.0,::",
      "--skip-name-resolve",
    ]),
    ...[...options, `--pid-file=${data}/pid`],
  ]);
  await server.untilSays(/ready for connections/);
  const init = "create user guest; select 1";
  await must("mariadb", ["--no-defaults", `--socket=${data}/socket`, "-uroot", "-e", init]);
  return server;
}

/** Ports by what is spoken there and nothing else. */
export type NginxPorts = { readonly http1?: readonly number[]; readonly http2?: readonly number[] };

export async function startNginx(pod: Pod, folder: string, ports: NginxPorts): Promise<Running> {
  const config = path.join(folder, "nginx.conf");
  const listen = (port: number, speaks: string): string =>
    `listen ${port}${speaks}; listen [::]:${port}${speaks};`;
  const { http1 = [], http2 = [] } = ports;
  const listens = [
    ...http1.map((port) => listen(port, "")),
    ...http2.map((port) => listen(port, " http2")),
  ];
  writeFileSync(
    config,
    `daemon off; error_log stderr notice; pid ${folder}/nginx.pid; events {}
http { access_log off; server { ${listens.join(" ")}
  location / { return 200 "nginx for $request_uri"; } } }
`,
  );
  const nginx = pod.start("root", ["nginx", "-c", config, "-e", "stderr"]);
  await nginx.untilSays(/start worker processes/);
  return nginx;
}

/** As mail servers do it: a greeting first, an answer to each line, and one more after the client has ended its side. */
const greeter = (port: number): string => `
require("node:net").createServer({ allowHalfOpen: true }, (socket) => {
  socket.write("220 hello\\r\\n");
  socket.on("data", (bytes) => socket.write("250 " + bytes));
  socket.on("end", () => socket.end("221 bye\\r\\n"));
  socket.on("error", () => {});
}).listen(${port}, "::", () => console.log("listening"));`;

/** RFC 6455, server's side: takes the handshake, and says back what comes in one short frame, the end included. */
const webSocketServer = (port: number): string => `
const { createHash } = require("node:crypto");
require("node:http").createServer().on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: " + accept + "\\r\\n\\r\\n");
  socket.on("data", (frame) => {
    const text = Buffer.from(frame.subarray(6).map((byte, at) => byte ^ frame[2 + (at % 4)]));
    if ((frame[0] & 15) === 1) socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
    else socket.end(Buffer.from([0x88, 0]));
  });
  socket.on("error", () => {});
}).listen(${port}, "::", () => console.log("listening"));`;

export async function startGreeter(pod: Pod, port: number): Promise<Running> {
  return startScript(pod, greeter(port));
}

export async function startWebSocketServer(pod: Pod, port: number): Promise<Running> {
  return startScript(pod, webSocketServer(port));
}

async function startScript(pod: Pod, script: string): Promise<Running> {
  const running = pod.start("application", [process.execPath, "-e", script]);
  await running.untilSays(/listening/);
  return running;
}
