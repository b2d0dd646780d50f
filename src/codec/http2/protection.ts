/**
 * What a peer may do how often, and what is counted when it does more. Every budget is so far above what clients are
 * known to do that only floods reach its end; the connection then ends with ENHANCE_YOUR_CALM (RFC 9113 §10.5).
 */

/** A kind of frame costs one; `atOnce` may come in a burst, `perSecond` for as long as the peer likes. */
type Rate = { readonly atOnce: number; readonly perSecond: number };

export type Http2Limits = {
  /** SETTINGS_MAX_CONCURRENT_STREAMS. What RFC 9113 §6.5.2 calls the least that does not hinder; nginx has 128. */
  readonly maxConcurrentStreams: number;
  /** SETTINGS_INITIAL_WINDOW_SIZE: what one stream may have in flight. Fills 1 Gbit/s at a round trip of 2 ms. */
  readonly streamWindowBytes: number;
  /** The window of the connection: what its consumers may have to hold together. */
  readonly connectionWindowBytes: number;
  /** A section needs one HEADERS and four CONTINUATION frames at most (CVE-2024-27316 and its kin send them for ever). */
  readonly maxContinuations: number;
  /** Streams that are reset before their answer is over (CVE-2023-44487, CVE-2025-8671); an answered one pays one back. */
  readonly resets: Rate;
  /** Each SETTINGS has to be answered; peers send one or two in a connection's life (CVE-2019-9515). */
  readonly settings: Rate;
  /** Each PING has to be answered; gRPC measures round trips with one per burst of data (CVE-2019-9512). */
  readonly pings: Rate;
  /** DATA without a byte or an end (CVE-2019-9518). */
  readonly emptyData: Rate;
  /** PRIORITY and unknown frames do nothing; old browsers send some for each stream (CVE-2019-9513). */
  readonly idleFrames: Rate;
  /** Cautious clients send one for the stream and one for the connection per frame that they got, which is paid back. */
  readonly windowUpdates: Rate;
  /** How long a stream with something to send may wait for the peer's window (CVE-2019-9511). nginx's send_timeout. */
  readonly sendStallMs: number;
  /** RFC 9113 §6.5.3: how long the peer may take to acknowledge SETTINGS. A slow network takes one second. */
  readonly settingsTimeoutMs: number;
  /** After this long without a frame a PING asks whether the peer is there; 0 never asks. */
  readonly keepAliveMs: number;
  /** How long the peer may take to answer it. */
  readonly keepAliveTimeoutMs: number;
  /** RFC 9113 §6.8: how long streams that were under way at the first GOAWAY may take to arrive before the second. */
  readonly drainGraceMs: number;
};

export const defaultHttp2Limits: Http2Limits = {
  maxConcurrentStreams: 100,
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 1024 * 1024,
  maxContinuations: 16,
  resets: { atOnce: 200, perSecond: 100 },
  settings: { atOnce: 20, perSecond: 5 },
  pings: { atOnce: 1_000, perSecond: 500 },
  emptyData: { atOnce: 100, perSecond: 100 },
  idleFrames: { atOnce: 1_000, perSecond: 200 },
  windowUpdates: { atOnce: 5_000, perSecond: 2_000 },
  sendStallMs: 60_000,
  settingsTimeoutMs: 10_000,
  keepAliveMs: 30_000,
  keepAliveTimeoutMs: 10_000,
  drainGraceMs: 1_000,
};

/** What was refused, since the worker began: one object for all of its sessions. */
export type Http2Counts = {
  resetFloods: number;
  continuationFloods: number;
  settingsFloods: number;
  pingFloods: number;
  emptyDataFloods: number;
  idleFrameFloods: number;
  windowUpdateFloods: number;
  /** The peer did not read what it made us answer. */
  backlogs: number;
  headerBombs: number;
  largeHeads: number;
  malformedHeads: number;
  refusedStreams: number;
  stalledStreams: number;
};

export function newHttp2Counts(): Http2Counts {
  return {
    resetFloods: 0,
    continuationFloods: 0,
    settingsFloods: 0,
    pingFloods: 0,
    emptyDataFloods: 0,
    idleFrameFloods: 0,
    windowUpdateFloods: 0,
    backlogs: 0,
    headerBombs: 0,
    largeHeads: 0,
    malformedHeads: 0,
    refusedStreams: 0,
    stalledStreams: 0,
  };
}

/** What is left of a rate. */
export class Budget {
  readonly #rate: Rate;
  #left: number;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#left = rate.atOnce;
  }

  /** Whether there was one left. */
  spend(): boolean {
    return --this.#left >= 0;
  }

  payBack(): void {
    if (this.#left < this.#rate.atOnce) this.#left++;
  }

  pass(ms: number): void {
    this.#left = Math.min(this.#rate.atOnce, this.#left + (this.#rate.perSecond * ms) / 1000);
  }
}
