/**
 * The key sets that policies name, read again and again for as long as a port asks for them. A set that cannot be read changes
 * nothing until the policy's limit on its age: from then on it admits nobody.
 */
import type { Authorization } from "../core/model/authorization.ts";
import { type KeySource, keySourceName } from "../core/model/token.ts";
import { describeFaults, type Result } from "../core/std/result.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import { parseKeySet } from "../edge/jwt/key-set.ts";
import type { Log } from "../edge/telemetry/log.ts";
import type { Publisher } from "./publish.ts";
import type { Surroundings } from "./surroundings.ts";

/** Providers announce a new key hours before they use it. Half of the age that is allowed, where that is less. */
export const keyRefreshMs = 300_000;

/** After a failure: an identity provider that restarts is back within seconds, and hundreds of sidecars must not keep it from that. */
export const keyRetryMs = 5_000;

/** How soon keys may be read again because a token was signed by one that is not among them: whoever sends tokens decides how often that is. */
export const keyWantedPauseMs = 10_000;

/** Sidecars that start together ask apart from then on. */
const jitter = 0.1;

type PublishedSource = Exclude<KeySource, { readonly from: "inline" }>;

export type KeyFollowerOptions = {
  readonly surroundings: Surroundings;
  readonly publisher: Publisher;
  readonly log: Log;
  readonly read: (source: PublishedSource) => Promise<Result<string>>;
};

type Followed = {
  readonly source: PublishedSource;
  readonly ports: Set<number>;
  readAtMs: number;
  isReading: boolean;
  isDropped: boolean;
  callOff: () => void;
};

export class KeyFollower {
  readonly #options: KeyFollowerOptions;
  readonly #followed = new Map<string, Followed>();

  constructor(options: KeyFollowerOptions) {
    this.#options = options;
  }

  /** The table of a port is in force from now on; undefined: the port has none any more. */
  follow(port: number, table: InboundTable | undefined): void {
    const sources = new Map(
      (table?.authorizations ?? [])
        .flatMap(sourcesOf)
        .map((source) => [keySourceName(source), source]),
    );
    for (const [name, source] of sources) {
      const known = this.#followed.get(name) ?? this.#start(name, source);
      known.ports.add(port);
    }
    for (const [name, followed] of this.#followed) {
      if (!sources.has(name)) followed.ports.delete(port);
      if (followed.ports.size === 0) this.#drop(name, followed);
    }
  }

  /** A token was signed by a key that the set of this name lacks. */
  want(name: string): void {
    const followed = this.#followed.get(name);
    if (followed === undefined || followed.isReading) return;
    const { nowMs } = this.#options.surroundings;
    if (nowMs() - followed.readAtMs < keyWantedPauseMs) return;
    followed.callOff();
    void this.#read(name, followed);
  }

  close(): void {
    for (const [name, followed] of this.#followed) this.#drop(name, followed);
  }

  #start(name: string, source: PublishedSource): Followed {
    const followed: Followed = {
      source,
      ports: new Set(),
      readAtMs: 0,
      isReading: false,
      isDropped: false,
      callOff: () => undefined,
    };
    this.#followed.set(name, followed);
    void this.#read(name, followed);
    return followed;
  }

  #drop(name: string, followed: Followed): void {
    followed.isDropped = true;
    followed.callOff();
    this.#followed.delete(name);
  }

  async #read(name: string, followed: Followed): Promise<void> {
    const { surroundings, publisher, log, read } = this.#options;
    const { source } = followed;
    followed.isReading = true;
    followed.readAtMs = surroundings.nowMs();
    const startedAtMs = surroundings.wallMs();
    const found = await read(source);
    followed.isReading = false;
    if (followed.isDropped) return;
    const parsed = found.ok ? parseKeySet(found.value) : found;
    if (found.ok && parsed.ok) {
      publisher.publish({
        kind: "keys",
        source: name,
        revision: publisher.nextRevision(),
        jwks: found.value,
        staleAtMs: startedAtMs + source.maxAgeMs,
      });
    } else {
      const reason = parsed.ok ? "" : describeFaults(parsed.faults);
      log.warn("token_keys_unread", { [source.from]: source.location, reason });
    }
    const pauseMs = parsed.ok ? Math.min(keyRefreshMs, source.maxAgeMs / 2) : keyRetryMs;
    const spreadMs = pauseMs * (1 + jitter * (surroundings.random() - 1));
    followed.callOff = surroundings.timers.after(spreadMs, () => void this.#read(name, followed));
  }
}

function sourcesOf({ tokens = [] }: Authorization): readonly PublishedSource[] {
  return tokens.flatMap(({ keys }) => (keys.from === "inline" ? [] : [keys]));
}
