/** What sessions of HTTP/2 have refused, as counters of this worker. */
import { type Http2Counts, newHttp2Counts } from "../codec/http2/protection.ts";
import type { Counts } from "./count.ts";

/** The label `cause` of `weft_http2_refusals_total`. */
const causes: Readonly<Record<keyof Http2Counts, string>> = {
  resetFloods: "reset flood",
  continuationFloods: "continuation flood",
  settingsFloods: "settings flood",
  pingFloods: "ping flood",
  emptyDataFloods: "empty data flood",
  idleFrameFloods: "idle frame flood",
  windowUpdateFloods: "window update flood",
  backlogs: "backlog",
  headerBombs: "header bomb",
  largeHeads: "large head",
  malformedHeads: "malformed head",
  refusedStreams: "refused stream",
  stalledStreams: "stalled stream",
};

/** Each number is one of `counts`, which it is added to as it grows. */
export function http2CountsOn(counts: Counts): Http2Counts {
  const object = newHttp2Counts();
  for (const name of Object.keys(causes) as (keyof Http2Counts)[]) {
    let known = 0;
    Object.defineProperty(object, name, {
      get: () => known,
      set: (total: number) => {
        const slot = counts.place("weft_http2_refusals_total", { cause: causes[name] });
        counts.add(slot, total - known);
        known = total;
      },
    });
  }
  return object;
}
