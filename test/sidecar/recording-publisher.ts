import type { Publisher } from "../../src/sidecar/publish.ts";
import type { Snapshot, ToWorker } from "../../src/thread/messages.ts";

export type Published = Exclude<ToWorker, { readonly kind: "drain" }>;

/** Keeps what workers would be told, and lets a test wait for it. */
export class RecordingPublisher implements Publisher {
  readonly published: Published[] = [];
  #revision = 0;
  #wake = Promise.withResolvers<void>();

  nextRevision(): number {
    this.#revision++;
    return this.#revision;
  }

  publish(snapshot: Snapshot): void {
    this.#record(snapshot);
  }

  dropOutbound(target: string): void {
    this.#record({ kind: "drop-outbound", target });
  }

  dropEndpoints(authority: string): void {
    this.#record({ kind: "drop-endpoints", authority });
  }

  dropInbound(port: number): void {
    this.#record({ kind: "drop-inbound", port });
  }

  /** The first that matches, now or later. Those before it are forgotten, so that the next call finds the next. */
  async next<K extends Published["kind"]>(
    kind: K,
    matches: (one: Extract<Published, { readonly kind: K }>) => boolean = () => true,
  ): Promise<Extract<Published, { readonly kind: K }>> {
    for (;;) {
      for (let one = this.published.shift(); one !== undefined; one = this.published.shift()) {
        if (isKind(one, kind) && matches(one)) return one;
      }
      await this.#wake.promise;
    }
  }

  #record(one: Published): void {
    this.published.push(one);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

function isKind<K extends Published["kind"]>(
  one: Published,
  kind: K,
): one is Extract<Published, { readonly kind: K }> {
  return one.kind === kind;
}
