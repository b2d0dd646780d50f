/**
 * The least that a proxy on Node.js's public interface costs: it reads nothing of what it relays, counts nothing and has one connection to the backend for
 * each client. What it takes above HAProxy in TCP mode is Node.js itself; what a sidecar takes above it is the sidecar.
 */
import { connect, createServer, Socket } from "node:net";

const [port = 0, originPort = 0] = process.argv.slice(2).map(Number);
const bufferBytes = 131_072;

type Handled = { _handle: object | null };

createServer({ pauseOnConnect: true, noDelay: true }, (raw) => {
  const from = raw as unknown as Handled;
  const handle = from._handle;
  from._handle = null;
  raw.destroy();
  // Each needs the other to exist before it reads, and reads only when it is resumed.
  let client: Socket | undefined;
  const origin = connect({
    host: "127.0.0.1",
    port: originPort,
    noDelay: true,
    onread: relayInto(() => client),
  });
  const options = { handle, onread: relayInto(() => origin) };
  const near = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
  client = near;
  for (const [one, other] of [
    [near, origin],
    [origin, near],
  ] as const) {
    one.on("error", () => other.destroy()).on("close", () => other.destroy());
  }
  near.resume();
}).listen({ host: "127.0.0.1", port, backlog: 4_096 });

/** A buffer that is not sent at once belongs to Node.js; the next bytes are read to another one. */
function relayInto(target: () => Socket | undefined) {
  let buffer = Buffer.allocUnsafeSlow(bufferBytes);
  return {
    buffer: (): Buffer => buffer,
    callback: (length: number, bytes: Uint8Array): boolean => {
      const to = target();
      if (to === undefined) return false;
      to.write(bytes.subarray(0, length));
      if (to.writableLength > 0) buffer = Buffer.allocUnsafeSlow(bufferBytes);
      return true;
    },
  };
}
