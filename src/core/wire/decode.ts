/**
 * Reading what a control plane sent. A reader never fails and never throws: it answers with a model that is safe to enforce and notes in the trace what
 * it could not understand. Safe means: a broken part refuses its own traffic, and nothing is opened by it.
 */
import type { Fault } from "../std/result.ts";

export type Decoded<T> = { readonly value: T; readonly faults: readonly Fault[] };

/** A message may be broken in a million places; a person reads the first few, and the log line stays short. */
export const maxDecodeFaults = 100;

/** Where a reader is in the message, and what was found so far. */
export type Trace = { readonly path: string; readonly faults: Fault[] };

export function decode<T>(read: (trace: Trace) => T): Decoded<T> {
  const trace: Trace = { path: "", faults: [] };
  return { value: read(trace), faults: trace.faults };
}

/** The trace of a field; `index` is that of a repeated one. */
export function under({ path, faults }: Trace, field: string, index?: number): Trace {
  const step = index === undefined ? field : `${field}[${index}]`;
  return { path: path === "" ? step : `${path}.${step}`, faults };
}

/** Notes a fault and answers with its text, for those who refuse traffic because of it. */
export function report({ path, faults }: Trace, reason: string): string {
  if (faults.length < maxDecodeFaults) faults.push({ path, reason });
  return path === "" ? reason : `${path}: ${reason}`;
}
