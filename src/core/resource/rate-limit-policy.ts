import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field, quote, type Range } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import { type ObjectRef, readKindRef } from "./reference.ts";

/** How many requests a second each proxy lets through to a Server of its namespace. Rates are undefined where there is no limit. */
export type RateLimitPolicy = {
  readonly kind: "HTTPLocalRateLimitPolicy";
  readonly group: "policy.linkerd.io";
  readonly meta: ObjectMeta;
  readonly targetRef: ObjectRef;
  readonly totalPerSecond: number | undefined;
  /** Of each client that no override names; clients without an identity share one. */
  readonly identityPerSecond: number | undefined;
  readonly overrides: readonly RateOverride[];
};

type RateOverride = { readonly perSecond: number; readonly clients: readonly ObjectRef[] };

/** What the contract's field holds (uint32). Linkerd refuses a rate of 0, which its proxy would read as no limit. */
const rateRange: Range = { min: 1, max: 0xffff_ffff };

export function parseRateLimitPolicy(
  json: unknown,
  known: readonly Fault[] = [],
): Result<RateLimitPolicy> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const meta = readMeta(root.at("metadata"), "dns-name");
  const spec = root.at("spec").required();
  const totalPerSecond = readRate(spec.at("total"));
  return list.settle({
    kind: "HTTPLocalRateLimitPolicy",
    group: "policy.linkerd.io",
    meta,
    targetRef: readRateLimitTarget(spec.at("targetRef"), meta.namespace),
    totalPerSecond,
    identityPerSecond: readRate(spec.at("identity"), totalPerSecond),
    overrides: spec
      .at("overrides")
      .items()
      .map((item) => ({
        perSecond: readRate(item.required(), totalPerSecond) ?? rateRange.min,
        clients: item
          .at("clientRefs")
          .required()
          .items()
          .map((ref) => readClient(ref, meta.namespace)),
      })),
  });
}

/** A limit above the total is never reached, so that something else was meant. */
function readRate(field: Field, total: number = rateRange.max): number | undefined {
  if (!field.isPresent) return undefined;
  const rate = field.at("requestsPerSecond");
  const value = rate.required().optionalInteger(rateRange);
  if (value !== undefined && value > total) {
    rate.fault(`must be at most total.requestsPerSecond (${total}), is ${value}`);
  }
  return value;
}

export function readRateLimitTarget(field: Field, namespace: string): ObjectRef {
  const ref = readKindRef(field.required(), namespace);
  const isServer = ref.group === "policy.linkerd.io" && ref.kind === "Server";
  if (field.at("kind").isPresent && !isServer) {
    field.fault(`must refer to policy.linkerd.io Server, is ${quote(`${ref.group} ${ref.kind}`)}`);
  }
  return ref;
}

function readClient(field: Field, namespace: string): ObjectRef {
  const ref = readKindRef(field, namespace);
  if (field.at("kind").isPresent && (ref.group !== "" || ref.kind !== "ServiceAccount")) {
    field.fault(`must refer to ServiceAccount, is ${quote(`${ref.group} ${ref.kind}`.trim())}`);
  }
  return ref;
}
