/** Asks a worker what it decided. An id says which start of which worker of which process made the decision. */
import { randomInt } from "node:crypto";
import type { DecisionAnswer, ToWorker } from "../thread/messages.ts";
import type { Surroundings } from "./surroundings.ts";

/** Answering takes a worker a few milliseconds; one that is that busy is asked again by whoever asked. */
const answerTimeoutMs = 2_000;

/** `malformed`: no id at all. `foreign`: of another process. `restarted`: of a thread that died. `silent`: no answer in time. */
export type DecisionReply =
  | DecisionAnswer
  | { readonly state: "malformed" | "foreign" | "restarted" | "silent" };

type Question = Extract<ToWorker, { readonly kind: "ask-decision" }>;
type Asked = { readonly shard: number; readonly settle: (reply: DecisionReply) => void };

export type DecisionDeskOptions = {
  readonly timers: Surroundings["timers"];
  /** False: there is no such worker. */
  readonly post: (shard: number, question: Question) => boolean;
};

export class DecisionDesk {
  readonly #options: DecisionDeskOptions;
  /** Ids of other sidecars, and of this one before it was started again, are not taken for its own. */
  readonly #process: string = randomInt(2 ** 32).toString(36);
  readonly #starts: number[] = [];
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  constructor(options: DecisionDeskOptions) {
    this.#options = options;
  }

  /** What the ids of a worker begin with that starts now. */
  prefixOf(shard: number): string {
    const start = (this.#starts[shard] ?? 0) + 1;
    this.#starts[shard] = start;
    this.ended(shard);
    return `${this.#process}-${shard.toString(36)}-${start.toString(36)}`;
  }

  /** What the thread of a worker was asked will not be answered. */
  ended(shard: number): void {
    for (const [ask, one] of this.#asked) {
      if (one.shard === shard) this.received(ask, { state: "restarted" });
    }
  }

  async ask(id: string): Promise<DecisionReply> {
    const parts = /^([0-9a-z]{1,7})-([0-9a-z]{1,3})-([0-9a-z]{1,8})-([0-9a-z]{1,10})$/.exec(id);
    if (parts === null) return { state: "malformed" };
    const [, process = "", shardText = "", start = "", number = ""] = parts;
    if (process !== this.#process) return { state: "foreign" };
    const shard = Number.parseInt(shardText, 36);
    if (Number.parseInt(start, 36) !== this.#starts[shard]) return { state: "restarted" };
    const { promise, resolve } = Promise.withResolvers<DecisionReply>();
    const ask = ++this.#last;
    this.#asked.set(ask, { shard, settle: resolve });
    const sequence = Number.parseInt(number, 36);
    if (!this.#options.post(shard, { kind: "ask-decision", ask, sequence })) {
      this.#asked.delete(ask);
      return { state: "restarted" };
    }
    const callOff = this.#options.timers.after(answerTimeoutMs, () =>
      this.received(ask, { state: "silent" }),
    );
    const reply = await promise;
    callOff();
    return reply;
  }

  /** The answer to a question, which may have been given up. */
  received(ask: number, reply: DecisionReply): void {
    const asked = this.#asked.get(ask);
    this.#asked.delete(ask);
    asked?.settle(reply);
  }
}
