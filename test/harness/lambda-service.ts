/** AWS Lambda as far as it calls functions: checks signatures and answers what a test says. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { Secret } from "../../src/core/std/secret.ts";
import { sha256Hex, signV4 } from "../../src/edge/aws/sigv4.ts";

export const lambdaKeys = {
  accessKey: "AKIDEXAMPLE",
  secretKey: "a-very-secret-key",
  sessionToken: "a-session-token",
} as const;

const secrets = {
  accessKey: new Secret(lambdaKeys.accessKey),
  secretKey: new Secret(lambdaKeys.secretKey),
  sessionToken: new Secret(lambdaKeys.sessionToken),
};

export type SeenCall = {
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly payload: string;
  readonly isSigned: boolean;
};

export class LambdaService implements AsyncDisposable {
  readonly calls: SeenCall[] = [];
  /** Calls whose connection ended before they were answered. */
  abandoned = 0;
  readonly #server: Server;
  answer: (response: ServerResponse, call: SeenCall) => void = (response) => {
    response.end(JSON.stringify({ statusCode: 200, body: "hello" }));
  };

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<LambdaService> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new LambdaService(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url = "", headers } = request;
    const payload = await buffer(request);
    const call = {
      url,
      headers,
      payload: payload.toString(),
      isSigned: isSigned(request, payload),
    };
    response.on("close", () => {
      if (!response.writableEnded) this.abandoned++;
    });
    this.calls.push(call);
    this.answer(response, call);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

function isSigned({ method = "", url = "", headers }: IncomingMessage, payload: Buffer): boolean {
  const [path = "", query = ""] = url.split("?");
  const date = String(headers["x-amz-date"]);
  const time = date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z");
  const signed = ["host", "x-amz-invocation-type"].map((name) => ({
    name,
    value: String(headers[name]),
  }));
  const made = signV4(
    { method, path, query, headers: signed, bodySha256: sha256Hex(payload) },
    { region: "eu-central-1", service: "lambda", keys: secrets, nowMs: Date.parse(time) },
  );
  return made.every(({ name, value }) => headers[name] === value);
}
