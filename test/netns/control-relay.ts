/**
 * Temporary: stands on a pod's loopback for the control plane, because sidecars accept no other control-plane address until they speak TLS to it. Each
 * argument is an address of IPv4; it is relayed to from the same port on 127.0.0.1.
 */
import { connect, createServer } from "node:net";

const targets = process.argv.slice(2);
let listening = 0;
for (const target of targets) {
  const [host = "", port = ""] = target.split(":");
  const server = createServer((near) => {
    const far = connect({ host, port: Number(port) });
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
    near.pipe(far).pipe(near);
  });
  server.listen(Number(port), "127.0.0.1", () => {
    listening += 1;
    if (listening === targets.length) process.stdout.write("relaying\n");
  });
}
