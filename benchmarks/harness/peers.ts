/**
 * HAProxy and nginx as they are in Debian, with one thread each and kept connections to the backend. In HTTP mode they do what our data plane does with the
 * benchmark's route: ask for a header and a path prefix, and take private headers out of both directions.
 */
import { fileURLToPath } from "node:url";
import { keptConnections } from "./origin.ts";
import { type Contender, freePort, type Stage } from "./stage.ts";

export type HaproxyOptions = {
  readonly name: string;
  readonly mode: "http" | "tcp";
  /** Options of the `bind` line, such as those of TLS. */
  readonly bind?: string;
  /** Lines of the frontend. */
  readonly rules?: string;
  /** Address and options of the `server` line. */
  readonly server: string;
  /** What HAProxy's memory for connections is reserved for. */
  readonly maxConnections?: number;
};

/** What the route asks for; the same as `routedPolicy` of weft.ts. */
export const routeRules: string = `
  acl routed hdr(x-route) -m str bench
  acl prefixed path_beg /bench
  http-request deny deny_status 404 unless routed prefixed
  http-request del-header l5d- -m beg
  http-response del-header l5d- -m beg`;

export async function startHaproxy(stage: Stage, options: HaproxyOptions): Promise<Contender> {
  const { name, mode, bind = "", rules = "", server, maxConnections = 4_096 } = options;
  const port = await freePort();
  const file = stage.write(
    `${name}-${port}.cfg`,
    `global
  maxconn ${maxConnections}
  no strict-limits
  nbthread 1
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
${mode === "http" ? "  http-reuse always" : ""}
frontend proxy
  bind 127.0.0.1:${port} backlog 4096 ${bind}
${rules}
  default_backend backend
backend backend
  server backend ${server}
`,
  );
  return stage.serve(name, port, () => stage.spawn("haproxy", ["-db", "-f", file]));
}

export async function startNginx(stage: Stage, originPort: number): Promise<Contender> {
  const port = await freePort();
  const file = stage.write(
    `nginx-${port}.conf`,
    `daemon off; master_process off; pid ${stage.folder}/nginx.pid; error_log /dev/null;
events { worker_connections 16000; }
http {
  access_log off; ${keptConnections} tcp_nodelay on;
  client_body_temp_path ${stage.folder}/nginx-body; proxy_temp_path ${stage.folder}/nginx-proxy;
  client_body_buffer_size 128k; proxy_buffers 8 32k; proxy_buffer_size 32k; proxy_busy_buffers_size 64k; proxy_max_temp_file_size 0;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 128; keepalive_timeout 1h; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location /bench {
      if ($http_x_route != bench) { return 404; }
      proxy_pass http://origin; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header l5d-client-id ""; proxy_hide_header l5d-server-id;
    }
  }
}
`,
  );
  return stage.serve("nginx", port, () => stage.spawn("nginx", ["-c", file, "-e", "/dev/null"]));
}

/** What Node.js costs with nothing around it: its own sockets, ours, or its TLS. `files`: for TLS, credentials and trust anchors. */
export async function startRelay(
  stage: Stage,
  name: "node-relay" | "kernel-relay" | "tls-relay",
  originPort: number,
  files: readonly string[] = [],
): Promise<Contender> {
  const port = await freePort();
  const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const args = ["--no-warnings", file, String(port), String(originPort), ...files];
  return stage.serve(name, port, () => stage.spawn(process.execPath, args));
}
