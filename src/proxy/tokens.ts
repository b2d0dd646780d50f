/**
 * The tokens of requests, judged where the request is: signatures are checked in this thread, once for each token as long as the
 * keys stay the same. The keys come from the main thread, except those that stand in the policy itself.
 */
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Fields } from "../codec/header-list.ts";
import {
  type Claims,
  findTokenFault,
  noToken,
  severalTokens,
  type TokenCheck,
  tokenIn,
} from "../core/decide/token.ts";
import { type KeySource, keySourceName, type TokenRule } from "../core/model/token.ts";
import { parseKeySet, type TokenKey } from "../edge/jwt/key-set.ts";
import { verifyToken } from "../edge/jwt/verify.ts";
import type { KeysSnapshot } from "../thread/messages.ts";

/** The clients of a workload at one time; a token of 1 KB with its claims takes some 2 KB here. */
const maxVerified = 4_096;

/** Key sets that stand in policies; a port has a handful. */
const maxInlineSets = 64;

type KeySet = {
  /** Tells the verdicts of older keys from those of newer ones. */
  readonly revision: number;
  readonly keys: readonly TokenKey[];
  /** Milliseconds since 1970 from which on nobody is admitted by them. */
  readonly staleAtMs: number;
};

/** How soon the main thread is told again that keys are wanted; it reads them no oftener (sidecar/follow-keys.ts). */
const wantedPauseMs = 10_000;

export class Tokens {
  /** Of the request that is being judged. */
  fields: Fields | undefined;
  /** Reads `fields`. One function for all requests, since most rules ask for none. */
  readonly check: TokenCheck = (rule) => this.#check(rule);
  readonly #wallMs: () => number;
  readonly #wanted: (source: string) => void;
  readonly #sets = new Map<string, KeySet>();
  readonly #inline = new LRUCache<string, KeySet>({ max: maxInlineSets });
  readonly #verified = new LRUCache<string, Claims>({ max: maxVerified });
  /** A request is judged by several rules and then explained; what does not hold must not cost a check each time. */
  #refused = { id: "", reason: "" };
  /** By source that the main thread reads: when it was told last. */
  readonly #askedMs = new Map<string, number>();
  #inlineCount = 0;

  /** `wanted` is told of a source whose keys lack the one that a token was signed by. */
  constructor(wallMs: () => number, wanted: (source: string) => void) {
    this.#wallMs = wallMs;
    this.#wanted = wanted;
  }

  take({ source, revision, jwks, staleAtMs }: KeysSnapshot): void {
    const parsed = parseKeySet(jwks);
    this.#sets.set(source, { revision, keys: parsed.ok ? parsed.value : [], staleAtMs });
  }

  #check(rule: TokenRule): string | undefined {
    const token = this.#tokenOf(rule);
    if (token === undefined) return noToken(rule);
    if (token === severalTokens) return "more than one token was sent";
    const source = keySourceName(rule.keys);
    const set = this.#keysOf(rule.keys, source);
    if (set === undefined) return "its keys are not known yet";
    const nowMs = this.#wallMs();
    if (nowMs >= set.staleAtMs) return "its keys are too old";
    const id = `${set.revision} ${hash("sha256", token, "base64")}`;
    const claims = this.#verified.get(id);
    if (claims !== undefined) return findTokenFault(rule, claims, nowMs / 1_000);
    if (id === this.#refused.id) return this.#refused.reason;
    const verified = verifyToken(token, set.keys);
    if (!verified.ok) {
      if (verified.isUnknownKey) this.#wantNewer(source, nowMs);
      this.#refused = { id, reason: verified.reason };
      return verified.reason;
    }
    this.#verified.set(id, verified.claims);
    return findTokenFault(rule, verified.claims, nowMs / 1_000);
  }

  #wantNewer(source: string, nowMs: number): void {
    const askedMs = this.#askedMs.get(source) ?? 0;
    if (!this.#sets.has(source) || Math.abs(nowMs - askedMs) < wantedPauseMs) return;
    this.#askedMs.set(source, nowMs);
    this.#wanted(source);
  }

  #keysOf(source: KeySource, name: string): KeySet | undefined {
    if (source.from !== "inline") return this.#sets.get(name);
    const known = this.#inline.get(name);
    if (known !== undefined) return known;
    const parsed = parseKeySet(source.jwks);
    const keys = parsed.ok ? parsed.value : [];
    // Below zero, where no revision of the main thread is.
    const revision = -1 - this.#inlineCount++;
    const set = { revision, keys, staleAtMs: Number.POSITIVE_INFINITY };
    this.#inline.set(name, set);
    return set;
  }

  #tokenOf({ place }: TokenRule): string | undefined {
    const { fields } = this;
    return fields === undefined
      ? undefined
      : tokenIn(place, valuesOf(fields, place.in === "cookie" ? "cookie" : place.name));
  }
}

function valuesOf(fields: Fields, name: string): readonly string[] {
  const values: string[] = [];
  for (let at = fields.find(name, 0); at >= 0; at = fields.find(name, at + 1)) {
    values.push(fields.value(at));
  }
  return values;
}
