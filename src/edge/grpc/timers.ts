/** The one thing that waiting code needs of a clock. Tests pass timers that they fire themselves. */
export type Timers = {
  /** Runs the function once after the time; the answer calls it off. */
  readonly after: (ms: number, run: () => void) => () => void;
};

export const systemTimers: Timers = {
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
