/**
 * The admin port of a process: a few read-only pages for probes, scrapers and people, and the odd command. It serves the
 * operator, not traffic, so it uses `node:http` with small limits. Bodies of requests are not read.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fail, fault, ok, type Result } from "../../core/std/result.ts";
import type { Log } from "../telemetry/log.ts";

type AdminRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Lower-case names, as Node gives them; read only by own name. */
  readonly headers: IncomingMessage["headers"];
  /** The other end's IP address, for what only this machine may do. */
  readonly remoteAddress: string;
};

type AdminAnswer = {
  readonly status: number;
  readonly body: string | Uint8Array;
  /** Text by default. */
  readonly contentType?: string;
  /** More fields of the head, by lower-case name. */
  readonly headers?: Readonly<Record<string, string>>;
};

export type AdminHandler = (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>;

export type AdminOptions = {
  readonly address: { readonly host: string; readonly port: number };
  /**
   * A key is a path, answered for GET and HEAD, or a method and a path: `/live`, `POST /shutdown`. `/pages/*` stands for every path with
   * one more part.
   */
  readonly routes: ReadonlyMap<string, AdminHandler>;
  readonly log: Log;
};

export type Admin = {
  readonly address: { readonly host: string; readonly port: number };
  /** Stops listening and ends what is open. Resolves when the port is free. */
  close(): Promise<void>;
};

/** Probes, a scraper or two and an operator. More at once is a mistake or an attack. */
const maxConnections = 64;
/** A probe's head is some hundred bytes. */
const maxHeaderBytes = 16_384;
/** A client that has not sent its head by then is not one of ours. */
const headersTimeoutMs = 5_000;
/** Longer than the usual scrape interval would keep idle connections for nothing. */
const keepAliveTimeoutMs = 30_000;

const failed: AdminAnswer = { status: 500, body: "internal error\n" };

/** Answers 200 as long as the process can answer at all. */
export function liveHandler(): AdminHandler {
  return () => ({ status: 200, body: "live\n" });
}

/** Answers 200 when `isReady` says so, else 503. */
export function readyHandler(isReady: () => boolean): AdminHandler {
  return () =>
    isReady() ? { status: 200, body: "ready\n" } : { status: 503, body: "not ready\n" };
}

export async function startAdmin(options: AdminOptions): Promise<Result<Admin>> {
  const { host, port } = options.address;
  const limits = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
  };
  // Not by import, which reads all that the module exports, undici's WebSocket with it: 16 MiB.
  const { createServer } = process.getBuiltinModule("node:http");
  const server = createServer(limits, (request, response) => {
    request.resume();
    void answerAdmin(options, request).then((answer) => send(request, response, answer));
  });
  server.maxConnections = maxConnections;
  try {
    await listen(server, host, port);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return fail(fault("", `choose another admin address than "${host}:${port}": ${reason}`));
  }
  // Accepting may fail later, for want of file descriptors: that costs a connection, not the process.
  server.on("error", (error) => options.log.warn("admin_accept_failed", { error }));
  const bound = server.address() as AddressInfo;
  return ok({
    address: { host: bound.address, port: bound.port },
    close: () => close(server),
  });
}

/** Never rejects: a handler that throws is a bug of that page, not the end of the process. */
async function answerAdmin(options: AdminOptions, request: IncomingMessage): Promise<AdminAnswer> {
  const { method = "GET", url = "/" } = request;
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const handler = findHandler(options.routes, method, path);
  if (handler === undefined) return refuseMethod(options.routes, path) ?? notFound(options.routes);
  try {
    return await handler({
      method,
      path,
      query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)),
      headers: request.headers,
      remoteAddress: request.socket.remoteAddress ?? "",
    });
  } catch (error) {
    options.log.error("admin_handler_failed", { path, error });
    return failed;
  }
}

function findHandler(
  routes: ReadonlyMap<string, AdminHandler>,
  method: string,
  path: string,
): AdminHandler | undefined {
  const reads = method === "GET" || method === "HEAD";
  const parent = `${path.slice(0, path.lastIndexOf("/"))}/*`;
  return (
    routes.get(`${method} ${path}`) ??
    (reads ? (routes.get(path) ?? routes.get(parent)) : undefined)
  );
}

/** RFC 9110 §15.5.6: a 405 names the methods that would do. Undefined when no method would. */
function refuseMethod(
  routes: ReadonlyMap<string, AdminHandler>,
  path: string,
): AdminAnswer | undefined {
  const methods = findHandler(routes, "GET", path) === undefined ? [] : ["GET", "HEAD"];
  for (const key of routes.keys()) {
    if (key.endsWith(` ${path}`)) methods.push(key.slice(0, -path.length - 1));
  }
  if (methods.length === 0) return undefined;
  return { status: 405, body: "method not allowed\n", headers: { allow: methods.join(", ") } };
}

/** Names what there is, for the person who mistyped it. */
function notFound(routes: ReadonlyMap<string, AdminHandler>): AdminAnswer {
  const pages = routes.keys().toArray().toSorted().join(", ");
  return { status: 404, body: `not found; there are ${pages}\n` };
}

function send(request: IncomingMessage, response: ServerResponse, answer: AdminAnswer): void {
  response.writeHead(answer.status, {
    "content-type": answer.contentType ?? "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(answer.body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...answer.headers,
  });
  response.end(request.method === "HEAD" ? undefined : answer.body);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
