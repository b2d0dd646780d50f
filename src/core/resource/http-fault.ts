import type { Fault, Result } from "../std/result.ts";
import { readDurationMs } from "./duration.ts";
import { FaultList, Field, quote, type Range } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import { readShare, type Share } from "./share.ts";

/** Trouble made on purpose, to see what callers do about it. A filter of a rule or of a backend refers to it. */
export type HttpFault = {
  readonly kind: "HTTPFault";
  readonly group: "weft.dev";
  readonly meta: ObjectMeta;
  readonly delay: (Share & { readonly delayMs: number }) | undefined;
  readonly abort: (Share & { readonly status: number; readonly message: string }) | undefined;
};

const statusRange: Range = { min: 200, max: 599 };

/** It travels in a response header. */
const maxMessageLength = 256;

export function parseHttpFault(json: unknown, known: readonly Fault[] = []): Result<HttpFault> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  if (spec.isPresent && !spec.at("delay").isPresent && !spec.at("abort").isPresent) {
    spec.fault("must have at least one of delay and abort");
  }
  return list.settle({
    kind: "HTTPFault",
    group: "weft.dev",
    meta: readMeta(root.at("metadata"), "dns-name"),
    delay: readDelay(spec.at("delay")),
    abort: readAbort(spec.at("abort")),
  });
}

function readDelay(field: Field): HttpFault["delay"] {
  if (!field.isPresent) return undefined;
  const delayMs = readDurationMs(field.at("duration").required());
  return { delayMs: delayMs ?? 0, ...readShare(field) };
}

function readAbort(field: Field): HttpFault["abort"] {
  if (!field.isPresent) return undefined;
  return {
    status: field.at("status").integer(statusRange),
    message: readMessage(field.at("message")),
    ...readShare(field),
  };
}

function readMessage(field: Field): string {
  const text = field.optionalText() ?? "";
  if (!/^[\x20-\x7e]*$/.test(text) || text.length > maxMessageLength) {
    field.fault(`must be at most ${maxMessageLength} visible ASCII characters, is ${quote(text)}`);
  }
  return text;
}
