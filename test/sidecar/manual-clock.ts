/** Time that stands still until a test moves it. */
import type { Surroundings } from "../../src/sidecar/surroundings.ts";

type Pending = { readonly atMs: number; readonly run: () => void };

export type ManualClock = Surroundings & {
  /** Moves on by so much and runs what falls due, in order. */
  readonly advance: (ms: number) => void;
  /** The pauses that somebody waits for now, shortest first. */
  readonly pauses: () => readonly number[];
};

const firstMs = 1_000;

export function manualClock(startWallMs = 0): ManualClock {
  // Not zero: a clock that has run for a while, as every real one has.
  let nowMs = firstMs;
  const pending = new Set<Pending>();
  const next = (untilMs: number): Pending | undefined =>
    [...pending].filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0];
  return {
    nowMs: () => nowMs,
    wallMs: () => startWallMs + nowMs - firstMs,
    random: () => 0.5,
    timers: {
      after(ms, run) {
        const one = { atMs: nowMs + ms, run };
        pending.add(one);
        return () => pending.delete(one);
      },
    },
    advance(ms) {
      const untilMs = nowMs + ms;
      for (let due = next(untilMs); due !== undefined; due = next(untilMs)) {
        pending.delete(due);
        nowMs = due.atMs;
        due.run();
      }
      nowMs = untilMs;
    },
    pauses: () => [...pending].map(({ atMs }) => atMs - nowMs).toSorted((a, b) => a - b),
  };
}
