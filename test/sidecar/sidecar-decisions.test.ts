import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import test from "ava";
import { EchoOrigin } from "../harness/origin.ts";
import { ControlPlane } from "./control-plane.ts";
import { endpointsAt, policyTo } from "./policies.ts";
import { SidecarProcess } from "./sidecar-process.ts";

const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));
const a = "backend-a.demo.svc.cluster.local:8080";

type Answer = { readonly status: number; readonly id: string };

function get(
  address: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(`http://${address}`);
    const options = { agent: false as const, headers };
    const request = http.get({ ...options, hostname, port, path }, (response) => {
      response.resume();
      const id = String(response.headers["l5d-decision-id"] ?? "");
      response.on("end", () => resolve({ status: response.statusCode ?? 0, id }));
    });
    request.on("error", reject);
  });
}

type Told = { readonly code: number; readonly out: string; readonly err: string };

async function explain(...words: readonly string[]): Promise<Told> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", main, "explain", ...words],
    { stdio: ["ignore", "pipe", "pipe"], env: {} },
  );
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  return { code: Number(code), out, err };
}

test.serial(
  "weft explain --id tells what a running sidecar decided, by the id in its answer and in its access log",
  async (t) => {
    await using plane = await ControlPlane.start();
    await using origin = await EchoOrigin.start("a");
    const { port } = origin;
    plane.setOutbound(a, policyTo(a));
    plane.setEndpoints(a, endpointsAt(port));
    await using sidecar = SidecarProcess.start(plane, {
      env: { WEFT_ACCESS_LOG: "json", WEFT_WORKERS: "2" },
    });
    const { outbound, admin } = await sidecar.ready();

    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers = { host: "backend-a.demo:8080", traceparent, "user-agent": 'odd"\u00e4' };
    t.deepEqual(await get(outbound, "/fine?token=secret", headers), { status: 200, id: "" });
    const fine = JSON.parse(await sidecar.accessLine("/fine"));
    t.like(fine, {
      "client.addr": "127.0.0.1",
      method: "GET",
      uri: "/fine",
      version: "HTTP/1.1",
      trace_id: "0af7651916cd43dd8448eb211c80319c",
      request_bytes: 0,
      status: 200,
      response_bytes: "a GET /fine?token=secret".length,
      user_agent: 'odd"\u00e4',
      host: "backend-a.demo:8080",
      direction: "outbound",
      endpoint: `127.0.0.1:${port}`,
      tries: 1,
      error: "",
    });
    t.true(fine.total_ns > 0 && fine.processing_ns >= 0);
    t.false(sidecar.accessLines.join("").includes("secret"));
    const told = await explain("--id", fine.decision_id, "--admin", admin, "-o", "json");
    t.is(told.code, 0, told.err);
    t.like(JSON.parse(told.out), {
      id: fine.decision_id,
      request: { method: "GET", path: "/fine", authority: "backend-a.demo:8080" },
      answer: { status: 200, by: "endpoint" },
    });

    const b3 = "8448eb211c80319c-b7ad6b7169203331-1";
    await get(outbound, "/by-b3", { host: "backend-a.demo:8080", b3 });
    const byB3 = JSON.parse(await sidecar.accessLine("/by-b3"));
    t.is(byB3.trace_id, "00000000000000008448eb211c80319c");

    const host = "backend-a.demo:8080";
    const lost = await get(outbound, `https://${host}/lost`, { host });
    t.is(lost.status, 501);
    t.is(JSON.parse(await sidecar.accessLine("/lost")).decision_id, lost.id);
    const refused = await explain("--id", lost.id, "--admin", admin);
    t.is(refused.code, 1, refused.err);
    t.regex(refused.out, /^GET \/lost for backend-a\.demo:8080, outbound\n/);
    t.regex(refused.out, /this proxy answered 501 after .* \(foreign-scheme\): only/);

    const unknown = await explain("--id", `${lost.id}0`, "--admin", admin);
    t.is(unknown.code, 2);
    t.regex(unknown.err, /no decision has been made under it yet/);
    const foreign = await explain("--id", "abc-0-1-1", "--admin", admin);
    t.is(foreign.code, 2);
    t.regex(foreign.err, /the id is of another one/);
    t.is((await explain("--id", "rubbish", "--admin", admin)).code, 2);
    t.regex(await sidecar.page("metrics"), /^weft_access_log_dropped_total 0$/m);
  },
);

test.serial(
  "a sidecar writes its access log in Apache's format, whatever bytes and lengths clients send",
  async (t) => {
    await using plane = await ControlPlane.start();
    await using sidecar = SidecarProcess.start(plane, { env: { WEFT_ACCESS_LOG: "apache" } });
    const { outbound } = await sidecar.ready();
    const { hostname, port } = new URL(`http://${outbound}`);
    const socket = connect({ host: hostname, port: Number(port) });
    const path = `/"${"a".repeat(5_000)}`;
    const head = `GET https://a.demo${path} HTTP/1.1\r\nHost: a.demo\r\nConnection: close\r\n\r\n`;
    socket.end(Buffer.from(head, "latin1"));
    const answer = await text(socket);
    t.regex(answer, /^HTTP\/1\.1 501 /);
    const id = /^l5d-decision-id: (\S+)\r$/m.exec(answer)?.[1] ?? "no id";
    const line = await sidecar.accessLine(id);
    t.true(line.length < 4_096);
    t.regex(
      line,
      /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/\\"a{1000,} HTTP\/1\.1" 501 \d+ \S+$/,
    );
    const unreadable = connect({ host: hostname, port: Number(port) });
    unreadable.end("rubbish\r\n\r\n");
    await text(unreadable);
    t.regex(await sidecar.accessLine(' "-" 400 '), /^127\.0\.0\.1 - - /);
  },
);
