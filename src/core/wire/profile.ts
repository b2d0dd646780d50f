/** What `Destination.GetProfile` answers: Linkerd's proxy asks it beside the policy of every target (ServiceProfiles are a later matter). */
import { create } from "@bufbuild/protobuf";
import type { Endpoint } from "../model/endpoint.ts";
import type { Meta } from "../model/meta.ts";
import { toWireDuration } from "./duration.ts";
import { toWireEndpoint } from "./endpoint.ts";
import { type DestinationProfile, DestinationProfileSchema } from "./gen/linkerd/destination_pb.ts";
import { toWireMeta } from "./meta.ts";

export type ProfileTarget =
  /** `name` is the full name without a port. */
  | {
      readonly kind: "service";
      readonly name: string;
      readonly opaque: boolean;
      readonly parent: Meta;
    }
  /** The address of one pod, or of nothing that is known: there is nothing to balance. */
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint; readonly opaque: boolean }
  /** A port that the Service does not have. */
  | { readonly kind: "unknown" };

/** Linkerd's defaults: retries may be a fifth of the requests, and ten a second at least. */
const defaultRetryBudget = {
  retryRatio: 0.2,
  minRetriesPerSecond: 10,
  ttl: toWireDuration(10_000),
};

export function toWireProfile(target: ProfileTarget): DestinationProfile {
  switch (target.kind) {
    case "service":
      return create(DestinationProfileSchema, {
        fullyQualifiedName: target.name,
        opaqueProtocol: target.opaque,
        retryBudget: defaultRetryBudget,
        parentRef: toWireMeta(target.parent),
      });
    case "endpoint":
      return create(DestinationProfileSchema, {
        endpoint: toWireEndpoint(target.endpoint),
        opaqueProtocol: target.opaque,
        retryBudget: defaultRetryBudget,
      });
    case "unknown":
      return create(DestinationProfileSchema);
  }
}
