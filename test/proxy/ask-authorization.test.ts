import test, { type ExecutionContext } from "ava";
import type { ExternalAuth, Filter } from "../../src/core/model/filter.ts";
import { authBy, startAsking } from "../harness/asking.ts";
import { GrpcAuthorizer, type GrpcVerdict, HttpAuthorizer } from "../harness/authorizer.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { RawClient } from "../harness/raw-client.ts";

const get = "GET /a?b=c HTTP/1.1\r\nHost: web\r\nAuthorization: me\r\nX-One: 1\r\nX-Two: 2\r\n\r\n";

test("an HTTP service is asked with the method, the path and the host, and sees no header but Authorization and those that are listed", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  const filter = authBy({ pathPrefix: "/check/", requestHeaders: ["x-one"] });
  await using shard = await startAsking(origin, authorizer, filter);
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) {
    t.is((await client.send(get).response()).body, "app GET /a?b=c");
  }
  t.is(authorizer.seen.length, 3);
  t.is(authorizer.connections, 1);
  const [question] = authorizer.seen;
  t.is(`${question?.method} ${question?.url}`, "GET /check/a?b=c");
  const { connection: _connection, ...headers } = question?.headers ?? {};
  t.deepEqual(headers, { host: "web", authorization: "me", "x-one": "1" });
});

test("an HTTP service sees what the filters before it have made of the headers", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  const modify = (value: string): Filter => ({
    kind: "request-headers",
    modifier: { set: [{ name: "x-one", value }], add: [], remove: ["x-two"] },
  });
  const asked = authBy({ requestHeaders: ["x-one", "x-two"] });
  await using shard = await startAsking(
    origin,
    authorizer,
    modify("before"),
    asked,
    modify("after"),
  );
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  t.is(authorizer.seen[0]?.headers["x-one"], "before");
  t.is(authorizer.seen[0]?.headers["x-two"], undefined);
  t.is(origin.header("x-one"), "after");
});

const copies = test.macro({
  exec: async (t, responseHeaders: readonly string[], seen: readonly (string | undefined)[]) => {
    await using origin = await EchoOrigin.start("app");
    await using authorizer = await HttpAuthorizer.start();
    authorizer.answer = (response) =>
      response
        .setHeader("x-user", "ann")
        .setHeader("x-one", "from auth")
        .setHeader("l5d-client-id", "forged")
        .setHeader("l5d_client_id", "forged")
        .end("not read");
    await using shard = await startAsking(origin, authorizer, authBy({ responseHeaders }));
    using client = await RawClient.open(shard.port());
    await client.send(get).response();
    t.deepEqual(
      ["x-user", "x-one", "l5d-client-id", "l5d_client_id"].map((name) => origin.header(name)),
      [...seen, undefined, undefined],
    );
    t.is(origin.seen[0]?.rawHeaders.filter((name) => name.toLowerCase() === "x-one").length, 1);
  },
  title: (_given, names: readonly string[]) =>
    `a yes over HTTP brings the headers [${names.join()}] to the backend`,
});
test(copies, ["x-user"], ["ann", "1"]);
test(copies, [], ["ann", "from auth"]);

test("a no over HTTP is the client's answer: status, headers and body", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  const body = Buffer.from([0, 255, 10, 13, 65]);
  authorizer.answer = (response) =>
    response
      .writeHead(401, {
        "www-authenticate": "Basic",
        "set-cookie": ["a=1", "b=2"],
        "l5d-proxy-error": "forged",
      })
      .end(body);
  await using shard = await startAsking(origin, authorizer, authBy());
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    const response = await client.send(get).response();
    t.is(response.status, 401);
    t.is(response.headers.get("www-authenticate"), "Basic");
    t.is(response.head.match(/set-cookie/g)?.length, 2);
    t.is(response.headers.get("l5d-proxy-error"), undefined);
    t.is(response.body, body.toString("latin1"));
  }
  t.is(origin.seen.length, 0);
  t.is(shard.count("response_total", { status_code: "401" }), 2);
});

const statuses = test.macro({
  exec: async (t, said: number, heard: number) => {
    await using origin = await EchoOrigin.start("app");
    await using authorizer = await HttpAuthorizer.start();
    authorizer.answer = (response) => response.writeHead(said, { location: "/login" }).end();
    await using shard = await startAsking(origin, authorizer, authBy());
    using client = await RawClient.open(shard.port());
    t.is((await client.send(get).response()).status, heard);
    t.is(origin.seen.length, heard === 200 ? 1 : 0);
  },
  title: (_given, said: number, heard: number) =>
    `an HTTP service that answers ${said} makes the client see ${heard}`,
});
test(statuses, 200, 200);
test(statuses, 201, 403);
test(statuses, 204, 403);
test(statuses, 302, 302);
test(statuses, 403, 403);
test(statuses, 500, 500);

const bodies = test.macro({
  exec: async (
    t,
    protocol: ExternalAuth["protocol"],
    framing: string,
    parts: readonly string[],
  ) => {
    await using origin = await EchoOrigin.start("app");
    await using http = await HttpAuthorizer.start();
    await using grpc = await GrpcAuthorizer.start();
    const authorizer = protocol === "http" ? http : grpc;
    await using shard = await startAsking(
      origin,
      authorizer,
      authBy({ protocol, maxBodyBytes: 15 }),
    );
    using client = await RawClient.open(shard.port());
    for (let i = 0; i < 2; i++) {
      client.send(`POST / HTTP/1.1\r\nHost: web\r\n${framing}\r\n\r\n`);
      for (const part of parts) client.send(part);
      t.is((await client.response()).status, 200);
      t.is(origin.seen[i]?.body, "hello, 15 bytes");
      const shown =
        protocol === "http" ? http.seen[i]?.body : grpc.seen[i]?.attributes?.request?.http?.body;
      t.is(shown, "hello, 15 bytes");
    }
  },
  title: (_given, protocol: ExternalAuth["protocol"], framing: string, parts: readonly string[]) =>
    `a body with "${framing}" in ${parts.length} parts is shown over ${protocol}, and then goes on`,
});
for (const protocol of ["http", "grpc"] as const) {
  test(bodies, protocol, "Content-Length: 15", ["hello, 15 bytes"]);
  test(bodies, protocol, "Content-Length: 15", ["hello", ", ", "15 bytes"]);
  test(bodies, protocol, "Transfer-Encoding: chunked", [
    "5\r\nhel",
    "lo\r\na;x=y\r\n, 15 bytes\r\n",
    "0\r\nx-sum: 1\r\n\r\n",
  ]);
}

test("a body that is shown is asked of a client that waits for 100", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  await using shard = await startAsking(origin, authorizer, authBy({ maxBodyBytes: 10 }));
  using client = await RawClient.open(shard.port());
  client.send("PUT / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  t.is((await client.response()).status, 100);
  t.is((await client.send("ok").response()).status, 200);
  t.is(authorizer.seen[0]?.body, "ok");
  t.is(origin.seen[0]?.body, "ok");
  t.is(origin.header("expect"), undefined);
});

test("a body that is not shown flows as ever, whatever its length", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  await using shard = await startAsking(origin, authorizer, authBy());
  using client = await RawClient.open(shard.port());
  const body = "x".repeat(1_000_000);
  client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  t.is((await client.response()).status, 200);
  t.is(origin.seen[0]?.body.length, body.length);
  t.is(authorizer.seen[0]?.body, "");
  t.is(authorizer.seen[0]?.headers["content-length"], "0");
});

const tooLong = test.macro({
  exec: async (t, framing: string, sent: string) => {
    await using origin = await EchoOrigin.start("app");
    await using authorizer = await HttpAuthorizer.start();
    await using shard = await startAsking(origin, authorizer, authBy({ maxBodyBytes: 15 }));
    using client = await RawClient.open(shard.port());
    client.send(`POST / HTTP/1.1\r\nHost: web\r\n${framing}\r\n\r\n`).send(sent);
    const response = await client.response();
    t.is(response.status, 413);
    t.is(
      response.headers.get("l5d-proxy-error"),
      "the body is longer than the authorization service may see",
    );
    t.is(origin.seen.length + authorizer.seen.length, 0);
  },
  title: (_given, framing: string) =>
    `a body with "${framing}" that is too long to be shown is refused`,
});
test(tooLong, "Content-Length: 16", "");
test(tooLong, "Transfer-Encoding: chunked", "10\r\nhello, 16 bytes!\r\n");
test(tooLong, "X-Whole: 1\r\nTransfer-Encoding: chunked", "10\r\nhello, 16 bytes!\r\n0\r\n\r\n");

test("a gRPC service is asked by Envoy's protocol", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await GrpcAuthorizer.start();
  const filter = authBy({ protocol: "grpc", requestHeaders: ["x-one", "authorization"] });
  await using shard = await startAsking(origin, authorizer, filter);
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) t.is((await client.send(get).response()).status, 200);
  t.is(authorizer.seen.length, 3);
  const { source, destination, request } = authorizer.seen[0]?.attributes ?? {};
  t.like(request?.http, {
    method: "GET",
    path: "/a?b=c",
    host: "web",
    scheme: "http",
    protocol: "HTTP/1.1",
    headers: { authorization: "me", "x-one": "1" },
    body: "",
  });
  t.is(source?.address?.socketAddress?.address, "127.0.0.1");
  t.truthy(destination);
});

const verdicts = test.macro({
  exec: async (
    t,
    _what: string,
    verdict: GrpcVerdict,
    check: (t: ExecutionContext, seen: readonly string[] | undefined, head: string) => void,
  ) => {
    await using origin = await EchoOrigin.start("app");
    await using authorizer = await GrpcAuthorizer.start();
    authorizer.verdict = verdict;
    await using shard = await startAsking(origin, authorizer, authBy({ protocol: "grpc" }));
    using client = await RawClient.open(shard.port());
    const response = await client.send(get).response();
    check(t, origin.seen[0]?.rawHeaders, `${response.head}\r\n\r\n${response.body}`);
  },
  title: (_given, what: string) => `a gRPC service ${what}`,
});

const header = (key: string, value: string): object => ({ key, value });

test(
  verdicts,
  "changes the headers of the request and of the response",
  {
    status: { code: 0 },
    httpResponse: {
      case: "okResponse",
      value: {
        headers: [
          { header: header("X-One", "set") },
          { header: header("x-two", "added"), append: true },
          { header: header("x-user", "ann") },
          { header: header("l5d-client-id", "forged") },
        ],
        headersToRemove: ["authorization"],
        responseHeadersToAdd: [{ header: header("x-seen", "yes") }],
      },
    },
  } as GrpcVerdict,
  (t, seen = [], head) => {
    const values = (name: string): readonly string[] =>
      seen.filter((_, at) => at % 2 === 1 && seen[at - 1]?.toLowerCase() === name);
    t.deepEqual(values("x-one"), ["set"]);
    t.deepEqual(values("x-two"), ["2", "added"]);
    t.deepEqual(values("x-user"), ["ann"]);
    t.deepEqual(values("l5d-client-id"), []);
    t.deepEqual(values("authorization"), []);
    t.true(head.includes("\r\nx-seen: yes"));
  },
);
test(
  verdicts,
  "denies with a status, headers and a body",
  {
    status: { code: 7 },
    httpResponse: {
      case: "deniedResponse",
      value: {
        status: { code: 429 },
        headers: [{ header: header("retry-after", "5") }],
        body: "zu viel – später",
      },
    },
  } as GrpcVerdict,
  (t, seen, head) => {
    t.is(seen, undefined);
    t.true(head.startsWith("HTTP/1.1 429 "));
    t.true(head.includes("\r\nretry-after: 5"));
    t.true(Buffer.from(head, "latin1").toString().endsWith("\r\n\r\nzu viel – später"));
  },
);
test(verdicts, "denies without a word", { status: { code: 7 } }, (t, seen, head) => {
  t.is(seen, undefined);
  t.true(head.startsWith("HTTP/1.1 403 "));
});
test(verdicts, "says nothing, which is a no", {}, (t, seen, head) => {
  t.is(seen, undefined);
  t.true(head.startsWith("HTTP/1.1 403 "));
});
