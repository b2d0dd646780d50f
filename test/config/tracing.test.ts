import test from "ava";
import { type Environment, EnvReader } from "../../src/config/env.ts";
import { readTracing, type TracingConfig } from "../../src/config/tracing.ts";
import { describeFaults, type Result } from "../../src/core/std/result.ts";

const collector = { WEFT_TRACE_COLLECTOR_SVC_ADDR: "otel.obs.svc:4317" };

function read(
  environment: Environment,
  pod = "web-1",
): Result<{ tracing: TracingConfig | undefined }> {
  const env = new EnvReader(environment);
  return env.finish({ tracing: readTracing(env, { namespace: "demo", pod }) });
}

function tracingOf(environment: Environment, pod?: string): TracingConfig | undefined {
  const result = read({ ...collector, ...environment }, pod);
  if (!result.ok) throw new Error(describeFaults(result.faults));
  return result.value.tracing;
}

function faultsOf(environment: Environment): string {
  const result = read({ ...collector, ...environment });
  return result.ok ? "" : describeFaults(result.faults);
}

test("readTracing() nothing is traced without a collector, whatever else is set", (t) => {
  t.deepEqual(read({ WEFT_TRACE_SAMPLE_RATIO: "1" }), { ok: true, value: { tracing: undefined } });
});

test("readTracing() a collector is enough: traces that come are followed, and none begins", (t) => {
  t.deepEqual(tracingOf({}), {
    collector: { host: "otel.obs.svc", port: 4317 },
    collectorName: undefined,
    sampleRatio: 0,
    serviceName: "web",
    resource: { "k8s.namespace.name": "demo", "k8s.pod.name": "web-1" },
  });
});

test("readTracing() everything can be said", (t) => {
  const tracing = tracingOf({
    WEFT_TRACE_COLLECTOR_SVC_NAME: "otel.obs.serviceaccount.identity.weft.cluster.local",
    WEFT_TRACE_SAMPLE_RATIO: "0.05",
    WEFT_TRACE_SERVICE_NAME: "shop",
    WEFT_TRACE_EXTRA_ATTRIBUTES: "k8s.deployment.name=web, k8s.node.name = node-1",
  });
  t.like(tracing, { sampleRatio: 0.05, serviceName: "shop" });
  t.is(tracing?.collectorName, "otel.obs.serviceaccount.identity.weft.cluster.local");
  t.like(tracing?.resource, { "k8s.deployment.name": "web", "k8s.node.name": "node-1" });
});

test("readTracing() refuses what it cannot read", (t) => {
  t.regex(faultsOf({ WEFT_TRACE_COLLECTOR_SVC_ADDR: "otel" }), /WEFT_TRACE_COLLECTOR_SVC_ADDR/);
  for (const ratio of ["1.1", "-0.1", "1e-3", "1%", ".5"]) {
    t.regex(faultsOf({ WEFT_TRACE_SAMPLE_RATIO: ratio }), /a number from 0 to 1/, ratio);
  }
  t.regex(
    faultsOf({ WEFT_TRACE_EXTRA_ATTRIBUTES: "web" }),
    /list pairs such as .* instead of "web"/,
  );
});

for (const [pod, name] of [
  ["web-7d9f8b6c5c-x2x4k", "web"],
  ["order-api-6d4cf56db6-9qz2l", "order-api"],
  ["node-agent-x2x4k", "node-agent"],
  ["postgres-0", "postgres"],
  ["web", "web"],
] as const) {
  test(`readTracing() a pod named ${pod} is of the service ${name}`, (t) => {
    t.is(tracingOf({}, pod)?.serviceName, name);
  });
}
