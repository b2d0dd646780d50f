/**
 * A client of gRPC that holds one bidirectional stream open, says a number on it several times a second, and prints each that comes back. SIGUSR1: a call of
 * its own, over the same channel. SIGUSR2: the client's side of the stream ends. Argument: address with its port.
 */
import type { StatusObject } from "@grpc/grpc-js";
import { RpcClient } from "../harness/rpc.ts";

const [target = ""] = process.argv.slice(2);
const everyMs = 100;
const wholeMs = 20_000;
const client = new RpcClient(target, "");
const say = (text: string): boolean => process.stdout.write(`${text}\n`);

const stream = client.chat();
let said = 0;
let next = 0;
let isOver = false;
stream.on("data", (bytes: Buffer) => {
  if (bytes.toString() !== `tick ${next++}`) say(`out of order: ${bytes.toString()}`);
  say(bytes.toString());
});
stream.on("error", () => {});
stream.on("status", ({ code, details, metadata }: StatusObject) => {
  isOver = true;
  say(
    `ended with ${code} by ${metadata.get("x-server").join()}, ${said - next} unanswered: ${details}`,
  );
});
const timer = setInterval(() => {
  if (isOver) clearInterval(timer);
  else stream.write(Buffer.from(`tick ${said++}`));
}, everyMs);

process.on("SIGUSR1", () => {
  client.call("unary", [Buffer.from("x")], { deadlineMs: wholeMs }).then(
    ({ code, details, trailers }) =>
      say(`call: ${code} by ${trailers.get("x-server").join()} ${details}`),
    (error: unknown) => say(String(error)),
  );
});
process.on("SIGUSR2", () => {
  clearInterval(timer);
  stream.end();
});
