/** An authorization service, HTTP or gRPC, that says what a test wants. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Server as GrpcServer, ServerCredentials, type sendUnaryData } from "@grpc/grpc-js";
import {
  Authorization,
  type CheckRequest,
  type CheckResponse,
  CheckResponseSchema,
} from "../../src/core/wire/gen/envoy/ext_authz_pb.ts";
import { serviceDefinition } from "../../src/edge/grpc/service.ts";

export type SeenQuestion = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
};

export class HttpAuthorizer implements AsyncDisposable {
  readonly seen: SeenQuestion[] = [];
  /** Questions whose connection ended before they were answered. */
  abandoned = 0;
  connections = 0;
  readonly port: number;
  readonly #server: Server;
  answer: (response: ServerResponse, question: SeenQuestion) => void = (response) => response.end();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", () => {
      this.connections++;
    });
    server.on("request", (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<HttpAuthorizer> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new HttpAuthorizer(server);
  }

  /** Ends the connections that wait, as a server does that restarts. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    response.on("close", () => {
      if (!response.writableEnded) this.abandoned++;
    });
    const question = { method, url, headers, body: (await buffer(request)).toString("latin1") };
    this.seen.push(question);
    this.answer(response, question);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

export type GrpcVerdict = MessageInitShape<typeof CheckResponseSchema>;

export class GrpcAuthorizer implements AsyncDisposable {
  readonly seen: CheckRequest[] = [];
  readonly port: number;
  readonly #server: GrpcServer;
  verdict: GrpcVerdict | "fail" | "silence" = { status: { code: 0 } };

  private constructor(server: GrpcServer, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(): Promise<GrpcAuthorizer> {
    const server = new GrpcServer();
    let authorizer: GrpcAuthorizer | undefined;
    server.addService(serviceDefinition(Authorization), {
      check: (call: { readonly request: CheckRequest }, reply: sendUnaryData<CheckResponse>) =>
        authorizer?.check(call.request, reply),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    authorizer = new GrpcAuthorizer(server, port);
    return authorizer;
  }

  check(request: CheckRequest, reply: sendUnaryData<CheckResponse>): void {
    this.seen.push(request);
    const { verdict } = this;
    if (verdict === "silence") return;
    if (verdict === "fail") reply({ code: 13, details: "broken" });
    else reply(null, create(CheckResponseSchema, verdict));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    return Promise.resolve();
  }
}
