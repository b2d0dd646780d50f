import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration, DurationSchema } from "@bufbuild/protobuf/wkt";

/** The longest time that a Node timer can wait (some 24 days); it fires at once for anything longer. */
export const maxDurationMs = 2_147_483_647;

export function toWireDuration(ms: number): MessageInitShape<typeof DurationSchema> {
  const seconds = Math.floor(ms / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1_000_000) };
}

/** Whole milliseconds, rounded up so that a short limit does not become none (0). Undefined: negative. */
export function fromWireDuration({ seconds, nanos }: Duration): number | undefined {
  const ms = Number(seconds) * 1_000 + Math.ceil(nanos / 1_000_000);
  return ms < 0 ? undefined : Math.min(ms, maxDurationMs);
}
