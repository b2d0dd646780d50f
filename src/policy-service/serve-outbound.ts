/** `io.linkerd.proxy.outbound.OutboundPolicies`: what a client's sidecar does with traffic to one destination. */
import { toBinary } from "@bufbuild/protobuf";
import { grpcCode } from "../core/model/grpc-status.ts";
import { resolveOutbound } from "../core/resolve/outbound.ts";
import type { ResolveSettings } from "../core/resolve/settings.ts";
import { describeFaults } from "../core/std/result.ts";
import {
  OutboundPolicies,
  type OutboundPolicy,
  OutboundPolicySchema,
} from "../core/wire/gen/linkerd/outbound_pb.ts";
import {
  fromWireTrafficSpec,
  type OutboundQuestion,
  toWireOutbound,
} from "../core/wire/outbound.ts";
import { type BoundService, bindService } from "../edge/grpc/server.ts";
import { grpcFailure } from "../edge/grpc/status.ts";
import { knowsExtensions } from "./api-version.ts";
import { follow } from "./follow.ts";
import type { Publisher } from "./publish.ts";

const unknown = "unknown target";

type Question = OutboundQuestion & { readonly extensions: boolean };

export function outboundService(publisher: Publisher, settings: ResolveSettings): BoundService {
  const topics = publisher.topics<Question, OutboundPolicy>({
    api: "outbound",
    keyOf: questionKey,
    resolve: (store, { workload, target, extensions }) => {
      const resolution = resolveOutbound(store, settings, target, workload);
      return "unknown" in resolution
        ? resolution
        : { policy: toWireOutbound(resolution.policy, { extensions }) };
    },
    encode: (message) => toBinary(OutboundPolicySchema, message),
  });
  return bindService(OutboundPolicies, {
    get: async (request, call) => {
      const question = fromWireTrafficSpec(request, settings.clusterDomain);
      if (!question.ok) {
        return grpcFailure(grpcCode.invalidArgument, describeFaults(question.faults));
      }
      const answer = topics.ask({ ...question.value, extensions: knowsExtensions(call) });
      return "unknown" in answer
        ? grpcFailure(grpcCode.notFound, `${unknown}: ${answer.unknown}`)
        : answer.policy;
    },
    watch: (request, stream) => {
      const question = fromWireTrafficSpec(request, settings.clusterDomain);
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

/** Of a client only its namespace counts, and which contract it knows, so that the sidecars of a namespace share their answers. */
function questionKey({ workload, target, extensions }: Question): string {
  const name = target.kind === "address" ? `${target.ip} ${target.port}` : target.authority;
  return `${workload.namespace} ${extensions ? "weft" : "linkerd"} ${name}`;
}
