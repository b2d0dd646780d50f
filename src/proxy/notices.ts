/**
 * What a worker has to say to the log about connections. A peer decides how often something happens to it, so only the
 * first few of each second are told, and the rest as a number.
 */
import type { NoticeEvent, NoticeFields, ToMain } from "../thread/messages.ts";

/** Enough to see who is refused and why; what goes beyond is in the metrics. */
const maxPerSecond = 10;

const windowMs = 1_000;

export class Notices {
  readonly #post: (message: ToMain) => void;
  readonly #nowMs: () => number;
  #windowEndsMs = 0;
  #told = 0;
  #untold = 0;

  constructor(post: (message: ToMain) => void, nowMs: () => number) {
    this.#post = post;
    this.#nowMs = nowMs;
  }

  tell(event: NoticeEvent, fields: NoticeFields): void {
    const nowMs = this.#nowMs();
    if (nowMs >= this.#windowEndsMs) {
      this.#windowEndsMs = nowMs + windowMs;
      this.#told = 0;
    }
    if (this.#told >= maxPerSecond) {
      this.#untold++;
      return;
    }
    this.#told++;
    const untold = this.#untold === 0 ? {} : { untold: this.#untold };
    this.#untold = 0;
    this.#post({ kind: "notice", event, fields: { ...fields, ...untold } });
  }
}
