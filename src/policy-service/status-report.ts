/**
 * What people are told about their documents and objects: each finding once in the log when it appears, and all of them
 * on `/status`. Made after the streams were written, so that it does not stand in the way of an update.
 */
import type { Condition } from "../core/resolve/conditions.ts";
import type { ObjectStatus } from "../core/resolve/status.ts";
import type { ParentRef } from "../core/resource/reference.ts";
import type { DocumentReport } from "../edge/files/source-snapshot.ts";
import type { Fields, Log } from "../edge/telemetry/log.ts";

type Finding = {
  readonly level: "info" | "warn";
  readonly event: string;
  readonly fields: Fields;
};

/** Remembers what it has said. What is mended and comes back is said again. */
export class StatusReport {
  readonly #log: Log;
  #said: ReadonlySet<string> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  update(reports: readonly DocumentReport[], statuses: readonly ObjectStatus[]): void {
    const findings = new Map(
      [...reports.map(documentFinding), ...statuses.flatMap(objectFindings)].map((finding) => [
        JSON.stringify(finding),
        finding,
      ]),
    );
    for (const [key, { level, event, fields }] of findings) {
      if (!this.#said.has(key)) this.#log[level](event, fields);
    }
    this.#said = new Set(findings.keys());
  }
}

const documentEvents = {
  refused: { level: "warn", event: "document_refused" },
  unserved: { level: "warn", event: "document_not_served" },
  warning: { level: "warn", event: "document_warning" },
  ignored: { level: "info", event: "document_ignored" },
} as const;

function documentFinding({ severity, ...fields }: DocumentReport): Finding {
  return { ...documentEvents[severity], fields };
}

function objectFindings(status: ObjectStatus): readonly Finding[] {
  const object = describeObject(status);
  const own = status.conditions.filter(isBad).map((condition) => findingOf(condition, { object }));
  const ofParents = status.parents.flatMap(({ parentRef, conditions }) =>
    conditions
      .filter(isBad)
      .map((condition) => findingOf(condition, { object, parent: describeParent(parentRef) })),
  );
  return [...own, ...ofParents];
}

function findingOf({ type, reason, message }: Condition, where: Fields): Finding {
  return {
    level: "warn",
    event: "object_not_in_order",
    fields: { ...where, type, reason, message },
  };
}

/** PartiallyInvalid is the one condition that is bad when it is true. */
function isBad({ type, status }: Condition): boolean {
  return type === "PartiallyInvalid" ? status === "True" : status === "False";
}

function describeObject({ kind, namespace, name }: ObjectStatus): string {
  return namespace === "" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

function describeParent({ kind, namespace, name, port, sectionName }: ParentRef): string {
  const place = [port, sectionName].filter((part) => part !== undefined).join("/");
  return `${kind} ${namespace}/${name}${place === "" ? "" : `:${place}`}`;
}
