/** The backend behind every contender: nginx with answers of its own, which reads whatever it is sent. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Contender, freePort, type Stage } from "./stage.ts";

/** Kept connections that are never closed for their age, so that no contender has to open others. */
export const keptConnections = "keepalive_timeout 1h; keepalive_requests 1000000000;";

const fileBytes = [4_096, 102_400];

/** `/bench/100` answers any method; `/bench/4096` and `/bench/102400` answer GET. */
export async function startOrigin(stage: Stage): Promise<Contender> {
  const port = await freePort();
  mkdirSync(join(stage.folder, "bench"), { recursive: true });
  for (const bytes of fileBytes) {
    writeFileSync(join(stage.folder, "bench", String(bytes)), "x".repeat(bytes));
  }
  const file = stage.write(
    "origin.conf",
    `daemon off; master_process off; pid ${stage.folder}/origin.pid; error_log /dev/null;
events { worker_connections 16000; }
http {
  access_log off; ${keptConnections} default_type text/plain;
  open_file_cache max=10 inactive=1h; sendfile on; tcp_nodelay on;
  client_body_temp_path ${stage.folder}/origin-body;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${stage.folder};
    location = /bench/100 { return 200 "${"x".repeat(100)}"; }
    location / { }
    location /api/ { return 200 "${"x".repeat(100)}"; }
  }
}
`,
  );
  return stage.serve("origin", port, () => stage.spawn("nginx", ["-c", file, "-e", "/dev/null"]));
}
