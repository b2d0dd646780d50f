import { once } from "node:events";
import { type ClientHttp2Session, connect, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import test from "ava";
import { EchoOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

type Answer = {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly body: string;
};

async function ask(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body: string | undefined = undefined,
): Promise<Answer> {
  const stream = session.request(headers, { endStream: body === undefined });
  let trailers = {};
  stream.on("trailers", (fields: object) => {
    trailers = { ...fields };
  });
  const answered = once(stream, "response");
  if (body !== undefined) stream.end(body);
  const [head] = (await answered) as [object];
  const text = (await buffer(stream)).toString("latin1");
  return { headers: { ...head }, trailers, body: text };
}

test("serveHttp() takes HTTP/2 with prior knowledge to a backend that speaks HTTP/1", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  const session = connect(`http://127.0.0.1:${shard.port()}`);
  const answer = await ask(session, { ":path": "/x", ":authority": "web" });
  t.is(answer.body, "a GET /x");
  session.close();
});
void createHttp2Server;
void (0 as unknown as AddressInfo);
