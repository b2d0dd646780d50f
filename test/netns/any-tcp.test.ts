/** Connections that are no requests: TLS that the application ends, what leaves the cluster, and how connections end. By programs that know nothing of the mesh. */
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { must } from "../../src/demo/netns/command.ts";
import { NetnsMesh } from "../../src/demo/netns/mesh.ts";
import { namespace, type Pod } from "../../src/demo/netns/pod.ts";
import type { Running } from "../../src/demo/netns/running.ts";
import { Capture } from "./capture.ts";
import { metricSum } from "./metrics.ts";

const ports = { tls: 8443, named: 9000, aborting: 9001 } as const;

/** Somewhere behind the cluster's edge: RFC 5737 and RFC 3849 addresses, which no cluster network holds. */
const closed = ["203.0.113.10", "2001:db8::10"] as const;
const open = "203.0.113.20";

const egress = { group: "policy.linkerd.io", kind: "EgressNetwork", name: "all" };
const allOf = (port: number) => ({
  parentRefs: [{ ...egress, port }],
});
const out = { backendRefs: [egress] };

function route(kind: string, name: string, spec: object): object {
  const version = kind === "HTTPRoute" ? "v1" : "v1alpha2";
  const apiVersion = `gateway.networking.k8s.io/${version}`;
  return { apiVersion, kind, metadata: { name, namespace }, spec };
}

function network(name: string, spec: object): object {
  const apiVersion = "policy.linkerd.io/v1alpha1";
  return { apiVersion, kind: "EgressNetwork", metadata: { name, namespace }, spec };
}

const toPods = (port: number, ...weights: readonly (readonly [string, number])[]) => ({
  backendRefs: weights.map(([name, weight]) => ({ name, port, weight })),
});

const resources = [
  network("all", { trafficPolicy: "Deny" }),
  network("partner", { trafficPolicy: "Allow", networks: [{ cidr: `${open}/32` }] }),
  route("HTTPRoute", "docs", {
    ...allOf(80),
    rules: [{ matches: [{ path: { type: "PathPrefix", value: "/docs" } }], ...out }],
  }),
  route("TLSRoute", "docs", { ...allOf(443), hostnames: ["docs.example.com"], rules: [out] }),
  route("TCPRoute", "names", { ...allOf(9000), rules: [out] }),
  route("TLSRoute", "split", {
    parentRefs: [{ group: "", kind: "Service", name: "web", port: ports.tls }],
    hostnames: ["*.split.example.com"],
    rules: [toPods(ports.tls, ["b", 1], ["c", 1])],
  }),
  route("TLSRoute", "one", {
    parentRefs: [{ group: "", kind: "Service", name: "web", port: ports.tls }],
    hostnames: ["one.example.com"],
    rules: [toPods(ports.tls, ["b", 0], ["c", 1])],
  }),
  route("TCPRoute", "split", {
    parentRefs: [{ group: "", kind: "Service", name: "web", port: ports.named }],
    rules: [toPods(ports.named, ["b", 1], ["c", 1])],
  }),
];

/** Closes with an RST alone. */
const abort =
  "const abort = (socket) => { socket._handle.close = socket._handle.reset; socket.destroy(); }";

/** Says its name to whoever comes, and on another port aborts whoever speaks, or tells how it was left. */
const application = (name: string) => `
${abort}
const { createServer } = require("node:net");
const say = (socket) => { socket.on("error", () => {}).write(${JSON.stringify(`${name}\n`)}); };
createServer(say).listen(${ports.named}, "::");
createServer((socket) => {
  socket.on("error", (error) => console.log("left by " + error.code)).on("end", () => console.log("left by an end"));
  socket.on("data", (bytes) => {
    if (String(bytes) === "abort\\n") abort(socket);
    else socket.write(bytes);
  });
}).listen(${ports.aborting}, "::", () => console.log("listening"));`;

async function startTls(pod: Pod, folder: string, port: number): Promise<void> {
  const files = {
    key: path.join(folder, `${pod.name}.key`),
    crt: path.join(folder, `${pod.name}.crt`),
  };
  await must("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
    ...["-subj", `/CN=${pod.name}`, "-keyout", files.key, "-out", files.crt, "-days", "2"],
  ]);
  const server = ["openssl", "s_server", "-accept", String(port), "-www"];
  await pod.start("root", [...server, "-key", files.key, "-cert", files.crt]).untilSays(/ACCEPT/);
}

type Asked = {
  readonly host: string;
  readonly port: number;
  /** Connections, one after the other. */
  readonly times?: number;
};

/** Whose certificate a client sees on each connection that gets that far. `sni`: undefined for none. */
async function seenNames(pod: Pod, asked: Asked, sni: string | undefined): Promise<string[]> {
  const { host, port, times = 1 } = asked;
  const to = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const named = sni === undefined ? "-noservername" : `-servername ${sni}`;
  const ask = `openssl s_client -connect ${to} ${named} -brief </dev/null 2>&1`;
  const script = `for i in $(seq ${times}); do ${ask}; done`;
  const { out } = await pod.exec("application", ["sh", "-c", script]);
  return [...out.matchAll(/^Peer certificate: CN *= *(.*)$/gm)].map(([, name = ""]) => name);
}

/** Opens connections and prints what comes, or how it ended. */
const client = ({ host, port, times = 1 }: Asked, said: string) => `
const { connect } = require("node:net");
for (let i = 0; i < ${times}; i++) {
  const socket = connect(${port}, ${JSON.stringify(host)});
  if (${JSON.stringify(said)} !== "") socket.write(${JSON.stringify(said)});
  socket.on("data", (bytes) => { process.stdout.write(bytes); socket.destroy(); });
  socket.on("error", ({ code }) => console.log(code)).on("end", () => console.log("end"));
}`;

async function talk(pod: Pod, asked: Asked, said = ""): Promise<string[]> {
  const { out } = await pod.exec("application", [process.execPath, "-e", client(asked, said)]);
  return out.split("\n").filter((line) => line !== "");
}

const http = `require("node:http").createServer((request, response) => response.end("outside " + request.url)).listen(80, "::", () => console.log("listening"))`;
const names = `for (const port of [9000, 9002]) require("node:net").createServer((socket) => socket.on("error", () => {}).end("outside\\n")).listen(port, "::", () => console.log("listening " + port))`;

/** A machine without a sidecar that has addresses outside of the cluster. */
async function addOutside(mesh: NetnsMesh): Promise<Pod> {
  const pod = await mesh.node.addPod("outside");
  for (const ip of [...closed, open]) {
    const isIpv6 = ip.includes(":");
    const family = isIpv6 ? "-6" : "-4";
    await pod.exec("root", [
      "ip",
      family,
      "addr",
      "add",
      `${ip}/${isIpv6 ? 128 : 32}`,
      "dev",
      "lo",
    ]);
    await mesh.node.exec(["ip", family, "route", "add", ip, "via", isIpv6 ? pod.ip6 : pod.ip4]);
  }
  await Promise.all([
    pod.start("root", [process.execPath, "-e", http]).untilSays(/listening/),
    pod.start("root", [process.execPath, "-e", names]).untilSays(/listening 9002/),
    startTls(pod, mesh.node.folder, 443),
  ]);
  return pod;
}

async function leaving(t: ExecutionContext, a: Pod): Promise<void> {
  const curl = async (url: string) => {
    const ran = await a.exec("application", [
      "curl",
      "-sg",
      "-m",
      "20",
      "-w",
      " %{http_code}",
      url,
    ]);
    return ran.out;
  };
  for (const ip of closed) {
    const host = ip.includes(":") ? `[${ip}]` : ip;
    t.is(await curl(`http://${host}/docs/a`), "outside /docs/a 200");
    t.regex(await curl(`http://${host}/other`), / 403$/);
    t.deepEqual(await seenNames(a, { host: ip, port: 443 }, "docs.example.com"), ["outside"]);
    t.deepEqual(await seenNames(a, { host: ip, port: 443 }, "other.example.com"), []);
    t.deepEqual(await seenNames(a, { host: ip, port: 443 }, undefined), []);
    t.deepEqual(await talk(a, { host: ip, port: 9000 }), ["outside"]);
    t.deepEqual(await talk(a, { host: ip, port: 9002 }, "hello\n"), ["ECONNRESET"]);
  }
  t.is(await curl(`http://${open}/other`), "outside /other 200");
  t.deepEqual(await seenNames(a, { host: open, port: 443 }, "other.example.com"), ["outside"]);
  t.deepEqual(await talk(a, { host: open, port: 9002 }), ["outside"]);
}

async function spreading(t: ExecutionContext, a: Pod, host: string): Promise<void> {
  const split = await seenNames(a, { host, port: ports.tls, times: 20 }, "x.split.example.com");
  t.is(split.length, 20);
  t.deepEqual([...new Set(split)].sort(), ["b", "c"]);
  const one = await seenNames(a, { host, port: ports.tls, times: 5 }, "one.example.com");
  t.deepEqual(one, ["c", "c", "c", "c", "c"]);
  t.deepEqual(await seenNames(a, { host, port: ports.tls }, "stranger.example.com"), []);
  const said = await talk(a, { host, port: ports.named, times: 30 });
  t.is(said.length, 30);
  t.deepEqual([...new Set(said)].sort(), ["b", "c"]);
}

/** A client that says letters without a line end and waits for the answer; and one that makes a request of them then. */
async function waiting(t: ExecutionContext, a: Pod, hosts: readonly string[]): Promise<void> {
  const { aborting: port } = ports;
  const smuggle = (host: string): string => `
let heard = "";
require("node:net").connect(${port}, "${host}").on("data", function (bytes) {
  heard += bytes;
  if (heard === "GE") this.write("T / HTTP/1.1\\r\\nHost: b\\r\\n\\r\\n");
}).on("error", ({ code }) => console.log(heard, code)).write("GE");`;
  const said = await Promise.all(hosts.map((host) => talk(a, { host, port }, "login")));
  t.deepEqual(
    said,
    hosts.map(() => ["login"]),
  );
  const script = hosts.map(smuggle).map((one) => `{${one}}`);
  const smuggled = await a.exec("application", [process.execPath, "-e", script.join("\n")]);
  t.is(smuggled.out, "GE ECONNRESET\n".repeat(hosts.length));
}

/** Of each address, to show what happens seldom. */
const aborts = 50;

/** Connections that are spoken on, and aborted with an answer read and bytes under way. */
const aborting = (host: string) => `
${abort}
for (let i = 0; i < ${aborts}; i++) {
  const socket = require("node:net").connect(${ports.aborting}, "${host}");
  socket.once("data", () => { socket.write("more"); abort(socket); }).write("x\\n");
}`;

type Ending = { readonly hosts: readonly string[]; readonly application: Running };

/** The client hears of a server's abort, the server of a client that is gone, and silence has its limit. */
async function ending(t: ExecutionContext, a: Pod, { hosts, application }: Ending): Promise<void> {
  const port = ports.aborting;
  for (const host of hosts) {
    t.deepEqual(await talk(a, { host, port }, "abort\n"), ["ECONNRESET"], host);
    const before = application.output.length;
    await a.exec("application", [process.execPath, "-e", aborting(host)]);
    await application.untilSays(new RegExp(`(left by .*\\n){${aborts}}`), before);
    const told = new Set(application.output.slice(before).split("\n").slice(0, -1));
    t.deepEqual([...told], ["left by ECONNRESET"], host);
  }
  const silent = `require("node:net").connect(${port}, "${hosts[0]}").once("data", () => console.log("open")).on("error", ({ code }) => console.log(code)).write("x\\n")`;
  const idle = await a.exec("application", [process.execPath, "-e", silent]);
  t.is(idle.out, "open\nECONNRESET\n");
}

type Dying = {
  readonly hosts: readonly string[];
  readonly application: Running;
  readonly sidecar: Running;
};

/** Half a stream must not pass for a whole one. */
async function dying(t: ExecutionContext, a: Pod, { hosts, application, sidecar }: Dying) {
  const before = application.output.length;
  const opening = hosts.map(
    (host) =>
      `require("node:net").connect(${ports.aborting}, "${host}").on("data", () => console.log("open")).on("error", ({ code }) => console.log("lost by " + code)).on("end", () => console.log("ended")).write("x\\n");`,
  );
  const client = a.start("application", [process.execPath, "-e", opening.join("\n")]);
  await client.untilSays(new RegExp(`(open\n){${hosts.length}}`));
  await sidecar.stop("SIGKILL");
  await client.ended;
  t.is(client.output, "open\n".repeat(hosts.length) + "lost by ECONNRESET\n".repeat(hosts.length));
  await application.untilSays(new RegExp(`(left by .*\\n){${hosts.length}}`), before);
  t.is(application.output.slice(before), "left by ECONNRESET\n".repeat(hosts.length));
}

test("TLS and TCP routes, egress networks, letters, aborts and silence work through sidecars, and the death of a sidecar is an abort", async (t) => {
  await using mesh = await NetnsMesh.start();
  const a = await mesh.addPod("a");
  const b = await mesh.addPod("b", Object.values(ports));
  const c = await mesh.addPod("c", Object.values(ports));
  const of = (name: string, endpoints: readonly Pod[]) =>
    mesh.addService({
      name,
      ports: Object.values(ports).map((port) => ({ port, targetPort: port })),
      endpoints,
    });
  const web = await of("web", [b]);
  const service = await of("b", [b]);
  await of("c", [c]);
  mesh.declare("routes", resources);
  const start = (pod: Pod): Running =>
    pod.start("application", [process.execPath, "-e", application(pod.name)]);
  const inB = start(b);
  const inC = start(c);
  await Promise.all([
    addOutside(mesh),
    ...[b, c].map((pod) => startTls(pod, mesh.node.folder, ports.tls)),
    ...[inB, inC].map((running) => running.untilSays(/listening/)),
  ]);
  // Longer than any answer takes here, shorter than a test.
  const env = { WEFT_TUNNEL_IDLE_TIMEOUT: "5s" };
  const [ofA, ofB] = await Promise.all(
    [a, b, c].map((pod) => mesh.startSidecar(pod, { isTransparent: true, env })),
  );
  const capture = await Capture.start(mesh.node);
  await spreading(t, a, web.ip4);
  await spreading(t, a, web.ip6);
  const bytes = await capture.stop();
  // What the application encrypts is encrypted once more, so that not even its server name is to be seen.
  for (const plain of ["split.example.com", "one.example.com"])
    t.false(bytes.includes(plain), plain);
  t.is(await metricSum(a, "outbound_tcp_errors_total", 'error="no route"'), 2);
  t.true((await metricSum(b, "inbound_tcp_authz_allow_total")) > 1);
  t.true((await metricSum(c, "inbound_tcp_authz_allow_total")) > 10);

  await leaving(t, a);

  await waiting(t, a, [service.ip4, service.ip6, b.ip4, b.ip6]);
  t.is(await metricSum(a, "outbound_tcp_errors_total", 'error="late http"'), 4);
  await ending(t, a, { hosts: [service.ip4, service.ip6, b.ip4, b.ip6], application: inB });
  // Nothing was refused but what is denied.
  t.is(await metricSum(a, "outbound_tcp_errors_total", 'error="no route"'), 2);
  t.is(await metricSum(a, "outbound_tcp_errors_total", 'error="route forbidden"'), 6);
  t.is(await metricSum(a, "outbound_tcp_errors_total"), 8 + 4);

  const ofBoth = ({ ip4, ip6 }: Pod): readonly string[] => [ip4, ip6];
  if (ofA === undefined || ofB === undefined) throw new Error("There are sidecars");
  await dying(t, a, { hosts: ofBoth(b), application: inB, sidecar: ofB });
  await dying(t, a, { hosts: ofBoth(c), application: inC, sidecar: ofA });
});
