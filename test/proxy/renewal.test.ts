import { Agent, request } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";
import test from "ava";
import { TestCa } from "../harness/certificates.ts";
import { EchoOrigin } from "../harness/origin.ts";
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
import { ShardInTest } from "../harness/shard-in-test.ts";

/** For CI. More than a minute by hand: `WEFT_TEST_RENEWALS=400`. */
const renewals = Number(process.env["WEFT_TEST_RENEWALS"] ?? 12);
const clients = 8;
/** Answers between one certificate and the next: enough for each client to have met the one before. */
const answersBetween = 20 * clients;
const appPort = 8080;

/** Requests one after the other until told to stop; half of them on connections of their own. */
async function load(
  port: number,
  stop: AbortSignal,
  keepAlive: boolean,
  statuses: number[],
): Promise<void> {
  const agent = new Agent({ keepAlive, maxSockets: 1 });
  while (!stop.aborted) {
    const { promise, resolve } = Promise.withResolvers<number>();
    const sent = request({ host: "127.0.0.1", port, agent, headers: { host: "web" } }, (response) =>
      response.resume().on("end", () => resolve(response.statusCode ?? 0)),
    );
    sent.on("error", () => resolve(-1));
    sent.end();
    statuses.push(await promise);
  }
  agent.destroy();
}

test("no request fails while both sidecars are given new certificates, and the root is replaced", async (t) => {
  const oldRoot = new TestCa("old");
  const newRoot = new TestCa("new");
  const names = { web: "web.demo.id", frontend: "frontend.demo.id" };
  const issue = (root: TestCa, name: string, trustAnchors: string, revision: number) => ({
    ...root.issue([name]),
    trustAnchors,
    revision,
  });
  await using origin = await EchoOrigin.start("app");
  await using server = await ShardInTest.start({
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    forwards: [{ port: appPort, host: "127.0.0.1", hostPort: origin.port }],
    snapshots: [
      issue(oldRoot, names.web, oldRoot.pem, 1),
      inboundSnapshot(appPort, admitting(identities(names.frontend))),
    ],
  });
  const tls = { identity: names.web, serverName: names.web };
  await using client = await ShardInTest.start({
    // Connections are given up all the time, so that new ones meet each new certificate.
    limits: { maxIdlePerEndpoint: 2 },
    snapshots: [
      issue(oldRoot, names.frontend, oldRoot.pem, 1),
      endpointSnapshot("a", endpoint(appPort, { tls, inboundPort: server.port() })),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
  const stop = new AbortController();
  const statuses: number[] = [];
  const running = Array.from({ length: clients }, (_, at) =>
    load(client.port(), stop.signal, at % 2 === 0, statuses),
  );
  const untilMet = async (): Promise<void> => {
    const enough = statuses.length + answersBetween;
    while (statuses.length < enough) await nextTurn();
  };
  const both = oldRoot.pem + newRoot.pem;
  for (let revision = 2; revision < renewals + 2; revision++) {
    await untilMet();
    // First everybody trusts both roots, then certificates are of the new one, then the old one is forgotten.
    const third = Math.floor(((revision - 2) * 3) / renewals);
    const root = third === 0 ? oldRoot : newRoot;
    const anchors = third === 2 && revision === renewals + 1 ? newRoot.pem : both;
    // One side before the other, as it is in a cluster.
    server.take(issue(root, names.web, anchors, revision));
    await untilMet();
    client.take(issue(root, names.frontend, anchors, revision));
  }
  await untilMet();
  stop.abort();
  await Promise.all(running);
  t.deepEqual(
    statuses.filter((status) => status !== 200),
    [],
    `of ${statuses.length}`,
  );
  t.true(statuses.length > renewals);
  t.is(server.count("inbound_tcp_errors_total"), 0);
  t.log(
    `${statuses.length} requests, ${server.count("tcp_open_total", { peer: "src" })} connections`,
  );
});
