/**
 * Power of two choices by peak EWMA: of two endpoints drawn at random the one with less load takes the request, where load is the recent response time
 * times the requests in flight. The average jumps up to a slow response at once and comes down slowly, so that a bad endpoint is avoided quickly and trusted
 * again carefully. Needs no coordination, so each worker balances on its own.
 *
 * State is a Float64Array that the caller owns, `loadSlots` numbers for each endpoint; `at` is the index of the endpoint.
 */

/** Average response time in ms, when it was computed, requests in flight. */
export const loadSlots = 3;

/**
 * The average fades while an endpoint is idle; below this it would no longer tell a busy endpoint from a free one (0 × n = 0). A microsecond is less than
 * any response takes.
 */
export const minResponseMs = 0.001;

/** More endpoints than one set may have (see wire/endpoint), and small enough for a pair to be an exact integer. */
const pairBase = 65_536;

/** Two different indices below `count` in one number, for `firstOf` and `secondOf`; the same one twice when `count` is 1. Negative for 0. */
export function pickTwo(count: number, randomA: number, randomB: number): number {
  if (count <= 0) return -1;
  const first = Math.floor(randomA * count);
  if (count === 1) return first * pairBase + first;
  // The second is drawn from the others, so that every pair is as likely as any other.
  const second = Math.floor(randomB * (count - 1));
  return first * pairBase + (second < first ? second : second + 1);
}

export function firstOf(pair: number): number {
  return Math.floor(pair / pairBase);
}

export function secondOf(pair: number): number {
  return pair % pairBase;
}

/** For a new endpoint: what it is believed to take before it has answered anything. */
export function startLoad(
  state: Float64Array,
  at: number,
  defaultRttMs: number,
  nowMs: number,
): void {
  const slot = at * loadSlots;
  state[slot] = defaultRttMs;
  state[slot + 1] = nowMs;
  state[slot + 2] = 0;
}

/** A request goes to the endpoint. */
export function begin(state: Float64Array, at: number): void {
  const slot = at * loadSlots + 2;
  state[slot] = (state[slot] ?? 0) + 1;
}

/** The request is over, in whatever way. */
export function end(state: Float64Array, at: number): void {
  const slot = at * loadSlots + 2;
  state[slot] = Math.max((state[slot] ?? 0) - 1, 0);
}

export type Timing = { readonly nowMs: number; readonly decayMs: number };

/** The endpoint took `responseMs` to answer. */
export function observe(
  state: Float64Array,
  at: number,
  responseMs: number,
  { nowMs, decayMs }: Timing,
): void {
  const slot = at * loadSlots;
  const average = state[slot] ?? 0;
  const keep = fade(nowMs - (state[slot + 1] ?? 0), decayMs);
  state[slot] = responseMs > average ? responseMs : average * keep + responseMs * (1 - keep);
  state[slot + 1] = nowMs;
}

/** The load of the endpoint as it is now; less is better. */
export function load(state: Float64Array, at: number, { nowMs, decayMs }: Timing): number {
  const slot = at * loadSlots;
  const average = (state[slot] ?? 0) * fade(nowMs - (state[slot + 1] ?? 0), decayMs);
  return Math.max(average, minResponseMs) * ((state[slot + 2] ?? 0) + 1);
}

/** The endpoint of the pair with less load. */
export function lessLoaded(state: Float64Array, pair: number, timing: Timing): number {
  const first = firstOf(pair);
  const second = secondOf(pair);
  return load(state, second, timing) < load(state, first, timing) ? second : first;
}

/** How much of the past counts. A clock that was set back counts as no time at all. */
function fade(elapsedMs: number, decayMs: number): number {
  return decayMs > 0 ? Math.exp(-Math.max(elapsedMs, 0) / decayMs) : 0;
}
