/** Programs that know nothing of the mesh, talking to each other through two sidecars, by both address families. */
import test from "ava";
import { NetnsMesh } from "../../src/demo/netns/mesh.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";
import { Capture } from "./capture.ts";
import { metricSum } from "./metrics.ts";
import {
  startGreeter,
  startMariaDb,
  startNginx,
  startPostgres,
  startRedis,
  startWebSocketServer,
} from "./servers.ts";

const ports = {
  redis: 6379,
  postgres: 5432,
  mariadb: 3306,
  nginx: 80,
  greeter: 2525,
  webSocket: 8080,
} as const;

/** What a client prints when all went well. */
type Client = {
  readonly title: string;
  /** Whether the sidecars read it as requests. */
  readonly isHttp: boolean;
  readonly command: (host: string) => readonly string[];
  readonly expected: string;
};

/** Says its lines one after the other, each when it has been answered, and then ends its side. */
const mailClient = (host: string): string => `
const socket = require("node:net").connect({ host: ${JSON.stringify(host)}, port: ${ports.greeter}, allowHalfOpen: true });
let said = 0;
socket.setEncoding("latin1").on("data", (text) => {
  process.stdout.write(text);
  said++;
  if (said === 1) socket.write("a secret line\\r\\n");
  if (said === 2) socket.end();
});
socket.on("error", (error) => console.log(error.code)).on("end", () => socket.destroy());`;

const webSocketClient = (host: string): string => `
const socket = new WebSocket("ws://${host.includes(":") ? `[${host}]` : host}:${ports.webSocket}/");
socket.onopen = () => socket.send("a secret frame");
socket.onmessage = ({ data }) => { console.log("said back: " + data); socket.close(); };
socket.onerror = ({ message }) => console.log("failed: " + message);`;

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);

const clients: readonly Client[] = [
  {
    title: "redis-cli",
    isHttp: false,
    command: (host) => ["redis-cli", "-h", host, "-p", String(ports.redis), "echo", "a secret key"],
    expected: "a secret key\n",
  },
  {
    title: "psql",
    isHttp: false,
    command: (host) => [
      ...["psql", "-h", host, "-p", String(ports.postgres), "-U", "postgres", "-At"],
      ...["-c", "select 'a secret ' || 'row'"],
    ],
    expected: "a secret row\n",
  },
  {
    title: "mysql, whose server speaks first",
    isHttp: false,
    command: (host) => [
      ...["mariadb", "--no-defaults", "-h", host, "-P", String(ports.mariadb), "-u", "guest"],
      ...["--protocol=tcp", "-N", "-e", "select concat('a secret ', 'row')"],
    ],
    expected: "a secret row\n",
  },
  {
    title: "wget",
    isHttp: true,
    command: (host) => ["wget", "-qO-", "-T", "20", `http://${bracketed(host)}/a-secret-path`],
    expected: "nginx for /a-secret-path",
  },
  {
    title: "a mail client that ends its side first",
    isHttp: false,
    command: (host) => [process.execPath, "-e", mailClient(host)],
    expected: "220 hello\r\n250 a secret line\r\n221 bye\r\n",
  },
  {
    title: "a WebSocket client",
    isHttp: true,
    command: (host) => [process.execPath, "-e", webSocketClient(host)],
    expected: "said back: a secret frame\n",
  },
];

async function startServers(pod: Pod, folder: string): Promise<void> {
  await Promise.all([
    startRedis(pod, ports.redis),
    startPostgres(pod, folder, ports.postgres),
    startMariaDb(pod, folder, ports.mariadb),
    startNginx(pod, folder, { http1: [ports.nginx] }),
    startGreeter(pod, ports.greeter),
    startWebSocketServer(pod, ports.webSocket),
  ]);
}

test("redis, PostgreSQL, MariaDB, nginx, a mail greeter and WebSockets work through two sidecars, encrypted on the wire", async (t) => {
  await using mesh = await NetnsMesh.start();
  const a = await mesh.addPod("a");
  const b = await mesh.addPod("b", Object.values(ports));
  const service = await mesh.addService({
    name: "b",
    ports: Object.values(ports).map((port) => ({ port, targetPort: port })),
    endpoints: [b],
  });
  await startServers(b, mesh.node.folder);
  await Promise.all([a, b].map((pod) => mesh.startSidecar(pod, { isTransparent: true })));
  const capture = await Capture.start(mesh.node);
  for (const { title, isHttp, command, expected } of clients) {
    // By its Service, and by its own address, which no policy of the Service speaks for.
    for (const host of [service.ip4, service.ip6, b.ip4, b.ip6]) {
      const opened = (): Promise<readonly number[]> =>
        Promise.all(
          isHttp
            ? [metricSum(a, "request_total"), metricSum(b, "request_total")]
            : [
                metricSum(a, "outbound_tcp_route_open_total"),
                metricSum(b, "inbound_tcp_authz_allow_total"),
              ],
        );
      const before = await opened();
      const ran = await a.exec("application", command(host));
      t.is(ran.out, expected, `${title} to ${host}: ${ran.err}`);
      const after = await opened();
      t.deepEqual(
        after,
        before.map((count) => count + 1),
        `${title} to ${host}`,
      );
    }
  }
  const bytes = await capture.stop();
  t.true(bytes.length > 10_000);
  for (const plain of ["a secret", "a-secret", "nginx for", "220 hello", "MariaDB"]) {
    t.false(bytes.includes(plain), plain);
  }
  t.is(await metricSum(a, "outbound_tcp_errors_total"), 0);
  t.is(await metricSum(b, "inbound_tcp_errors_total"), 0);
});
