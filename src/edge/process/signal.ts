/** The end of a process: the first SIGTERM or SIGINT asks for it, a second one does not wait for it. */

export type StopSignal = "SIGTERM" | "SIGINT";

/**
 * A terminal sends Ctrl-C to every process of its group and npm then passes it on, so one wish arrives as two signals a
 * few milliseconds apart. What arrives this soon after the first is not a second wish.
 */
export const sameWishMs = 250;

/** 128 plus the signal's number, as shells report a process that a signal ended. */
const exitCodes: Readonly<Record<StopSignal, number>> = { SIGINT: 130, SIGTERM: 143 };

export type StopOptions = {
  /** A clock that never goes back, in milliseconds. */
  readonly now?: () => number;
};

/** Resolves with the first signal. From then on another one ends the process at once, with 130 or 143. */
export function awaitStop(options: StopOptions = {}): Promise<StopSignal> {
  const now = options.now ?? performance.now.bind(performance);
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    const onSignal = (signal: StopSignal): void => {
      const atMs = now();
      firstMs ??= atMs;
      if (atMs - firstMs > sameWishMs) process.exit(exitCodes[signal]);
      resolve(signal);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}
