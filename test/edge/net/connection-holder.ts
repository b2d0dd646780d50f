/** Opens a connection, says a byte, and at the other side's end answers with a million more and its own end. Arguments: port, how it is held, by whom. */
import { BufferPool } from "../../../src/edge/net/buffer-pool.ts";
import { dial } from "../../../src/edge/net/dial.ts";
import { openKernelSockets } from "../../../src/edge/net/kernel-sockets.ts";

const [port = "", how = "", by = ""] = process.argv.slice(2);
const firstBuffer = Buffer.alloc(65_536);
const sockets = by === "kernel" ? openKernelSockets({ add: () => true, remove() {} }) : undefined;
if (by === "kernel" && sockets === undefined) throw new Error("no sockets");
// The kernel's connections keep no process alive.
const staying = setInterval(() => {}, 1_000_000);
dial({
  sockets,
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
      onClose: () => clearInterval(staying),
    };
    if (how === "abort-on-death") wire.abortOnDeath?.();
    wire.send(Buffer.from("x"), 0, 1);
  },
  onFailure: ({ reason }) => {
    throw new Error(reason);
  },
});
