/**
 * When a thread of the data plane gives memory back: once after its start, and again when a crowd of connections has left. The collection holds the thread up, so it waits
 * for a second in which there is next to nothing to do.
 */

/** A crowd is at least that many connections: 9 MiB at 9 KiB each. */
const crowd = 1_000;

/** Of a second, in which the thread did something. A probe and a scrape take less. */
const quietUtilization = 0.05;

/** A thread whose crowds come and go is not to be collected over and over. */
const pauseMs = 10_000;

type SettlingOptions = {
  readonly nowMs: () => number;
  /** Between 0 and 1, since it was asked last. */
  readonly takeUtilization: () => number;
  readonly giveBack: () => void;
};

export class Settling {
  readonly #options: SettlingOptions;
  #most = 0;
  #isDue = true;
  #notBeforeMs = 0;

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** To be called every second or so, with the number of connections that are open. */
  look(open: number): void {
    const { nowMs, takeUtilization, giveBack } = this.#options;
    const isQuiet = takeUtilization() < quietUtilization;
    this.#most = Math.max(this.#most, open);
    this.#isDue ||= this.#most - open >= crowd && open < this.#most / 2;
    if (!this.#isDue || !isQuiet || nowMs() < this.#notBeforeMs) return;
    giveBack();
    this.#isDue = false;
    this.#most = open;
    this.#notBeforeMs = nowMs() + pauseMs;
  }
}
