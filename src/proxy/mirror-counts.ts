/** What became of the copies that a filter sent to one backend. */
import type { Counts, Labels } from "./count.ts";

/**
 * `answered`: somebody got it and answered, whatever. `failed`: no connection, no usable answer. `timeout`: no answer in time.
 * `cut_off`: it was taken too slowly. `abandoned`: the request itself never came to its end. `no_endpoints`: there was nobody
 * to send it to. `shed`: too many copies were under way.
 */
export type MirrorResult =
  | "answered"
  | "failed"
  | "timeout"
  | "cut_off"
  | "abandoned"
  | "no_endpoints"
  | "shed";

export class MirrorCounts {
  readonly #counts: Counts;
  readonly #labels: Labels;
  readonly #places = new Map<MirrorResult, number>();

  constructor(counts: Counts, labels: Labels) {
    this.#counts = counts;
    this.#labels = labels;
  }

  add(result: MirrorResult): void {
    const known = this.#places.get(result);
    const place =
      known ??
      this.#counts.place("outbound_http_route_mirror_total", {
        ...this.#labels,
        result,
      });
    if (known === undefined) this.#places.set(result, place);
    this.#counts.add(place);
  }
}
