/** What becomes of requests like the one that was asked about, in shares of all of them. */

import { toPercent } from "../core/decide/describe-filter.ts";
import type { Fate, Verdict } from "./explanation.ts";

type Cause = { readonly by: string; readonly reason: string };

type Share = Omit<Fate, "percent"> & { readonly share: number };

/** An answer from here on is one that refuses (RFC 9110 §15.5, §15.6). */
const firstErrorStatus = 400;

export class FateList {
  /** By what tells a fate from others: two shares with one cause are one. */
  readonly #shares = new Map<string, Share>();

  reach(share: number, backend: string): void {
    this.#add({ share, kind: "backend", status: null, by: backend, reason: "" });
  }

  answer(share: number, status: number, cause: Cause): void {
    const kind = status < firstErrorStatus ? "answer" : "refusal";
    this.#add({ share, kind, status, ...cause });
  }

  refuse(share: number, status: number, cause: Cause): void {
    this.#add({ share, kind: "refusal", status, ...cause });
  }

  verdict(): Verdict {
    const fates = [...this.#shares.values()]
      .toSorted((left, right) => right.share - left.share)
      .map(({ share, ...fate }) => ({ percent: toPercent(share), ...fate }));
    const has = (kind: Fate["kind"]): boolean => fates.some((fate) => fate.kind === kind);
    const kind = has("backend") ? "forwarded" : has("answer") ? "answered" : "refused";
    return { kind, fates };
  }

  #add(fate: Share): void {
    if (fate.share <= 0) return;
    const { kind, status, by, reason } = fate;
    const key = JSON.stringify([kind, status, by, reason]);
    const before = this.#shares.get(key)?.share ?? 0;
    this.#shares.set(key, { ...fate, share: before + fate.share });
  }
}
