import type { Snapshot } from "../thread/messages.ts";

/** Where the main thread puts what the workers shall enforce. `workers.ts` is the real one. */
export type Publisher = {
  /** A number that is larger than all before it, for a snapshot. */
  nextRevision(): number;
  publish(snapshot: Snapshot): void;
  dropOutbound(target: string): void;
  dropEndpoints(authority: string): void;
  dropInbound(port: number): void;
};
