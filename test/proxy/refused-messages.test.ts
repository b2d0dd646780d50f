import test from "ava";
import { RawOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const ambiguous: readonly string[] = [
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: +3\r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3,3\r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0x3\r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: \r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.0\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "GET / HTTP/1.1\nHost: web\n\n",
  "GET / HTTP/1.1\r\nHost: web\nX: 1\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: web\rX: 1\r\n\r\n",
  "GET / HTTP/1.1\r\nHost : web\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: web\r\nX: 1\r\n 2\r\n\r\n",
  "GET / HTTP/1.1\r\n Host: web\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: web\r\nX: a\0b\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: web\r\nX\u00e9: 1\r\n\r\n",
  "GET / HTTP/1.1\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: user@web\r\n\r\n",
  "GET http://other/ HTTP/1.1\r\nHost: web\r\n\r\n",
  "GET /a#b HTTP/1.1\r\nHost: web\r\n\r\n",
  "GET /a b HTTP/1.1\r\nHost: web\r\n\r\n",
  "GET /\\..\\admin HTTP/1.1\r\nHost: web\r\n\r\n",
  "GET /a%00 HTTP/1.1\r\nHost: web\r\n\r\n",
  "GET / HTTP/2.0\r\nHost: web\r\n\r\n",
  "GET /\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: web\r\nConnection: content-length\r\n\r\n",
];

for (const request of ambiguous) {
  test(`Downstream refuses ${JSON.stringify(request)}, closes, and sends nothing on`, async (t) => {
    await using origin = await RawOrigin.answering(ok);
    await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
    using client = await RawClient.open(shard.port());
    const response = await client.send(`${request}${get}`).response();
    t.true([400, 501, 505].includes(response.status), String(response.status));
    t.is(response.headers.get("connection"), "close");
    await client.closed();
    t.is(client.text, "");
    t.is(origin.received, "");
    t.is(shard.count("outbound_http_errors_total", { error: "bad request" }), 1);
  });
}

const badBodies: readonly string[] = [
  "-1\r\nabc\r\n0\r\n\r\n",
  "0x3\r\nabc\r\n0\r\n\r\n",
  "3 \r\nabc\r\n0\r\n\r\n",
  "3\nabc\r\n0\r\n\r\n",
  "3\r\nabc\n0\r\n\r\n",
  "3\r\nabcd\r\n0\r\n\r\n",
  "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
  `3;${"x".repeat(300)}\r\nabc\r\n0\r\n\r\n`,
  "0\r\nContent-Length: 3\r\n\r\n",
  "0\r\nL5d-Client-Id: me\r\n\r\n",
];

for (const body of badBodies) {
  test(`Downstream refuses a body that begins ${JSON.stringify(body.slice(0, 30))}`, async (t) => {
    await using origin = await RawOrigin.start(() => {});
    await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
    using client = await RawClient.open(shard.port());
    const head = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head);
    await origin.until(() => origin.received !== "");
    client.send(`${body}${get}`);
    t.is((await client.response()).status, 400);
    await client.closed();
    await origin.until(() => origin.openCount === 0);
    t.false(origin.received.includes("GET"));
  });
}

const badResponses: readonly string[] = [
  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
  "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
  "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\n\r\n",
  "HTTP/1.1 99 X\r\n\r\n",
  "hello\r\n\r\n",
];

for (const bad of badResponses) {
  test(`Upstream answers 502 for ${JSON.stringify(bad)}`, async (t) => {
    await using origin = await RawOrigin.answering(bad);
    await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
    using client = await RawClient.open(shard.port());
    t.is((await client.send(get).response()).status, 502);
    await origin.until(() => origin.openCount === 0);
    t.is(shard.count("outbound_http_errors_total", { error: "bad response" }), 1);
  });
}
