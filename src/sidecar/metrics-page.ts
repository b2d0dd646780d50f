/** `/metrics`: what the workers counted, summed, and what the main thread knows about itself. Names are Linkerd's where it has them. */
import { formatMetrics, type MetricFamily } from "../edge/telemetry/prometheus-text.ts";
import { snapshotScope } from "../thread/messages.ts";
import type { SidecarView } from "./sidecar-view.ts";

export function metricsPage(view: SidecarView): string {
  return formatMetrics([
    ...view.workers.families(),
    ...identityFamilies(view),
    ...controlFamilies(view),
    ...(view.spans?.families() ?? []),
    ...processFamilies(view),
  ]);
}

function identityFamilies({ identity, surroundings }: SidecarView): readonly MetricFamily[] {
  const { certifiedUntilMs, refreshed, failed, clockSkewMs } = identity.facts();
  const until = certifiedUntilMs === undefined ? [] : [plain(certifiedUntilMs / 1_000)];
  return [
    {
      name: "control_identity_cert_expiration_timestamp_seconds",
      kind: "gauge",
      help: "When the certificate in use ends, in seconds since 1970.",
      samples: until,
    },
    {
      name: "weft_identity_cert_remaining_seconds",
      kind: "gauge",
      help: "How long the certificate in use is still good; below 0: it is over.",
      samples:
        certifiedUntilMs === undefined
          ? []
          : [plain((certifiedUntilMs - surroundings.wallMs()) / 1_000)],
    },
    {
      name: "weft_identity_clock_skew_seconds",
      kind: "gauge",
      help: "How far the identity service's clock is ahead of this machine's.",
      samples: clockSkewMs === undefined ? [] : [plain(clockSkewMs / 1_000)],
    },
    {
      name: "control_identity_cert_refreshes_total",
      kind: "counter",
      help: "Certificates asked for, by result.",
      samples: [
        { labels: { result: "ok" }, value: refreshed },
        { labels: { result: "error" }, value: failed },
      ],
    },
  ];
}

function controlFamilies(view: SidecarView): readonly MetricFamily[] {
  const { workers, services, surroundings, inbound, discovery } = view;
  const nowMs = surroundings.nowMs();
  const ages = [...inbound.facts().values(), ...discovery.facts().values()].flatMap(
    ({ snapshot, receivedMs }) =>
      snapshot === undefined
        ? []
        : [{ labels: { scope: snapshotScope(snapshot) }, value: (nowMs - receivedMs) / 1_000 }],
  );
  return [
    {
      name: "weft_policy_age_seconds",
      kind: "gauge",
      help: "Time since the policy in force was received.",
      samples: ages,
    },
    {
      name: "weft_control_stream_connected",
      kind: "gauge",
      help: "1 while no stream of the service waits for its return, else 0.",
      samples: services.map(({ name, connected }) => ({
        labels: { service: name },
        value: connected ? 1 : 0,
      })),
    },
    {
      name: "weft_worker_restarts_total",
      kind: "counter",
      help: "Workers that died and were started again.",
      samples: [plain(workers.facts().restarts)],
    },
  ];
}

function processFamilies({ version }: SidecarView): readonly MetricFamily[] {
  const { user, system } = process.cpuUsage();
  return [
    {
      name: "process_cpu_seconds_total",
      kind: "counter",
      help: "User and system time of the process, all threads.",
      samples: [plain((user + system) / 1_000_000)],
    },
    {
      name: "process_resident_memory_bytes",
      kind: "gauge",
      help: "Resident memory of the process, all threads.",
      samples: [plain(process.memoryUsage.rss())],
    },
    {
      name: "process_start_time_seconds",
      kind: "gauge",
      help: "When the process started, in seconds since 1970.",
      samples: [plain(performance.timeOrigin / 1_000)],
    },
    {
      name: "proxy_build_info",
      kind: "gauge",
      help: "What runs here; the value is always 1.",
      samples: [{ labels: { version, node: process.versions.node }, value: 1 }],
    },
  ];
}

function plain(value: number): { readonly labels: Record<string, never>; readonly value: number } {
  return { labels: {}, value };
}
