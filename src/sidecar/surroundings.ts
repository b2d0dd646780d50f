/** Time and chance, as the main thread takes them from outside. Tests pass their own. */
import { systemTimers, type Timers } from "../edge/grpc/timers.ts";

export type Surroundings = {
  /** Milliseconds that never go back: for ages and pauses. */
  readonly nowMs: () => number;
  /** Milliseconds since 1970: for what certificates say. */
  readonly wallMs: () => number;
  /** Answers in [0, 1). */
  readonly random: () => number;
  readonly timers: Timers;
};

export const systemSurroundings: Surroundings = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  random: () => Math.random(),
  timers: systemTimers,
};

/** Runs the function again and again with the pause between; the answer calls it off. */
export function every(timers: Timers, pauseMs: number, run: () => void): () => void {
  let callOff = timers.after(pauseMs, again);
  function again(): void {
    callOff = timers.after(pauseMs, again);
    run();
  }
  return () => callOff();
}
