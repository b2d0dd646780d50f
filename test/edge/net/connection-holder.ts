/** Opens a connection, says a byte, and at the other side's end answers with a million more and its own end. Arguments: port, how it is held. */
import { BufferPool } from "../../../src/edge/net/buffer-pool.ts";
import { dial } from "../../../src/edge/net/dial.ts";

const [port = "", how = ""] = process.argv.slice(2);
const firstBuffer = Buffer.alloc(65_536);
dial({
  target: { host: "127.0.0.1", port: Number(port), tls: undefined },
  pool: new BufferPool(),
  firstBuffer,
  onOpen: (wire) => {
    wire.owner = {
      readBuffer: () => firstBuffer,
      onBytes: () => true,
      onWritten: () => {},
      onEnd: () => {
        wire.send(Buffer.alloc(1_000_000), 0, 1_000_000);
        wire.end();
      },
      onClose: () => {},
    };
    if (how === "abort-on-death") wire.abortOnDeath?.();
    wire.send(Buffer.from("x"), 0, 1);
  },
  onFailure: ({ reason }) => {
    throw new Error(reason);
  },
});
