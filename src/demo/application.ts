/**
 * The demo's application: answers /env and /echo like podinfo, which the guides for dynamic request routing use. It knows nothing of the mesh but
 * the standard variable `http_proxy`.
 */
import http from "node:http";

export type ApplicationSettings = {
  readonly host: string;
  readonly port: number;
  /** Variables that /env shows, PODINFO_UI_MESSAGE among them. */
  readonly environment: Readonly<Record<string, string>>;
  readonly backendUrl: string;
  readonly httpProxy: string;
};

/** A demo application has no business with large bodies; more is answered with 413. */
const maxBodyBytes = 1_048_576;

/** Passed on from an incoming request to the backend, so that one request can be followed (podinfo does the same). */
const followedHeaders = ["x-request-id", "traceparent", "tracestate", "content-type"];

export function startApplication(settings: ApplicationSettings): Promise<http.Server> {
  const agent = new http.Agent({
    keepAlive: true,
    proxyEnv: settings.httpProxy === "" ? {} : { http_proxy: settings.httpProxy },
  });
  const server = http.createServer((request, response) => {
    answer(settings, agent, request, response).catch((error: unknown) => {
      if (!response.headersSent) reply(response, { status: 502, body: `${String(error)}\n` });
      else response.destroy();
    });
  });
  server.on("close", () => {
    agent.destroy();
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(settings.port, settings.host, () => {
      resolve(server);
    });
  });
}

async function answer(
  settings: ApplicationSettings,
  agent: http.Agent,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const path = new URL(request.url ?? "/", "http://application").pathname;
  if (path === "/healthz") {
    reply(response, { status: 200, body: "OK\n" });
    return;
  }
  if (path !== "/env" && path !== "/echo") {
    reply(response, { status: 404, body: `No such path: ${path}; try /env or /echo\n` });
    return;
  }
  const body = await readBody(request);
  if (body === undefined) {
    reply(response, { status: 413, body: `The body is larger than ${maxBodyBytes} bytes\n` });
    return;
  }
  if (path === "/env" || settings.backendUrl === "") {
    const lines = Object.entries(settings.environment).map(([name, value]) => `${name}=${value}`);
    const from = request.headers["l5d-client-id"];
    if (typeof from === "string") lines.push(`caller=${from}`);
    reply(response, {
      status: 200,
      body: `${JSON.stringify(lines, null, 2)}\n`,
      type: "application/json",
    });
    return;
  }
  reply(response, await askBackend(settings.backendUrl, agent, request, body));
}

function askBackend(
  url: string,
  agent: http.Agent,
  incoming: http.IncomingMessage,
  body: Buffer,
): Promise<Reply> {
  const headers: http.OutgoingHttpHeaders = { "content-length": body.length };
  for (const name of followedHeaders) {
    const value = incoming.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: "POST", agent, headers }, (response) => {
      readBody(response).then((read) => {
        const proxyError = response.headers["l5d-proxy-error"];
        resolve({
          status: response.statusCode ?? 502,
          body: read ?? Buffer.alloc(0),
          type: response.headers["content-type"] ?? "text/plain",
          ...(typeof proxyError === "string" ? { proxyError } : {}),
        });
      }, reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function readBody(stream: http.IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

type Reply = {
  readonly status: number;
  readonly body: string | Buffer;
  readonly type?: string;
  /** The reason that the sidecar gave for a refusal, so that the person with curl sees it. */
  readonly proxyError?: string;
};

function reply(response: http.ServerResponse, answered: Reply): void {
  response.writeHead(answered.status, {
    "content-type": answered.type ?? "text/plain",
    "content-length": Buffer.byteLength(answered.body),
    ...(answered.proxyError === undefined ? {} : { "x-backend-error": answered.proxyError }),
  });
  response.end(answered.body);
}
