/** A folder of manifests in a temporary place, and snapshots in a form that tests can compare. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describeReport, type SourceSnapshot } from "../../../src/edge/files/source-snapshot.ts";

export class TemporaryFolder {
  readonly path: string = mkdtempSync(join(tmpdir(), "weft-files-"));

  write(file: string, text: string | Uint8Array): string {
    const path = join(this.path, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function serverYaml(name: string, port: number | string = 80): string {
  return `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata:
  name: ${name}
  namespace: demo
spec:
  podSelector:
    matchLabels:
      app: ${name}
  port: ${port}
`;
}

/** Names of what is in force and of what is broken, reports as lines. */
export function summaryOf(snapshot: SourceSnapshot): {
  readonly good: readonly string[];
  readonly broken: readonly string[];
  readonly reports: readonly string[];
} {
  return {
    good: snapshot.resources.map(({ kind, meta }) => `${kind} ${meta.name}`),
    broken: snapshot.broken.map(({ kind, name, source }) => `${kind} ${name} (${source})`),
    reports: snapshot.reports.map((report) => `${report.severity}: ${describeReport(report)}`),
  };
}
