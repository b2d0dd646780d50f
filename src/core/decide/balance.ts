/**
 * Power of two choices by peak EWMA: of two endpoints drawn at random the one with less load takes the request, where load is the recent response time
 * times the requests in flight. Of two whose loads are alike it is the one that was given less of late, so that equally good endpoints get equally much,
 * whatever chance does to their response times. The average jumps up to a slow response at once and comes down slowly, so that a bad endpoint is avoided
 * quickly and trusted again carefully. Needs no coordination, so each worker balances on its own.
 *
 * State is a Float64Array that the caller owns, `loadSlots` numbers for each endpoint; `at` is the index of the endpoint.
 */
import type { LoadPenalty } from "../model/backend.ts";

/**
 * Average response time in ms, when it was computed, requests in flight; since when it warms up; penalty in ms, when it was computed, its decay; requests it was
 * given of late beyond what is even.
 */
export const loadSlots = 8;

/**
 * Loads that differ by less than this factor are alike: one response that was slow by chance, or a busy moment of the machine, sets endpoints apart by as
 * much. One request in flight instead of none still counts.
 */
export const alikeFactor = 2;

/**
 * What a response leaves at the most of the average before it. Time alone would hold one slow response, such as the first over a new connection, against a busy
 * endpoint for seconds, while hundreds of quick ones count for nothing.
 */
const maxKept = 63 / 64;

/** How long it is remembered who was given more than others: as long as response times are. */
const claimDecayMs = 10_000;

/** How long a new endpoint takes to get its full share: caches fill and compilers finish in that time, and a rollout of many pods is not held up by it. */
export const defaultSlowStartMs = 10_000;

/** The share of an endpoint that has just come: enough to warm it, and little to lose. */
export const firstShare = 0.1;

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
  if (count === 1) return pairOf(first, first);
  // The second is drawn from the others, so that every pair is as likely as any other.
  const second = Math.floor(randomB * (count - 1));
  return pairOf(first, second < first ? second : second + 1);
}

export function pairOf(first: number, second: number): number {
  return first * pairBase + second;
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
  state[slot + 4] = 0;
  state[slot + 7] = 0;
  warmUp(state, at, nowMs);
}

/** The endpoint comes back after a time without requests, such as an open circuit breaker, and begins with a small share. */
export function warmUp(state: Float64Array, at: number, nowMs: number): void {
  const slot = at * loadSlots;
  state[slot + 3] = nowMs;
  state[slot + 7] = Math.max(state[slot + 7] ?? 0, 0);
}

/** A request goes to the endpoint. */
export function begin(state: Float64Array, at: number): void {
  const slot = at * loadSlots + 2;
  state[slot] = (state[slot] ?? 0) + 1;
  pass(state, at);
}

/** The endpoint has had its turn, although for some reason other than its load the request went elsewhere. It does not get more later for that. */
export function pass(state: Float64Array, at: number): void {
  const slot = at * loadSlots + 7;
  state[slot] = (state[slot] ?? 0) + 1;
}

/** Forgets a part of who was given more than others, `elapsedMs` after it was called last. */
export function settle(state: Float64Array, elapsedMs: number): void {
  let sum = 0;
  for (let slot = 7; slot < state.length; slot += loadSlots) sum += state[slot] ?? 0;
  const even = (sum * loadSlots) / state.length;
  const keep = fade(elapsedMs, claimDecayMs);
  for (let slot = 7; slot < state.length; slot += loadSlots) {
    state[slot] = ((state[slot] ?? 0) - even) * keep;
  }
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
  const keep = Math.min(fade(nowMs - (state[slot + 1] ?? 0), decayMs), maxKept);
  state[slot] = responseMs > average ? responseMs : average * keep + responseMs * (1 - keep);
  state[slot + 1] = nowMs;
}

/** The endpoint has not answered for so long, and nobody waits any more. Who left early says nothing about it. */
export function observeAtLeast(
  state: Float64Array,
  at: number,
  waitedMs: number,
  { nowMs, decayMs }: Timing,
): void {
  const slot = at * loadSlots;
  const average = (state[slot] ?? 0) * fade(nowMs - (state[slot + 1] ?? 0), decayMs);
  if (waitedMs <= average) return;
  state[slot] = waitedMs;
  state[slot + 1] = nowMs;
}

/** The load of the endpoint as it is now; less is better. */
export function load(state: Float64Array, at: number, { nowMs, decayMs }: Timing): number {
  const slot = at * loadSlots;
  const average = (state[slot] ?? 0) * fade(nowMs - (state[slot + 1] ?? 0), decayMs);
  const expected = Math.max(average, minResponseMs) + penaltyMs(state, slot, nowMs);
  return expected * ((state[slot + 2] ?? 0) + 1);
}

export type Offence = {
  readonly nowMs: number;
  /** What the response asked for; undefined: nothing. */
  readonly retryAfterMs: number | undefined;
};

/** A failure, 503 or 429: the endpoint counts as slower for a while, as long as it asked for or as the policy says. Penalties do not add up. */
export function penalize(
  state: Float64Array,
  at: number,
  penalty: LoadPenalty,
  { nowMs, retryAfterMs }: Offence,
): void {
  const slot = at * loadSlots;
  const asked =
    retryAfterMs === undefined
      ? penalty.penaltyMs
      : Math.min(retryAfterMs, penalty.maxRetryAfterMs);
  state[slot + 4] = Math.max(asked, penaltyMs(state, slot, nowMs));
  state[slot + 5] = nowMs;
  state[slot + 6] = penalty.decayMs;
}

/** The exponential is only computed for endpoints that have a penalty. */
function penaltyMs(state: Float64Array, slot: number, nowMs: number): number {
  const penalty = state[slot + 4] ?? 0;
  if (penalty === 0) return 0;
  return penalty * fade(nowMs - (state[slot + 5] ?? 0), state[slot + 6] ?? 0);
}

/** The endpoint of the pair with less load, or where that is alike, the one that was given less. */
export function better(state: Float64Array, pair: number, timing: Timing): number {
  const first = firstOf(pair);
  const second = secondOf(pair);
  // What is left of differences that were settled is less than a request, and says nothing.
  const isDue = (state[first * loadSlots + 7] ?? 0) < (state[second * loadSlots + 7] ?? 0) + 1;
  const due = isDue ? first : second;
  const other = isDue ? second : first;
  return load(state, due, timing) < alikeFactor * load(state, other, timing) ? due : other;
}

export type SlowStart = Timing & {
  /** 0: every endpoint has its full share at once. */
  readonly slowStartMs: number;
  readonly random01: number;
};

/**
 * As `better`, but an endpoint that warms up hands a part of its requests to the other of the pair. Load alone would do the opposite: a new endpoint is
 * idle, so it would get everything. Endpoints that began together, as all do when the process starts, are alike and hand nothing over.
 */
export function pickWarm(state: Float64Array, pair: number, start: SlowStart): number {
  const taken = better(state, pair, start);
  const share = shareOf(state, taken, start);
  if (share === 1) return taken;
  const other = taken === firstOf(pair) ? secondOf(pair) : firstOf(pair);
  if (start.random01 * shareOf(state, other, start) < share) return taken;
  pass(state, taken);
  return other;
}

function shareOf(state: Float64Array, at: number, { nowMs, slowStartMs }: SlowStart): number {
  const elapsedMs = nowMs - (state[at * loadSlots + 3] ?? 0);
  if (elapsedMs >= slowStartMs) return 1;
  return Math.max(elapsedMs / slowStartMs, firstShare);
}

/** How much of the past counts. A clock that was set back counts as no time at all. */
function fade(elapsedMs: number, decayMs: number): number {
  return decayMs > 0 ? Math.exp(-Math.max(elapsedMs, 0) / decayMs) : 0;
}
