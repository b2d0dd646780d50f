/** The admin pages of a sidecar. They show; nothing here changes anything. */
import { type AdminHandler, liveHandler } from "../edge/process/admin.ts";
import { prometheusContentType } from "../edge/telemetry/prometheus-text.ts";
import { decisionPage, decisionPath } from "./decision-page.ts";
import { metricsPage } from "./metrics-page.ts";
import { policyPage } from "./policy-page.ts";
import { missingIn, type SidecarView } from "./sidecar-view.ts";

export function adminPages(view: SidecarView): ReadonlyMap<string, AdminHandler> {
  return new Map<string, AdminHandler>([
    ["/live", liveHandler()],
    ["/ready", () => readyPage(missingIn(view))],
    [
      "/metrics",
      () => ({ status: 200, body: metricsPage(view), contentType: prometheusContentType }),
    ],
    [`${decisionPath}*`, decisionPage((id) => view.workers.decisions.ask(id))],
    ["/policy", () => ({ status: 200, body: policyPage(view), contentType: "application/json" })],
  ]);
}

/** Says what is missing, because whoever looks at a probe that fails asks that next. */
function readyPage(missing: readonly string[]): { readonly status: number; readonly body: string } {
  if (missing.length === 0) return { status: 200, body: "ready\n" };
  return { status: 503, body: `not ready\n${missing.map((one) => `${one}\n`).join("")}` };
}
