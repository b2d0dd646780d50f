import test from "ava";
import { maxAsyncPayloadBytes, maxSyncPayloadBytes } from "../../src/core/decide/lambda.ts";
import type { LambdaFunction, RouteBackend } from "../../src/core/model/backend.ts";
import type { OutboundHttpRule } from "../../src/core/model/http-route.ts";
import { resourceMeta } from "../../src/core/model/meta.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { Secret } from "../../src/core/std/secret.ts";
import { authBy } from "../harness/asking.ts";
import { LambdaService, lambdaKeys } from "../harness/lambda-service.ts";
import { outboundSnapshot, routed, rule, to } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET /a%20b?c=d HTTP/1.1\r\nHost: web\r\nX-One: 1\r\n\r\n";

function functionAt(endpointUrl: string, parts: Partial<LambdaFunction> = {}): RouteBackend {
  const meta = resourceMeta({
    group: "gateway.kgateway.dev",
    kind: "Backend",
    namespace: "demo",
    name: "orders",
  });
  const fn: LambdaFunction = {
    region: "eu-central-1",
    accountId: "123456789012",
    name: "orders",
    qualifier: "live",
    mode: "sync",
    payload: "envoy",
    endpointUrl,
    accessKey: new Secret(lambdaKeys.accessKey),
    secretKey: new Secret(lambdaKeys.secretKey),
    sessionToken: new Secret(lambdaKeys.sessionToken),
    ...parts,
  };
  return { backend: { meta, dispatch: { kind: "lambda", function: fn } }, filters: [], weight: 1 };
}

function startShard(
  backend: RouteBackend,
  parts: Partial<OutboundHttpRule> = {},
): Promise<ShardInTest> {
  return ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ backends: to(backend), ...parts })))],
  });
}

test("a function gets requests as signed calls, and its answers are responses", async (t) => {
  await using lambda = await LambdaService.start();
  await using shard = await startShard(functionAt(lambda.url));
  using client = await RawClient.open(shard.port());
  lambda.answer = (response) => {
    response.end(
      JSON.stringify({
        statusCode: 201,
        headers: { "X-Two": "2" },
        cookies: ["a=1", "b=2"],
        body: "grüße",
      }),
    );
  };
  for (let i = 0; i < 3; i++) {
    const response = await client.send(get).response();
    t.is(response.status, 201);
    t.is(response.headers.get("x-two"), "2");
    t.is(response.head.match(/set-cookie: /g)?.length, 2);
    t.is(Buffer.from(response.body, "latin1").toString(), "grüße");
  }
  t.is(lambda.calls.length, 3);
  const [call] = lambda.calls;
  t.true(lambda.calls.every(({ isSigned }) => isSigned));
  t.is(
    call?.url,
    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Aorders/invocations?Qualifier=live",
  );
  t.is(call?.headers["x-amz-invocation-type"], "RequestResponse");
  t.deepEqual(JSON.parse(call?.payload ?? ""), {
    raw_path: "/a%20b?c=d",
    method: "GET",
    headers: { host: "web", "x-one": "1" },
    query_string_parameters: { c: "d" },
    body: "",
    is_base64_encoded: false,
  });
});

test("a function gets what the filters of the route have made of a request", async (t) => {
  await using lambda = await LambdaService.start();
  const modifier = { set: [{ name: "x-one", value: "uno" }], add: [], remove: [] };
  const filters = [
    { kind: "request-headers", modifier } as const,
    { kind: "response-headers", modifier } as const,
  ];
  await using shard = await startShard(functionAt(lambda.url), { filters });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.headers.get("x-one"), "uno");
  t.like(JSON.parse(lambda.calls[0]?.payload ?? ""), { headers: { "x-one": "uno" } });
});

const bodies = test.macro({
  exec: async (t, framing: string, sent: string) => {
    await using lambda = await LambdaService.start();
    await using shard = await startShard(functionAt(lambda.url));
    using client = await RawClient.open(shard.port());
    for (let i = 0; i < 2; i++) {
      client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Type: text/plain\r\n${framing}\r\n\r\n`);
      for (const part of sent.match(/.{1,7}/gs) ?? []) client.send(part);
      t.is((await client.response()).body, "hello");
      t.like(JSON.parse(lambda.calls[i]?.payload ?? ""), { body: "hello, function" });
    }
  },
  title: (_given, framing: string) => `a function gets a body with "${framing}"`,
});
test(bodies, "Content-Length: 15", "hello, function");
test(
  bodies,
  "Transfer-Encoding: chunked",
  "5\r\nhello\r\n0a;x=y\r\n, function\r\n0\r\nX-Sum: 1\r\n\r\n",
);

test("a function gets a body that waits for 100", async (t) => {
  await using lambda = await LambdaService.start();
  await using shard = await startShard(functionAt(lambda.url));
  using client = await RawClient.open(shard.port());
  client.send("PUT / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  t.is((await client.response()).status, 100);
  t.is((await client.send("ok").response()).body, "hello");
});

test("a function's answer to HEAD has no body, and the connection goes on", async (t) => {
  await using lambda = await LambdaService.start();
  await using shard = await startShard(functionAt(lambda.url));
  using client = await RawClient.open(shard.port());
  const head = await client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n").response(true);
  t.is(head.headers.get("content-length"), "5");
  t.is((await client.send(get).response()).body, "hello");
});

test("a function's answer of 4 MB reaches a client that reads slowly", async (t) => {
  await using lambda = await LambdaService.start();
  const body = Buffer.alloc(4_000_000, "0123456789");
  lambda.answer = (response) =>
    response.end(JSON.stringify({ body: body.toString("base64"), isBase64Encoded: true }));
  await using shard = await startShard(functionAt(lambda.url));
  using client = await RawClient.open(shard.port());
  client.socket.pause();
  client.send(get);
  await shard.until(() => shard.count("response_total", { status_code: "200" }) === 1);
  client.socket.resume();
  const response = await client.response();
  t.is(response.body, body.toString("latin1"));
});

const refusedLengths = test.macro({
  exec: async (t, mode: LambdaFunction["mode"], limit: number, chunked: boolean) => {
    await using lambda = await LambdaService.start();
    await using shard = await startShard(functionAt(lambda.url, { mode, payload: "none" }));
    using client = await RawClient.open(shard.port());
    const most = "x".repeat(limit);
    client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${limit}\r\n\r\n${most}`);
    t.true((await client.response()).status < 300);
    t.is(lambda.calls[0]?.payload.length, limit);
    const framing = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${limit + 1}`;
    client.send(`POST / HTTP/1.1\r\nHost: web\r\n${framing}\r\n\r\n`);
    // It is not sent to its end: 413 comes without waiting for that.
    if (chunked) client.send(`${(limit + 100).toString(16)}\r\n${most}xx`);
    const response = await client.response();
    t.is(response.status, 413);
    t.is(response.headers.get("l5d-proxy-error"), `the function takes ${limit} bytes at the most`);
    t.is(lambda.calls.length, 1);
  },
  title: (_given, mode: LambdaFunction["mode"], _limit: number, chunked: boolean) =>
    `a function of mode ${mode} refuses a${chunked ? " chunked" : ""} body that is too long, and takes the longest`,
});
test(refusedLengths, "sync", maxSyncPayloadBytes, false);
test(refusedLengths, "sync", maxSyncPayloadBytes, true);
test(refusedLengths, "async", maxAsyncPayloadBytes, false);
test(refusedLengths, "async", maxAsyncPayloadBytes, true);

test("a function refuses a body that is too long only when it is wrapped", async (t) => {
  await using lambda = await LambdaService.start();
  await using shard = await startShard(functionAt(lambda.url, { mode: "async" }));
  using client = await RawClient.open(shard.port());
  const body = "x".repeat(maxAsyncPayloadBytes - 10);
  client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  t.is((await client.response()).status, 413);
  t.is(lambda.calls.length, 0);
});

test("a function that nobody waits for is called as an event, and answered by 202", async (t) => {
  await using lambda = await LambdaService.start();
  lambda.answer = (response) => response.writeHead(202).end();
  await using shard = await startShard(functionAt(lambda.url, { mode: "async" }));
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 202);
  t.is(response.body, "");
  t.is(lambda.calls[0]?.headers["x-amz-invocation-type"], "Event");
});

test("a function without a transformation gets the body as it is, and so does the client", async (t) => {
  await using lambda = await LambdaService.start();
  lambda.answer = (response) =>
    response.writeHead(200, { "content-type": "application/json" }).end('{"statusCode":500}');
  await using shard = await startShard(functionAt(lambda.url, { payload: "none" }));
  using client = await RawClient.open(shard.port());
  const body = '{"a":1}';
  client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const response = await client.response();
  t.is(response.status, 200);
  t.is(response.headers.get("content-type"), "application/json");
  t.is(response.body, '{"statusCode":500}');
  t.is(lambda.calls[0]?.payload, body);
});

type Refusal = {
  readonly answer: LambdaService["answer"];
  readonly status: number;
  readonly reason: string;
};

const failures = test.macro({
  exec: async (t, _what: string, { answer, status, reason }: Refusal) => {
    await using lambda = await LambdaService.start();
    lambda.answer = answer;
    await using shard = await startShard(functionAt(lambda.url));
    using client = await RawClient.open(shard.port());
    const response = await client.send(get).response();
    t.is(response.status, status);
    t.is(response.headers.get("l5d-proxy-error"), reason);
    for (const key of Object.values(lambdaKeys)) {
      t.false((response.head + response.body).includes(key));
      t.false(JSON.stringify(shard.messages).includes(key));
    }
    // The connection goes on.
    lambda.answer = (next) => next.end("{}");
    t.is((await client.send(get).response()).status, 200);
  },
  title: (_given, what: string) => `a function that ${what}`,
});
test(failures, "throws answers 502", {
  answer: (response) =>
    response
      .writeHead(200, { "x-amz-function-error": "Unhandled" })
      .end(JSON.stringify({ errorMessage: lambdaKeys.secretKey, body: "x" })),
  status: 502,
  reason: 'the function "orders" failed',
});
test(failures, "may not be called answers 502 with the name of the error alone", {
  answer: (response, { headers }) =>
    response
      .writeHead(403, {
        "x-amzn-errortype": `InvalidSignatureException:${lambdaKeys.sessionToken}`,
      })
      .end(JSON.stringify({ message: `The canonical string was ${headers.authorization}` })),
  status: 502,
  reason: 'the function "orders" cannot be called: AWS answered 403 InvalidSignatureException',
});
test(failures, "is called too often answers 429", {
  answer: (response) => response.writeHead(429).end(),
  status: 429,
  reason: 'the function "orders" is called too often',
});
test("how long a function wants to be left alone is passed on", async (t) => {
  await using lambda = await LambdaService.start();
  lambda.answer = (response) => response.writeHead(429, { "retry-after": "7" }).end();
  await using shard = await startShard(functionAt(lambda.url));
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).headers.get("retry-after"), "7");
  lambda.answer = (response) => response.writeHead(429).end();
  t.is((await client.send(get).response()).headers.get("retry-after"), undefined);
});

test("a function is no end of a tunnel", async (t) => {
  await using lambda = await LambdaService.start();
  await using shard = await startShard(functionAt(lambda.url));
  using client = await RawClient.open(shard.port());
  t.is(
    (await client.send("CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n").response()).status,
    501,
  );
  t.is(lambda.calls.length, 0);
});

test(failures, "answers nonsense answers 502", {
  answer: (response) => response.end("<html>"),
  status: 502,
  reason: 'the function "orders": the answer of the function is not JSON',
});
test(failures, "breaks off answers 502", {
  answer: (response) => {
    response.writeHead(200, { "content-length": 100 }).write("x");
    setImmediate(() => response.destroy());
  },
  status: 502,
  reason: 'the function "orders" cannot be called: the answer broke off: ECONNRESET',
});

const badUrls = test.macro({
  exec: async (t, endpointUrl: string, reason: string) => {
    await using shard = await startShard(functionAt(endpointUrl));
    using client = await RawClient.open(shard.port());
    const response = await client.send(get).response();
    t.is(response.status, 502);
    t.is(
      response.headers.get("l5d-proxy-error"),
      `the function "orders" cannot be called: ${reason}`,
    );
  },
  title: (_given, endpointUrl: string) => `a function is not called at ${endpointUrl}`,
});
test(badUrls, "http://lambda.example.com", "its endpoint URL must begin with https://");
test(badUrls, "http://10.0.0.1", "its endpoint URL must begin with https://");
test(badUrls, "ftp://127.0.0.1", "its endpoint URL must begin with https://");
test(badUrls, "https://user:secret@127.0.0.1", "its endpoint URL must not hold a user");
test(badUrls, "nonsense", "its endpoint URL is none");

test("a function whose service is not what TLS says it must be is not called", async (t) => {
  // The port is there, but speaks no TLS.
  await using lambda = await LambdaService.start();
  await using shard = await startShard(functionAt(lambda.url.replace("http", "https")));
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 502);
  t.regex(response.headers.get("l5d-proxy-error") ?? "", /cannot be called: the call failed: E/);
  t.is(lambda.calls.length, 0);
});

test("a call of a function ends with the time that its rule allows", async (t) => {
  await using lambda = await LambdaService.start();
  lambda.answer = () => {};
  const timeouts = { ...noTimeouts, requestMs: 100 };
  await using shard = await startShard(functionAt(lambda.url), { timeouts });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 504);
  // The time may be over before the call has arrived.
  await shard.until(() => lambda.abandoned === lambda.calls.length);
});

test("a call of a function ends when its client goes away", async (t) => {
  await using lambda = await LambdaService.start();
  await using shard = await startShard(functionAt(lambda.url));
  const client = await RawClient.open(shard.port());
  const called = new Promise<void>((resolve) => {
    lambda.answer = () => resolve();
  });
  client.send(get);
  await called;
  client[Symbol.dispose]();
  await shard.until(() => lambda.abandoned === 1);
  t.is(lambda.abandoned, 1);
});

test("a function gets copies of requests like any mirror", async (t) => {
  await using lambda = await LambdaService.start();
  await using copied = await LambdaService.start();
  const { backend } = functionAt(copied.url);
  const mirror = { kind: "mirror", mirror: { backend, numerator: 1, denominator: 1 } } as const;
  await using shard = await startShard(functionAt(lambda.url), { filters: [mirror] });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) t.is((await client.send(get).response()).body, "hello");
  await shard.until(() => copied.calls.length === 2);
  t.true(copied.calls.every(({ isSigned }) => isSigned));
});

test("a function is not asked for authorization", async (t) => {
  await using lambda = await LambdaService.start();
  const { backend } = functionAt(lambda.url);
  await using shard = await startShard(functionAt(lambda.url), { filters: [authBy({ backend })] });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 403);
  t.regex(response.headers.get("l5d-proxy-error") ?? "", /its backend is a function/);
  t.is(lambda.calls.length, 0);
});
