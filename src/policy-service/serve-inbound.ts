/** `io.linkerd.proxy.inbound.InboundServerPolicies`: what a port of a pod admits. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { resolveInbound } from "../core/resolve/inbound.ts";
import type { ResolveSettings } from "../core/resolve/settings.ts";
import { describeFaults } from "../core/std/result.ts";
import {
  InboundServerPolicies,
  type Server,
  ServerSchema,
} from "../core/wire/gen/linkerd/inbound_pb.ts";
import { fromWirePortSpec, type InboundQuestion, toWireInbound } from "../core/wire/inbound.ts";
import { type BoundService, bindService } from "../edge/grpc/server.ts";
import { grpcCode, grpcFailure } from "../edge/grpc/status.ts";
import { follow } from "./follow.ts";
import type { Publisher } from "./publish.ts";

const unknown = "unknown server";

export function inboundService(publisher: Publisher, settings: ResolveSettings): BoundService {
  const topics = publisher.topics<InboundQuestion, Server>({
    api: "inbound",
    keyOf: ({ workload, port }) => `${workload.namespace}/${workload.pod} ${port}`,
    resolve: (store, { workload, port }) => {
      const resolution = resolveInbound(store, settings, workload, port);
      return "unknown" in resolution ? resolution : { policy: toWireInbound(resolution.policy) };
    },
    encode: (message) => toBinary(ServerSchema, message),
    decode: (bytes) => fromBinary(ServerSchema, bytes),
  });
  return bindService(InboundServerPolicies, {
    getPort: async (request) => {
      const question = fromWirePortSpec(request);
      if (!question.ok) {
        return grpcFailure(grpcCode.invalidArgument, describeFaults(question.faults));
      }
      const answer = topics.ask(question.value);
      return "unknown" in answer
        ? grpcFailure(grpcCode.notFound, `${unknown}: ${answer.unknown}`)
        : answer.policy;
    },
    watchPort: (request, stream) => {
      const question = fromWirePortSpec(request);
      if (!question.ok) {
        stream.fail(grpcCode.invalidArgument, describeFaults(question.faults));
        return;
      }
      follow(topics, stream, {
        question: question.value,
        unknown,
        write: (message) => stream.write(message),
      });
    },
  });
}
