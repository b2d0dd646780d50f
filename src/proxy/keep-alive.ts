/** How long an endpoint says that it keeps an idle connection (`Keep-Alive: timeout=5`, RFC 2068 §19.7.1.1). */
import { Known } from "../codec/header-list.ts";
import type { ResponseHead } from "../codec/http1-head.ts";

/** A request that leaves now arrives later. Node.js servers, among others, close on the second. */
const marginMs = 1_000;

/**
 * How long a connection may wait in the pool: what we want, or less when the other end has announced that it closes earlier.
 * A request sent into a closing connection is lost, and one that is not idempotent cannot be sent again.
 */
export function keepAliveMs(head: ResponseHead, wantedMs: number): number {
  const { fields } = head;
  const field = fields.findKnown(Known.keepAlive, 0);
  if (field < 0) return wantedMs;
  const match = /(?:^|[\s,;])timeout=([0-9]{1,6})/i.exec(fields.value(field));
  return match === null ? wantedMs : Math.min(wantedMs, Number(match[1]) * 1_000 - marginMs);
}

/**
 * What is read of an unwanted response so that its connection can be used again, and for how long. Error pages are shorter;
 * past that a new connection is cheaper.
 */
export const maxDrainBytes: number = 64 * 1024;
export const maxDrainMs = 1_000;
