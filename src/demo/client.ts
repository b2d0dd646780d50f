/** The demo's own HTTP client: one kept connection, so that a dropped one is seen, and the same request as curl would send. */
import http from "node:http";

export type Answer = {
  readonly status: number;
  readonly body: string;
  /** The reason that a sidecar gave, on its own answers. */
  readonly reason: string;
};

export type Ask = {
  readonly method?: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Address of a sidecar's outbound port; the request then goes out as `curl -x` sends it. */
  readonly through?: string;
};

const requestDeadlineMs = 5_000;

export class KeptConnection {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly #sockets = new Set<object>();

  /** How many connections were needed so far: 1 unless the other side closed one. */
  get connections(): number {
    return this.#sockets.size;
  }

  ask(ask: Ask): Promise<Answer> {
    return send(ask, this.#agent, (socket) => this.#sockets.add(socket));
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** One request on a connection of its own. */
export function askOnce(ask: Ask): Promise<Answer> {
  return send(ask, false, () => {});
}

function send(
  ask: Ask,
  agent: http.Agent | false,
  onSocket: (socket: object) => void,
): Promise<Answer> {
  const url = new URL(ask.url);
  const via = ask.through === undefined ? url : new URL(ask.through);
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        agent,
        host: via.hostname,
        port: via.port,
        method: ask.method ?? "GET",
        path: ask.through === undefined ? `${url.pathname}${url.search}` : ask.url,
        headers: { host: url.host, ...ask.headers },
        timeout: requestDeadlineMs,
      },
      (response) => {
        response.setEncoding("utf8");
        let body = "";
        response.on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("error", reject);
        response.on("end", () => {
          const own = response.headers["l5d-proxy-error"];
          const passedOn = response.headers["x-backend-error"];
          resolve({
            status: response.statusCode ?? 0,
            body,
            reason: [own, passedOn].find((value) => typeof value === "string")?.toString() ?? "",
          });
        });
      },
    );
    request.on("socket", onSocket);
    request.on("timeout", () => {
      request.destroy(new Error(`No answer from ${ask.url} within ${requestDeadlineMs} ms`));
    });
    request.on("error", reject);
    request.end();
  });
}

/** The command that a person would type for the same request. */
export function curlCommand(ask: Ask): string {
  const parts = ["curl -s -i"];
  if (ask.method !== undefined && ask.method !== "GET") parts.push(`-X ${ask.method}`);
  if (ask.through !== undefined) parts.push(`-x ${ask.through}`);
  for (const [name, value] of Object.entries(ask.headers ?? {})) {
    parts.push(`-H '${name}: ${value}'`);
  }
  parts.push(ask.url);
  return parts.join(" ");
}
