import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RateLimit } from "../model/rate-limit.ts";
import { type Trace, under } from "./decode.ts";
import type { HttpLocalRateLimit, HttpLocalRateLimitSchema } from "./gen/linkerd/inbound_pb.ts";
import { fromWireMeta, toWireMeta } from "./meta.ts";

export function toWireRateLimit({
  meta,
  totalPerSecond,
  identityPerSecond,
  overrides,
}: RateLimit): MessageInitShape<typeof HttpLocalRateLimitSchema> {
  return {
    metadata: toWireMeta(meta),
    ...(totalPerSecond === 0 ? {} : { total: { requestsPerSecond: totalPerSecond } }),
    ...(identityPerSecond === 0 ? {} : { identity: { requestsPerSecond: identityPerSecond } }),
    overrides: overrides.map(({ perSecond, identities }) => ({
      limit: { requestsPerSecond: perSecond },
      clients: { identities: identities.map((name) => ({ name })) },
    })),
  };
}

/** A limit decides about load, not about people: one that is missing or 0 is none, as the contract has it. */
export function fromWireRateLimit(message: HttpLocalRateLimit, trace: Trace): RateLimit {
  return {
    meta: fromWireMeta(message.metadata, under(trace, "metadata")),
    totalPerSecond: message.total?.requestsPerSecond ?? 0,
    identityPerSecond: message.identity?.requestsPerSecond ?? 0,
    overrides: message.overrides.map(({ limit, clients }) => ({
      perSecond: limit?.requestsPerSecond ?? 0,
      identities: (clients?.identities ?? []).map(({ name }) => name),
    })),
  };
}
