/** The service that the tests of this folder call: the contract's own policy service, with handlers that each test gives. */
import type { MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { ExecutionContext } from "ava";
import { grpcCode } from "../../../src/core/model/grpc-status.ts";
import {
  InboundServerPolicies,
  PortSpecSchema,
  ServerSchema,
} from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import type { GrpcChannel } from "../../../src/edge/grpc/client.ts";
import { openChannel } from "../../../src/edge/grpc/client.ts";
import type { GrpcServer, ServiceHandlers } from "../../../src/edge/grpc/server.ts";
import { bindService, startGrpcServer } from "../../../src/edge/grpc/server.ts";
import { grpcFailure } from "../../../src/edge/grpc/status.ts";

export type PortSpec = MessageShape<typeof PortSpecSchema>;
export type Policy = MessageShape<typeof ServerSchema>;
export type Handlers = ServiceHandlers<typeof InboundServerPolicies>;

export const { getPort, watchPort } = InboundServerPolicies.method;

export function portSpec(port: number, workload = ""): PortSpec {
  return create(PortSpecSchema, { port, workload });
}

/** A policy that a test can tell apart by its name. */
export function policy(name: string): Policy {
  return create(ServerSchema, { labels: { name } });
}

export function nameOf(server: Policy): string {
  return server.labels["name"] ?? "";
}

export async function servePorts(
  t: ExecutionContext,
  handlers: Partial<Handlers>,
  onBug: (error: unknown, method: string) => void = (error) => t.fail(String(error)),
): Promise<{ readonly server: GrpcServer; readonly channel: GrpcChannel }> {
  const missing = grpcFailure(grpcCode.unimplemented, "");
  const server = await startGrpcServer({
    address: "127.0.0.1:0",
    services: [
      bindService(InboundServerPolicies, {
        getPort: async () => missing,
        watchPort: (_request, stream) => stream.fail(missing.code, missing.message),
        ...handlers,
      }),
    ],
    onBug,
  });
  const channel = openChannel(`127.0.0.1:${server.port}`);
  t.teardown(async () => {
    channel.close();
    await server.close(0);
  });
  return { server, channel };
}
