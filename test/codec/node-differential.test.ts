/**
 * Another parser behind ours: what passes here must be the same request to Node's own HTTP server, or be refused by it.
 * A request that the two read differently is a way to smuggle one.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { Duplex } from "node:stream";
import test from "ava";
import fc from "fast-check";
import { mutated, mutation, parts, textOf } from "./generated-requests.ts";
import { latin1, readRequests } from "./read-messages.ts";

type Seen = readonly [method: string, target: string, bodyBytes: number];

/** The requests that Node's server completes from these bytes, in their order. */
async function nodeReads(server: Server, bytes: Buffer): Promise<readonly Seen[]> {
  const seen: Seen[] = [];
  const wire = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const onRequest = (request: IncomingMessage): void => {
    let bodyBytes = 0;
    request.on("data", (chunk: Buffer) => {
      bodyBytes += chunk.length;
    });
    request.on("end", () => seen.push([request.method ?? "", request.url ?? "", bodyBytes]));
    request.on("error", () => {});
  };
  server.on("request", onRequest);
  wire.on("error", () => {});
  wire.on("close", close);
  server.emit("connection", wire);
  wire.push(bytes);
  wire.push(null);
  await closed;
  server.off("request", onRequest);
  return seen;
}

function nodeServer(): Server {
  const server = createServer({ requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
    request.on("end", () => response.end());
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  for (const event of ["upgrade", "connect"]) {
    server.on(event, (_request, socket: Duplex) => socket.destroy());
  }
  return server;
}

function weftReads(bytes: Buffer): readonly Seen[] {
  return readRequests([bytes]).messages.map(
    (message) => [String(message.start), String(message.target[6]), message.payloadBytes] as const,
  );
}

test("nodeReads() sees what a valid request is", async (t) => {
  const bytes = latin1(
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
  );
  t.deepEqual(await nodeReads(nodeServer(), bytes), [
    ["POST", "/a", 3],
    ["GET", "/b", 0],
  ]);
  t.deepEqual(weftReads(bytes), await nodeReads(nodeServer(), bytes));
});

test("what parseRequestHead() and BodyReader accept is the same to Node's server, or refused by it", async (t) => {
  const server = nodeServer();
  // Node knows a list of methods only, and refusing a request teaches nothing.
  const request = fc
    .tuple(parts, fc.constantFrom("GET", "POST", "PUT", "OPTIONS"))
    .map(([rest, method]) => ({ ...rest, method }));
  const requests = fc.array(request, { minLength: 1, maxLength: 2 });
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(requests, fc.array(mutation, { maxLength: 2 }), async (list, mutations) => {
      const bytes = mutated(list.map(textOf).join(""), mutations);
      const ours = weftReads(bytes);
      if (ours.length === 0) return;
      const theirs = await nodeReads(server, bytes);
      // What we refuse is not forwarded, so only the requests before it count.
      t.deepEqual(theirs.slice(0, ours.length), ours.slice(0, theirs.length));
      compared += Math.min(ours.length, theirs.length);
    }),
    { numRuns: 1500 },
  );
  t.true(compared > 300, `${compared} compared`);
});
