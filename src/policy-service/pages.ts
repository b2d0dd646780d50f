/** The admin pages of the policy service: `/live`, `/ready`, `/metrics` for machines, `/status` for people. */
import type { ObjectStatus } from "../core/resolve/status.ts";
import type { SourceSnapshot } from "../edge/files/source-snapshot.ts";
import { type AdminHandler, liveHandler, readyHandler } from "../edge/process/admin.ts";
import {
  formatMetrics,
  type MetricFamily,
  prometheusContentType,
} from "../edge/telemetry/prometheus-text.ts";
import type { Publisher } from "./publish.ts";

export type PagesOptions = {
  readonly publisher: Publisher;
  readonly isReady: () => boolean;
  readonly snapshot: () => SourceSnapshot;
  readonly statuses: () => readonly ObjectStatus[];
};

export function adminPages(options: PagesOptions): ReadonlyMap<string, AdminHandler> {
  return new Map<string, AdminHandler>([
    ["/live", liveHandler()],
    ["/ready", readyHandler(options.isReady)],
    [
      "/metrics",
      () => ({
        status: 200,
        body: formatMetrics(metricFamilies(options)),
        contentType: prometheusContentType,
      }),
    ],
    [
      "/status",
      () => ({
        status: 200,
        body: `${JSON.stringify(statusPage(options), null, 2)}\n`,
        contentType: "application/json",
      }),
    ],
  ]);
}

function metricFamilies({ publisher, snapshot }: PagesOptions): readonly MetricFamily[] {
  const { resources, broken, reports, unreadableAtStart } = snapshot();
  const refused = new Set(
    reports
      .filter(({ severity }) => severity === "refused")
      .map(({ file, document }) => `${file}#${document}`),
  );
  const kinds = Map.groupBy(resources, ({ kind }) => kind);
  const gauge = (name: string, help: string, value: number): MetricFamily => ({
    name,
    kind: "gauge",
    help,
    samples: [{ labels: {}, value }],
  });
  return [
    {
      name: "weft_policy_subscriptions",
      kind: "gauge",
      help: "Open watches by API.",
      samples: [...publisher.subscriptions()].map(([api, value]) => ({ labels: { api }, value })),
    },
    {
      name: "weft_policy_resources",
      kind: "gauge",
      help: "Objects in force by kind.",
      samples: [...kinds].map(([kind, list]) => ({ labels: { kind }, value: list.length })),
    },
    gauge(
      "weft_policy_broken_resources",
      "Objects that cannot be read, and deny what they meant to govern.",
      broken.length,
    ),
    gauge(
      "weft_policy_documents_refused",
      "Documents with a fault for which they, or a part of them, are not in force.",
      refused.size,
    ),
    gauge(
      "weft_policy_unreadable_at_start",
      "1 while a document has never been readable, so that ports without a Server admit nobody.",
      unreadableAtStart ? 1 : 0,
    ),
    gauge("weft_policy_revision", "Changes of the resources since the start.", publisher.revision),
    gauge(
      "weft_policy_last_change_seconds",
      "How long the latest change took from its snapshot until every stream was written.",
      publisher.lastChangeMs / 1_000,
    ),
  ];
}

function statusPage({ publisher, snapshot, statuses }: PagesOptions): unknown {
  const { resources, broken, reports, unreadableAtStart } = snapshot();
  return {
    revision: publisher.revision,
    resources: resources.length,
    unreadableAtStart,
    documents: reports,
    broken: broken.map(({ kind, namespace, name, source }) => ({ kind, namespace, name, source })),
    objects: statuses(),
  };
}
