/** A policy service of its own process, for tests that kill or stop it. Arguments: port, and the name that it answers with. */
import { InboundServerPolicies } from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { bindService, startGrpcServer } from "../../../src/edge/grpc/server.ts";
import { policy } from "./ports-service.ts";

const [, , port = "0", name = ""] = process.argv;
const server = await startGrpcServer({
  address: `127.0.0.1:${port}`,
  services: [
    bindService(InboundServerPolicies, {
      getPort: async () => policy(name),
      watchPort: (_request, stream) => void stream.write(policy(name)),
    }),
  ],
  onBug: (error) => {
    throw error;
  },
});
process.stdout.write(`${server.port}\n`);
