/**
 * Tracing with OpenTelemetry. Without the address of a collector nothing is traced, and what requests carry of traces passes through untouched. Names are those of
 * Linkerd's proxy with our prefix, where Linkerd has the setting.
 */
import type { Workload } from "../core/model/workload.ts";
import type { Address, EnvReader } from "./env.ts";
import { serviceName } from "./mesh-identity.ts";

export type TracingConfig = {
  /** Takes OTLP over gRPC. */
  readonly collector: Address;
  /** What the collector's certificate says; undefined: it is spoken to in clear text, as collectors in a cluster mostly are. */
  readonly collectorName: string | undefined;
  /** Of the requests that bring no trace, from 0 to 1. */
  readonly sampleRatio: number;
  readonly serviceName: string;
  /** What else spans say about this process, by names of OpenTelemetry's conventions. */
  readonly resource: Readonly<Record<string, string>>;
};

/** As Linkerd: a mesh follows the traces that applications and ingresses begin, and leaves the choice to them. */
const defaultSampleRatio = 0;

/** Undefined: off. */
export function readTracing(env: EnvReader, workload: Workload): TracingConfig | undefined {
  const sampleRatio = env.ratio("WEFT_TRACE_SAMPLE_RATIO", defaultSampleRatio);
  const extra = extraAttributes(env);
  const collectorName = serviceName(env, "WEFT_TRACE_COLLECTOR_SVC_NAME");
  if (env.optional("WEFT_TRACE_COLLECTOR_SVC_ADDR") === undefined) return undefined;
  return {
    collector: env.authority("WEFT_TRACE_COLLECTOR_SVC_ADDR"),
    collectorName,
    sampleRatio,
    serviceName: env.optional("WEFT_TRACE_SERVICE_NAME") ?? ownerOf(workload.pod),
    resource: {
      "k8s.namespace.name": workload.namespace,
      "k8s.pod.name": workload.pod,
      ...extra,
    },
  };
}

const extraName = "WEFT_TRACE_EXTRA_ATTRIBUTES";

/** What only the one who writes the pod knows: `k8s.deployment.name=web,k8s.node.name=node-1`. */
function extraAttributes(env: EnvReader): Readonly<Record<string, string>> {
  const pairs = env.list(extraName, []).flatMap((entry): (readonly [string, string])[] => {
    const at = entry.indexOf("=");
    if (at > 0) return [[entry.slice(0, at).trim(), entry.slice(at + 1).trim()]];
    const example = '"k8s.deployment.name=web"';
    env.refuse(extraName, `list pairs such as ${example} instead of ${JSON.stringify(entry)}`);
    return [];
  });
  return Object.fromEntries(pairs);
}

/** The letters of which Kubernetes makes the ends of names (`k8s.io/apimachinery/pkg/util/rand`). */
const generated = "[bcdfghjklmnpqrstvwxz2456789]";
const endings: readonly RegExp[] = [
  // Deployment: a hash of the template, and a random end.
  new RegExp(`-${generated}{6,10}-${generated}{5}$`),
  // DaemonSet, Job, ReplicaSet.
  new RegExp(`-${generated}{5}$`),
  // StatefulSet.
  /-[0-9]+$/,
];

/** The name of what made the pod, as its own name tells it. */
function ownerOf(pod: string): string {
  const ending = endings.find((one) => one.test(pod));
  const owner = ending === undefined ? pod : pod.replace(ending, "");
  return owner === "" ? pod : owner;
}
