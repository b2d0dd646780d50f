import type { Fault, Result } from "../std/result.ts";
import { readDurationMs } from "./duration.ts";
import { FaultList, Field, quote, type Range } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import { type ObjectRef, readKindRef } from "./reference.ts";
import { readSessionPersistence, type SessionPersistence } from "./session-persistence.ts";

/** What holds for all traffic to a backend, whichever rule sends it (Gateway API XBackendTrafficPolicy, experimental). */
export type BackendTrafficPolicy = {
  readonly kind: "XBackendTrafficPolicy";
  readonly group: "gateway.networking.x-k8s.io";
  readonly meta: ObjectMeta;
  /** Always in the namespace of the policy. */
  readonly targetRefs: readonly ObjectRef[];
  readonly retryConstraint: RetryConstraint | undefined;
  readonly sessionPersistence: SessionPersistence | undefined;
};

/** Retries may be `percent` of the requests of the last interval, or the least rate if that is more. */
export type RetryConstraint = {
  readonly percent: number;
  readonly intervalMs: number;
  readonly minRetryCount: number;
  readonly minRetryIntervalMs: number;
};

/** The defaults and bounds of the API. */
const percentRange: Range = { min: 0, max: 100 };
const countRange: Range = { min: 1, max: 1_000_000 };
const maxIntervalMs = 3_600_000;
const defaults: RetryConstraint = {
  percent: 20,
  intervalMs: 10_000,
  minRetryCount: 10,
  minRetryIntervalMs: 1_000,
};

export function parseBackendTrafficPolicy(
  json: unknown,
  known: readonly Fault[] = [],
): Result<BackendTrafficPolicy> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const meta = readMeta(root.at("metadata"), "dns-name");
  const spec = root.at("spec").required();
  return list.settle({
    kind: "XBackendTrafficPolicy",
    group: "gateway.networking.x-k8s.io",
    meta,
    targetRefs: readTargets(spec.at("targetRefs").required(), meta.namespace),
    retryConstraint: readConstraint(spec.at("retryConstraint")),
    sessionPersistence: readSessionPersistence(spec.at("sessionPersistence")),
  });
}

function readTargets(field: Field, namespace: string): readonly ObjectRef[] {
  const items = field.items();
  if (field.isPresent && items.length === 0) field.fault("must have at least one entry");
  // A policy speaks for its own namespace only.
  return items.map((item) => ({ ...readKindRef(item, namespace), namespace }));
}

function readConstraint(field: Field): RetryConstraint | undefined {
  if (!field.isPresent) return undefined;
  const budget = field.at("budget");
  const rate = field.at("minRetryRate");
  return {
    percent: budget.at("percent").optionalInteger(percentRange) ?? defaults.percent,
    intervalMs: readInterval(budget.at("interval")) ?? defaults.intervalMs,
    minRetryCount: rate.at("count").optionalInteger(countRange) ?? defaults.minRetryCount,
    minRetryIntervalMs: readInterval(rate.at("interval")) ?? defaults.minRetryIntervalMs,
  };
}

function readInterval(field: Field): number | undefined {
  const ms = readDurationMs(field);
  if (ms !== undefined && (ms < 1_000 || ms > maxIntervalMs)) {
    field.fault(`must be from "1s" to "1h", is ${quote(field.json)}`);
  }
  return ms;
}
