/**
 * Hot functions in isolation, as nanoseconds of this thread's processor time for one call. `benchmarks/codec` and `benchmarks/core` look closer at some of them, and
 * `benchmarks/proxy/exchange.ts` at all together, without the kernel.
 */
import { parseRequestHead, RequestHead } from "../../src/codec/http1-head.ts";
import { admitRequest } from "../../src/core/decide/admit.ts";
import { findRoute, loadHttpRoutes, type RequestView } from "../../src/core/decide/find-route.ts";
import { defaultLoad } from "../../src/core/model/backend.ts";
import { everyRequest } from "../../src/core/model/match.ts";
import { parseIp } from "../../src/core/std/ip.ts";
import { compileHttpRoutes } from "../../src/core/table/http-route.ts";
import { inboundTable } from "../../src/core/table/inbound.ts";
import { EndpointGroup } from "../../src/proxy/endpoints.ts";
import { endpoint, everybody, inboundFor, policyWith } from "../../test/sidecar/policies.ts";
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { clientName } from "../harness/identity.ts";
import { type ScenarioResult, scenarioResult, takeTurns } from "../harness/rounds.ts";

const roundMs = 200;
/** Between two looks at the clock, which cost more than some calls do. */
const batch = 5_000;
const rules = 100;
const endpoints = 10;

type Hot = { readonly name: string; readonly call: () => unknown };

function parsing(): Hot {
  const text =
    "GET /api/v1/users/42?x=1 HTTP/1.1\r\nHost: web.demo.svc.cluster.local:8080\r\nUser-Agent: benchmark/1.0\r\nAccept: */*\r\n" +
    "Accept-Encoding: gzip, deflate\r\nX-Request-Id: 0123456789abcdef\r\nX-Forwarded-For: 10.1.2.3\r\n\r\n";
  const bytes = Buffer.from(text, "latin1");
  const head = new RequestHead();
  const call = (): void => {
    head.reset();
    if (parseRequestHead(head, bytes, 0, bytes.length) !== bytes.length) {
      throw new Error("Parse the whole head");
    }
  };
  return { name: "parse a request head", call };
}

function routing(): Hot {
  const sketches = Array.from({ length: rules }, (_, at) => ({
    match: { ...everyRequest, path: { kind: "prefix", value: `/api/v1/thing-${at}` } } as const,
    authorities: ["web"],
  }));
  const loaded = loadHttpRoutes(compileHttpRoutes(policyWith(sketches).httpRoutes));
  const request: RequestView = {
    method: "GET",
    path: `/api/v1/thing-${rules - 1}/part`,
    query: "",
    authority: "web.demo:8080",
    header: () => undefined,
  };
  const call = (): void => {
    if (findRoute(loaded, request) < 0) throw new Error("No rule takes the request");
  };
  return { name: `route among ${rules} rules`, call };
}

function authorizing(): Hot {
  const table = inboundTable(
    inboundFor({
      ...everybody("client"),
      authentication: { kind: "identities", identities: [clientName], suffixes: [] },
    }),
  );
  const ip = parseIp("10.1.2.3");
  if (ip === undefined) throw new Error("Write an address");
  const peer = { ip, tls: true, identity: clientName };
  const call = (): void => {
    if (admitRequest(table, 0, peer) < 0) throw new Error("Nobody admits the client");
  };
  return { name: "authorize by identity", call };
}

function balancing(): Hot {
  const group = new EndpointGroup<{ close(): void }>(defaultLoad);
  const members = Array.from({ length: endpoints }, (_, at) => endpoint(8_000 + at));
  let nowMs = 0;
  group.update({ exists: true, endpoints: members }, nowMs);
  const call = (): void => {
    nowMs += 0.01;
    const picked = group.pick(nowMs, Math.random, []);
    if (picked === undefined) throw new Error("No endpoint is there");
    group.begin(picked);
    group.observe(picked, 1, nowMs);
    group.end(picked);
  };
  return { name: `balance over ${endpoints} endpoints`, call };
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

function nanoseconds({ call }: Hot): number {
  const start = cpuMs();
  let calls = 0;
  do {
    for (let at = 0; at < batch; at++) call();
    calls += batch;
  } while (cpuMs() - start < roundMs);
  return ((cpuMs() - start) * 1e6) / calls;
}

async function run({ rounds }: Settings): Promise<readonly ScenarioResult[]> {
  const functions = [parsing(), routing(), authorizing(), balancing()];
  const taken = await takeTurns(functions, rounds, async (one) => ({
    nanoseconds: nanoseconds(one),
  }));
  return [scenarioResult("one call", taken, [])];
}

export const hot: Benchmark = {
  name: "hot",
  title: "Hot functions in isolation",
  needs: [],
  defaults: { rounds: 9, seconds: 0 },
  plots: ["nanoseconds"],
  run,
};
