/** A client of gRPC over `@grpc/grpc-js`, which makes the same calls as the one in Python and says the same. Arguments: addresses with their ports. */
import { type RpcCall, RpcClient } from "../harness/rpc.ts";

const bytes = (...texts: readonly string[]): readonly Buffer[] =>
  texts.map((text) => Buffer.from(text));
const codes: Readonly<Record<number, string>> = { 0: "OK", 9: "FAILED_PRECONDITION" };
const wholeMs = 40_000;

for (const target of process.argv.slice(2)) {
  using client = new RpcClient(target, "");
  const say = async (name: RpcCall, sent: readonly Buffer[], metadata = {}): Promise<void> => {
    const { code, details, messages } = await client.call(name, sent, {
      metadata,
      deadlineMs: wholeMs,
    });
    const text = code === 0 ? messages.join("+") : `${codes[code] ?? code} ${details}`;
    process.stdout.write(`${text}\n`);
  };
  await say("unary", bytes("one"));
  await say("gather", bytes("a", "b"));
  await say("spread", bytes("xyz"));
  await say("chat", bytes("p", "q"));
  await say("unary", bytes("one"), { fail: "9" });
}
