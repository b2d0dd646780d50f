/** What a source of resources knows at one moment. Later moments are new snapshots; objects that did not change stay the same. */
import type { BrokenResource } from "../../core/resource/broken.ts";
import type { Resource } from "../../core/resource/resource.ts";
import type { Severity } from "../schema/schema-set.ts";

export type SourceSnapshot = {
  readonly resources: readonly Resource[];
  readonly broken: readonly BrokenResource[];
  readonly reports: readonly DocumentReport[];
  /** Something could not be read from the beginning, so nobody knows what it was meant to govern. */
  readonly unreadableAtStart: boolean;
  /** Counts up with every snapshot of one source. */
  readonly revision: number;
};

/** One thing to say about one document. */
export type DocumentReport = {
  /** Relative to the folder of the source, with `/`. */
  readonly file: string;
  /** From 1; 0 when the file as a whole is meant. */
  readonly document: number;
  /** From 1; 0 when unknown. */
  readonly line: number;
  /** `HTTPRoute demo/alternative`; empty when the document does not say. */
  readonly object: string;
  /** Inside the object; empty when the object as a whole is meant. */
  readonly path: string;
  readonly reason: string;
  readonly severity: Severity;
};

/** One line for people: `routes.yaml, document 2, line 14: HTTPRoute demo/a: spec.rules[0].name: must not be empty`. */
export function describeReport(report: DocumentReport): string {
  const where = [
    report.file,
    ...(report.document === 0 ? [] : [`document ${report.document}`]),
    ...(report.line === 0 ? [] : [`line ${report.line}`]),
  ].join(", ");
  return [where, report.object, report.path, report.reason]
    .filter((part) => part !== "")
    .join(": ");
}
