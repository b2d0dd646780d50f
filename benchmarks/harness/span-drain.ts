/** A process that takes spans over OTLP/gRPC on the port that it is told, and does not look at them: what a collector costs is nobody's concern here. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { traceService } from "../../test/harness/trace-service.ts";

const port = Number(process.argv[2]);
const taken = Buffer.alloc(0);
const server = new Server();
server.addService(
  traceService((bytes) => bytes),
  {
    export: (_call: unknown, done: (error: null, answer: Buffer) => void) => done(null, taken),
  },
);
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
