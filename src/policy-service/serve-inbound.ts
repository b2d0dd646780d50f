/** `io.linkerd.proxy.inbound.InboundServerPolicies`: what a port of a pod admits. */
import { toBinary } from "@bufbuild/protobuf";
import { grpcCode } from "../core/model/grpc-status.ts";
import { resolveInbound } from "../core/resolve/inbound.ts";
import type { ResolveSettings } from "../core/resolve/settings.ts";
import { describeFaults } from "../core/std/result.ts";
import {
  InboundServerPolicies,
  type Server,
  ServerSchema,
} from "../core/wire/gen/linkerd/inbound_pb.ts";
import { fromWirePortSpec, type InboundQuestion, toWireInbound } from "../core/wire/inbound.ts";
import { inboundWithoutExtensions } from "../core/wire/without-extensions.ts";
import { type BoundService, bindService } from "../edge/grpc/server.ts";
import { grpcFailure } from "../edge/grpc/status.ts";
import { knowsExtensions } from "./api-version.ts";
import { follow } from "./follow.ts";
import type { Publisher } from "./publish.ts";

const unknown = "unknown server";

type Question = InboundQuestion & { readonly extensions: boolean };

export function inboundService(publisher: Publisher, settings: ResolveSettings): BoundService {
  const topics = publisher.topics<Question, Server>({
    api: "inbound",
    keyOf: ({ workload, port, extensions }) =>
      `${workload.namespace}/${workload.pod} ${port} ${extensions ? "weft" : "linkerd"}`,
    resolve: (store, { workload, port, extensions }) => {
      const resolution = resolveInbound(store, settings, workload, port);
      if ("unknown" in resolution) return resolution;
      const { policy } = resolution;
      return { policy: toWireInbound(extensions ? policy : inboundWithoutExtensions(policy)) };
    },
    encode: (message) => toBinary(ServerSchema, message),
  });
  return bindService(InboundServerPolicies, {
    getPort: async (request, call) => {
      const question = fromWirePortSpec(request);
      if (!question.ok) {
        return grpcFailure(grpcCode.invalidArgument, describeFaults(question.faults));
      }
      const answer = topics.ask({ ...question.value, extensions: knowsExtensions(call) });
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
        question: { ...question.value, extensions: knowsExtensions(stream) },
        unknown,
        write: (message) => stream.write(message),
      });
    },
  });
}
