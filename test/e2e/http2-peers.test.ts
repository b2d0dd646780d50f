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

const pythonClient = `
import sys, grpc
same = lambda b: b
channel = grpc.insecure_channel("127.0.0.1:" + sys.argv[1], [("grpc.default_authority", "web.demo:80"), ("grpc.enable_http_proxy", 0)])
made = lambda kind, name: getattr(channel, kind)("/demo.Echo/" + name, same, same)
print(made("unary_unary", "Unary")(b"one").decode())
print(made("stream_unary", "Gather")(iter([b"a", b"b"])).decode())
print("+".join(m.decode() for m in made("unary_stream", "Spread")(b"xyz")))
print("+".join(m.decode() for m in made("stream_stream", "Chat")(iter([b"p", b"q"]))))
try:
    made("unary_unary", "Unary")(b"one", metadata=[("fail", "9")])
except grpc.RpcError as error:
    print(error.code().name, error.details())
`;

const pythonServer = `
import sys, grpc
from concurrent import futures
same = lambda b: b
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.split("/")[-1]
        if name == "Unary": return grpc.unary_unary_rpc_method_handler(lambda m, c: m, same, same)
        if name == "Gather": return grpc.stream_unary_rpc_method_handler(lambda ms, c: b"".join(ms), same, same)
        if name == "Spread": return grpc.unary_stream_rpc_method_handler(lambda m, c: (bytes([b]) for b in m), same, same)
        if name == "Chat": return grpc.stream_stream_rpc_method_handler(lambda ms, c: (m for m in ms), same, same)
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Echo(),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
`;

/** Debian's, which is not always the first one of a machine. */
const python = "/usr/bin/python3";
const pythonGrpc = {
  command: python,
  trial: ["-c", "import grpc"],
  debianPackage: "python3-grpcio",
};

needing(pythonGrpc)("a Python client of gRPC makes calls of all four shapes", async (t) => {
  await using server = await RpcServer.start();
  await using pair = await Pair.start(server.port);
  const said = await run(python, "-c", pythonClient, String(pair.near.port()));
  t.is(said, "one\nab\nx+y+z\np+q\nFAILED_PRECONDITION asked to fail\n");
});

needing(pythonGrpc)("a Python server of gRPC answers calls of all four shapes", async (t) => {
  const server = spawn(python, ["-c", pythonServer], { stdio: ["pipe", "pipe", "inherit"] });
  t.teardown(() => server.kill("SIGKILL"));
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  await using pair = await Pair.start(Number(line.toString()));
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
