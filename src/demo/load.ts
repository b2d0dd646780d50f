/** Steady traffic on one kept connection while everything changes. */
import { setTimeout as pause } from "node:timers/promises";
import { type Ask, KeptConnection } from "./client.ts";

export type LoadCounts = {
  readonly answers: number;
  readonly failures: number;
  /** 1 unless the other side closed one. */
  readonly connections: number;
};

const pauseMs = 10;

export class Load {
  #answers = 0;
  #failures = 0;
  readonly #connection = new KeptConnection();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  readonly #onAnswer: (counts: LoadCounts) => void;

  constructor(ask: Ask, onAnswer: (counts: LoadCounts) => void = () => {}) {
    this.#onAnswer = onAnswer;
    this.#done = this.#loop(ask);
  }

  get counts(): LoadCounts {
    const { connections } = this.#connection;
    return { answers: this.#answers, failures: this.#failures, connections };
  }

  async #loop(ask: Ask): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const answer = await this.#connection.ask(ask);
        this.#answers++;
        if (answer.status !== 200) this.#failures++;
      } catch {
        this.#failures++;
      }
      this.#onAnswer(this.counts);
      await pause(pauseMs);
    }
  }

  async end(): Promise<LoadCounts> {
    this.#stop.abort();
    await this.#done;
    this.#connection.close();
    return this.counts;
  }
}
