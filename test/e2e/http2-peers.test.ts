/** Clients and servers of HTTP/2 that we did not write, through two sidecars with mutual TLS. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { TestCa } from "../harness/certificates.ts";
import { needing } from "../harness/needing.ts";
import {
  admitting,
  backend,
  endpoint,
  endpointSnapshot,
  identities,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { pythonClient, pythonGrpc, pythonServer, saidByPython } from "../harness/python-grpc.ts";
import { RpcClient, RpcServer } from "../harness/rpc.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const ca = new TestCa();
const appPort = 8080;

/** Two sidecars in front of an application. */
class Pair implements AsyncDisposable {
  readonly near: ShardInTest;
  readonly far: ShardInTest;

  private constructor(near: ShardInTest, far: ShardInTest) {
    this.near = near;
    this.far = far;
  }

  static async start(hostPort: number): Promise<Pair> {
    const far = await ShardInTest.start({
      listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
      forwards: [{ port: appPort, host: "127.0.0.1", hostPort }],
      snapshots: [
        ca.issue(["web.demo.id"]),
        inboundSnapshot(appPort, admitting(identities("frontend.demo.id"))),
      ],
    });
    const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
    const near = await ShardInTest.start({
      snapshots: [
        ca.issue(["frontend.demo.id"]),
        endpointSnapshot("a", endpoint(appPort, { tls, inboundPort: far.port() })),
        outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
      ],
    });
    return new Pair(near, far);
  }

  get url(): string {
    return `http://127.0.0.1:${this.near.port()}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.near[Symbol.asyncDispose]();
    await this.far[Symbol.asyncDispose]();
  }
}

const trial = ["--version"];
const curl = { command: "curl", trial, debianPackage: "curl" };
const nghttp = { command: "nghttp", trial, debianPackage: "nghttp2-client" };
const h2load = { command: "h2load", trial, debianPackage: "nghttp2-client" };

async function run(command: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  await once(child, "close");
  return (await said).join("");
}

async function h2Origin(): Promise<{ readonly port: number; close(): void }> {
  const server = createServer((request, response) => {
    response.end(`${request.method} ${request.url}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

needing(curl)("curl is answered over HTTP/2 with prior knowledge", async (t) => {
  const origin = await h2Origin();
  await using pair = await Pair.start(origin.port);
  const said = await run(
    "curl",
    "-s",
    "--max-time",
    "20",
    "--http2-prior-knowledge",
    "-H",
    "Host: web",
    "-d",
    "hi",
    "-w",
    " %{http_version} %{http_code}",
    `${pair.url}/x`,
  );
  t.is(said, "POST /x 2 200");
  origin.close();
});

needing(nghttp)("nghttp is answered, with many streams on its connection", async (t) => {
  const origin = await h2Origin();
  await using pair = await Pair.start(origin.port);
  const said = await run("nghttp", "-v", "-m", "20", "-H", ":authority: web", `${pair.url}/y`);
  t.is(said.match(/:status: 200/g)?.length, 20);
  t.regex(said, /GET \/y/);
  origin.close();
});

needing(h2load)("h2load loses nothing", async (t) => {
  const origin = await h2Origin();
  await using pair = await Pair.start(origin.port);
  const said = await run(
    "h2load",
    "-n",
    "2000",
    "-c",
    "4",
    "-m",
    "20",
    "-H",
    ":authority: web",
    `${pair.url}/z`,
  );
  t.regex(said, /2000 succeeded, 0 failed, 0 errored/);
  origin.close();
});

needing(pythonGrpc)("a Python client of gRPC makes calls of all four shapes", async (t) => {
  await using server = await RpcServer.start();
  await using pair = await Pair.start(server.port);
  const [file = "", ...args] = pythonClient("web.demo:80", `127.0.0.1:${pair.near.port()}`);
  t.is(await run(file, ...args), saidByPython);
});

needing(pythonGrpc)("a Python server of gRPC answers calls of all four shapes", async (t) => {
  const [file = "", ...args] = pythonServer("127.0.0.1:0");
  const server = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => server.kill("SIGKILL"));
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  await using pair = await Pair.start(Number(/[0-9]+/.exec(line.toString())?.[0]));
  using client = new RpcClient(pair.near.port());
  const all = async (name: "unary" | "gather" | "spread" | "chat"): Promise<string> => {
    const { code, messages } = await client.call(name, [Buffer.from("ab"), Buffer.from("c")]);
    return `${code} ${messages.join("+")}`;
  };
  t.is(await all("unary"), "0 ab");
  t.is(await all("gather"), "0 abc");
  t.is(await all("spread"), "0 a+b");
  t.is(await all("chat"), "0 ab+c");
});
