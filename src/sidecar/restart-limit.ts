/**
 * When to stop starting dead workers again. One that served between two deaths is worth replacing, however often it dies: its
 * peers go on and only its connections are lost. One that dies at once every time turns the sidecar into a machine that drops
 * connections; then the process had better end and let the orchestrator see it.
 */

/** From listening to the end. Who dies sooner has served nobody; a bug that one request in a second meets leaves more. */
export const minLifeMs = 500;

/** Some tens of workers hit by one bad request each still pass; a worker that dies at its start, every 100 ms, does not. */
export const maxRestarts = 10;
export const restartWindowMs = 60_000;

/** Of workers that lived shorter than `minLifeMs`: `restarts` are the times of earlier restarts, oldest first; the answer has the new one, or is undefined: give up. */
export function allowRestart(
  restarts: readonly number[],
  nowMs: number,
): readonly number[] | undefined {
  const recent = restarts.filter((atMs) => nowMs - atMs < restartWindowMs);
  return recent.length < maxRestarts ? [...recent, nowMs] : undefined;
}
