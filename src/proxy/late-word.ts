/**
 * The beginning of a connection that is carried although it may still become HTTP: its client said letters, waited, and nobody wrote a policy about requests.
 * They go on to the server. What would make them a request never does, so that waiting is no way to pass HTTP through unread.
 */
import { sniff } from "../codec/sniff.ts";
import { maxMethodBytes } from "../codec/start-line.ts";
import { HeldBytes } from "./held-bytes.ts";

/** After an empty line, the longest method, a space and the longest scheme nothing is open any more. */
const maxWordBytes: number = 2 + maxMethodBytes + 1 + "https://".length;

/** `open`: it is not clear yet. `other`: it is no HTTP, and will not become HTTP. */
export type WordState = "open" | "http" | "other";

export class LateWord {
  readonly #held: HeldBytes = new HeldBytes();

  /** The bytes are the next of the connection; none of them may be sent on where the answer is `http`. */
  read(bytes: Buffer, length: number): WordState {
    const held = this.#held;
    held.append(bytes, 0, Math.min(length, maxWordBytes));
    const sniffed = sniff(held.bytes, held.start, held.end);
    if (sniffed === "more") return "open";
    return sniffed === "http1" || sniffed === "http2" ? "http" : "other";
  }
}
