/**
 * An application that ends as good ones do: told to, it asks its WebSockets to go and serves on until its time is over, because clients learn late. Arguments:
 * address, port, name, how many milliseconds it still serves.
 */
import { createServer } from "node:http";
import type { Duplex } from "node:stream";

const [host = "", port = "", name = "", servesMs = ""] = process.argv.slice(2);
/** RFC 6455 §7.4.1: the endpoint is going away. */
const goingAway = Buffer.from([0x88, 2, 0x03, 0xe9]);
const open = new Set<Duplex>();

const server = createServer((_request, response) => {
  response.end(name);
});
server.on("upgrade", (_request, socket) => {
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
  );
  open.add(socket);
  socket.on("data", (bytes) => socket.write(bytes));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => open.delete(socket));
});
server.listen(Number(port), host, () => process.stdout.write("listening\n"));
const askToGo = (): void => {
  for (const socket of open) socket.end(goingAway);
};
process.once("SIGTERM", () => {
  askToGo();
  setTimeout(() => {
    // Those that came since.
    askToGo();
    server.close(() => process.exit(0));
  }, Number(servesMs));
});
