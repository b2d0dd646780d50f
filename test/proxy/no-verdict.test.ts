import test, { type ExecutionContext } from "ava";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { authBy, authSnapshots, patient, startAsking } from "../harness/asking.ts";
import { GrpcAuthorizer, HttpAuthorizer } from "../harness/authorizer.ts";
import { TestCa } from "../harness/certificates.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
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
import { deadPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET /a?b=c HTTP/1.1\r\nHost: web\r\nAuthorization: me\r\nX-One: 1\r\nX-Two: 2\r\n\r\n";

const noVerdict = (reason: string): RegExp =>
  new RegExp(`^the authorization service gave no verdict: (?:${reason})$`);

async function checkRefused(
  t: ExecutionContext,
  shard: ShardInTest,
  origin: EchoOrigin,
  reason: RegExp,
): Promise<void> {
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 403);
  t.regex(response.headers.get("l5d-proxy-error") ?? "", reason);
  t.is(origin.seen.length, 0);
  t.is(shard.count("outbound_http_errors_total", { error: "external auth" }), 1);
}

for (const protocol of ["http", "grpc"] as const) {
  test(`a ${protocol} service without endpoints lets nobody in`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    const all = authSnapshots({ app: origin.port, auth: [] }, [authBy({ protocol })]);
    await using shard = await ShardInTest.start({ snapshots: all, limits: patient });
    await checkRefused(t, shard, origin, noVerdict("its backend has no endpoints"));
  });

  test(`a ${protocol} service that is not there lets nobody in`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    await using shard = await startAsking(origin, { port: deadPort }, authBy({ protocol }));
    await checkRefused(t, shard, origin, noVerdict(".*ECONNREFUSED"));
  });

  test(`a ${protocol} service that never answers lets nobody in`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    await using silent = await RawOrigin.start(() => {});
    const all = authSnapshots({ app: origin.port, auth: [silent.port] }, [authBy({ protocol })]);
    const limits = { externalAuthTimeoutMs: 100 };
    await using shard = await ShardInTest.start({ snapshots: all, limits });
    await checkRefused(t, shard, origin, noVerdict("it took longer than 100 ms"));
    await silent.until(() => silent.openCount === 0 || protocol === "grpc");
  });

  test(`a ${protocol} service that talks nonsense lets nobody in`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    await using babbler = await RawOrigin.start((socket) => {
      socket.end("220 mail.example.com ESMTP\r\n");
    });
    await using shard = await startAsking(origin, babbler, authBy({ protocol }));
    await checkRefused(t, shard, origin, noVerdict("127.0.0.1:.*: .*"));
  });

  test(`a ${protocol} service that hangs up lets nobody in`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    await using server = await RawOrigin.start((socket) => socket.destroy());
    await using shard = await startAsking(origin, server, authBy({ protocol }));
    await checkRefused(t, shard, origin, noVerdict("127.0.0.1:.*"));
  });

  test(`a dead endpoint of a ${protocol} service is passed over`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    await using http = await HttpAuthorizer.start();
    await using grpc = await GrpcAuthorizer.start();
    const alive = protocol === "http" ? http : grpc;
    const auth = [deadPort, alive.port];
    const all = authSnapshots({ app: origin.port, auth }, [authBy({ protocol })]);
    await using shard = await ShardInTest.start({ snapshots: all, limits: patient });
    using client = await RawClient.open(shard.port());
    for (let i = 0; i < 20; i++) t.is((await client.send(get).response()).status, 200);
  });
}

test("an HTTP service whose denial is too long lets nobody in", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  authorizer.answer = (response) => response.writeHead(401).end("x".repeat(100_000));
  await using shard = await startAsking(origin, authorizer, authBy());
  await checkRefused(t, shard, origin, noVerdict(".*the answer is longer than 32768 bytes"));
});

test("a gRPC service that fails lets nobody in", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await GrpcAuthorizer.start();
  authorizer.verdict = "fail";
  await using shard = await startAsking(origin, authorizer, authBy({ protocol: "grpc" }));
  await checkRefused(t, shard, origin, noVerdict("it failed with gRPC status 13"));
});

test("a connection that an HTTP service closed while it waited costs nobody an answer", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  await using shard = await startAsking(origin, authorizer, authBy());
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 5; i++) {
    t.is((await client.send(get).response()).status, 200);
    authorizer.closeIdle();
  }
});

test("a client that goes away takes its question along", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  await using shard = await startAsking(origin, authorizer, authBy());
  const client = await RawClient.open(shard.port());
  const asked = new Promise<void>((resolve) => {
    authorizer.answer = () => resolve();
  });
  client.send(get);
  await asked;
  client[Symbol.dispose]();
  await shard.until(() => authorizer.abandoned === 1);
  t.is(origin.seen.length, 0);
});

test("the time that a rule allows counts while a service is asked", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  authorizer.answer = () => {};
  const where = { app: origin.port, auth: [authorizer.port] };
  const timeouts = { ...noTimeouts, requestMs: 100 };
  const all = authSnapshots(where, [authBy()], { timeouts });
  await using shard = await ShardInTest.start({ snapshots: all, limits: patient });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 504);
  // The time may be over before the question has arrived.
  await shard.until(() => authorizer.abandoned === authorizer.seen.length);
});

test("a filter of a backend asks too", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  authorizer.answer = (response) => response.writeHead(401).end();
  const where = { app: origin.port, auth: [authorizer.port] };
  const backends = to(backend("app", { filters: [authBy({ maxBodyBytes: 10 })] }));
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: authSnapshots(where, [], { backends }),
  });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nok");
  t.is((await client.response()).status, 401);
  t.is(authorizer.seen[0]?.body, "ok");
});

const ca = new TestCa();
const web = ca.issue(["auth.demo.id"]);
const frontend = ca.issue(["frontend.demo.id"]);

const meshed = test.macro({
  exec: async (t, admitted: string, status: number) => {
    await using origin = await EchoOrigin.start("app");
    await using authorizer = await HttpAuthorizer.start();
    await using authSidecar = await ShardInTest.start({
      limits: patient,
      listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
      forwards: [{ port: 8080, host: "127.0.0.1", hostPort: authorizer.port }],
      snapshots: [web, inboundSnapshot(8080, admitting(identities(admitted)))],
    });
    const tls = { identity: "auth.demo.id", serverName: "auth.demo.id" };
    await using shard = await ShardInTest.start({
      limits: patient,
      snapshots: [
        frontend,
        endpointSnapshot("app", endpoint(origin.port)),
        endpointSnapshot("auth", endpoint(8080, { tls, inboundPort: authSidecar.port() })),
        outboundSnapshot(routed(rule({ backends: to(backend("app")), filters: [authBy()] }))),
      ],
    });
    using client = await RawClient.open(shard.port());
    for (let i = 0; i < 2; i++) t.is((await client.send(get).response()).status, status);
    t.is(origin.seen.length, status === 200 ? 2 : 0);
    t.is(authSidecar.count("tcp_open_total", { peer: "src", tls: "true" }), 1);
  },
  title: (_given, admitted: string, status: number) =>
    `a meshed service that admits ${admitted} is asked over mutual TLS: ${status}`,
});
test(meshed, "frontend.demo.id", 200);
test(meshed, "admin.demo.id", 403);

test("a meshed service that cannot prove its name is told nothing", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const impostor = ca.issue(["impostor.demo.id"]);
  await using other = await ShardInTest.start({
    limits: patient,
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    snapshots: [impostor],
  });
  const tls = { identity: "auth.demo.id", serverName: "auth.demo.id" };
  for (const protocol of ["http", "grpc"] as const) {
    const known = [endpointSnapshot("app", endpoint(origin.port))];
    const auth = endpointSnapshot("auth", endpoint(8080, { tls, inboundPort: other.port() }));
    const filters = [authBy({ protocol })];
    const table = routed(rule({ backends: to(backend("app")), filters }));
    await using shard = await ShardInTest.start({
      limits: patient,
      snapshots: [frontend, ...known, auth, outboundSnapshot(table)],
    });
    await checkRefused(
      t,
      shard,
      origin,
      noVerdict('.*the peer is "impostor.demo.id" instead of "auth.demo.id"'),
    );
  }
});

test("a meshed service is not asked in plain text while this workload has no certificate", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await RawOrigin.start(() => {});
  const tls = { identity: "auth.demo.id", serverName: "auth.demo.id" };
  const table = routed(rule({ backends: to(backend("app")), filters: [authBy()] }));
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: [
      endpointSnapshot("app", endpoint(origin.port)),
      endpointSnapshot("auth", endpoint(server.port, { tls })),
      outboundSnapshot(table),
    ],
  });
  await checkRefused(t, shard, origin, noVerdict(".*certificate.*"));
  t.is(server.received, "");
});
