/**
 * The roots that a process trusts, as their file says at the moment. A root is replaced without an interruption by trusting
 * both for a while: the file first gets the new one as well, and loses the old one when no certificate is left below it.
 */
import { readFile } from "node:fs/promises";
import { describeFaults } from "../../core/std/result.ts";
import type { Timers } from "../grpc/timers.ts";
import type { Log } from "../telemetry/log.ts";
import { parseTrustAnchors } from "../x509/pem.ts";

/** A mounted ConfigMap is a minute behind anyway, and the file has a few KiB. */
export const anchorsPollMs = 10_000;

export type AnchorsWatchOptions = {
  readonly file: string;
  /** What the file held when the process read it first. */
  readonly text: string;
  readonly timers: Timers;
  readonly log: Log;
  /** PEM, one certificate each. */
  readonly onChange: (anchors: readonly string[]) => void;
};

/** What cannot be read or used is told once, and the anchors in use stay. The answer ends the watch. */
export function watchAnchors(options: AnchorsWatchOptions): () => void {
  const { file, timers, log, onChange } = options;
  let seen = options.text;
  let failure = "";
  let isClosed = false;
  let callOff = timers.after(anchorsPollMs, look);

  function look(): void {
    void read(file).then((text) => {
      if (isClosed) return;
      callOff = timers.after(anchorsPollMs, look);
      if (!text.ok) refuse(text.reason);
      else if (text.value === seen) failure = "";
      else take(text.value);
    });
  }

  function take(text: string): void {
    const anchors = parseTrustAnchors(text);
    if (!anchors.ok) {
      refuse(describeFaults(anchors.faults));
      return;
    }
    seen = text;
    failure = "";
    log.info("trust_anchors_changed", { file, anchors: anchors.value.length });
    onChange(anchors.value);
  }

  function refuse(reason: string): void {
    if (reason === failure) return;
    failure = reason;
    log.warn("trust_anchors_unusable", { file, reason });
  }

  return () => {
    isClosed = true;
    callOff();
  };
}

type ReadText =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly reason: string };

async function read(file: string): Promise<ReadText> {
  try {
    return { ok: true, value: await readFile(file, "utf8") };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
