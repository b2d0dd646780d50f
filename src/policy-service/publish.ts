/**
 * From a change of the resources to the streams that it concerns. The store is swapped whole; then every question that
 * somebody watches is asked again, and those are told whose answer is not the same bytes as before. Clients with one
 * question share one answer, so the cost of a change is the number of different questions, not of sidecars.
 *
 * Of an answer that was told only a digest is kept: the bytes of ten routes take some 15 kB, and working the answer out again
 * for the next client takes no longer than reading them would.
 */
import { hash } from "node:crypto";
import type { Resolution } from "../core/resolve/settings.ts";
import { buildStore, type Store, type StoreContent } from "../core/resolve/store.ts";

export type Subscriber<V> = {
  onValue(value: V): void;
  /** There is no answer any more. Nothing follows. */
  onGone(reason: string): void;
};

export type TopicsOptions<Q, V> = {
  /** Which API asks: a metric label. */
  readonly api: string;
  /** Equal keys are one question. */
  readonly keyOf: (question: Q) => string;
  readonly resolve: (store: Store, question: Q) => Resolution<V>;
  /** Equal bytes are one answer. */
  readonly encode: (value: V) => Uint8Array;
};

type Refreshable = { readonly api: string; readonly size: number; refresh(): void };

/** A sidecar holds a stream for each port and some dozens of destinations; these are enough for some thousand sidecars. */
const maxSubscriptions = 100_000;

export class Publisher {
  readonly #topics: Refreshable[] = [];
  readonly #now: () => number;
  #store: Store;
  #revision = 0;
  #lastChangeMs = 0;

  /** `now`: a clock that never goes back, in milliseconds. */
  constructor(content: StoreContent, now: () => number) {
    this.#store = buildStore(content);
    this.#now = now;
  }

  get store(): Store {
    return this.#store;
  }

  /** How many changes there were. */
  get revision(): number {
    return this.#revision;
  }

  /** How long the latest change took, from the new snapshot until every stream was written. */
  get lastChangeMs(): number {
    return this.#lastChangeMs;
  }

  /** Open subscriptions by API. */
  subscriptions(): ReadonlyMap<string, number> {
    return new Map(this.#topics.map((topics) => [topics.api, topics.size]));
  }

  publish(content: StoreContent): void {
    const startMs = this.#now();
    this.#store = buildStore(content);
    this.#revision++;
    for (const topics of this.#topics) topics.refresh();
    this.#lastChangeMs = this.#now() - startMs;
  }

  topics<Q, V>(options: TopicsOptions<Q, V>): Topics<Q, V> {
    const topics = new Topics(this, options);
    this.#topics.push(topics);
    return topics;
  }
}

type Topic<Q, V> = {
  readonly question: Q;
  readonly subscribers: Set<Subscriber<V>>;
  digest: string;
};

export type Subscription =
  | { readonly kind: "open"; readonly close: () => void }
  | { readonly kind: "unknown"; readonly reason: string }
  | { readonly kind: "full" };

/** The questions of one API that somebody watches at this moment. */
export class Topics<Q, V> {
  readonly #publisher: Publisher;
  readonly #options: TopicsOptions<Q, V>;
  readonly #limit: number;
  readonly #topics = new Map<string, Topic<Q, V>>();
  #size = 0;

  constructor(
    publisher: Publisher,
    options: TopicsOptions<Q, V>,
    limit: number = maxSubscriptions,
  ) {
    this.#publisher = publisher;
    this.#options = options;
    this.#limit = limit;
  }

  get api(): string {
    return this.#options.api;
  }

  /** Open subscriptions. */
  get size(): number {
    return this.#size;
  }

  /** The answer at this moment. */
  ask(question: Q): Resolution<V> {
    return this.#options.resolve(this.#publisher.store, question);
  }

  /** The subscriber is told the present answer before this returns. */
  subscribe(question: Q, subscriber: Subscriber<V>): Subscription {
    if (this.#size >= this.#limit) return { kind: "full" };
    const key = this.#options.keyOf(question);
    const answer = this.ask(question);
    if ("unknown" in answer) return { kind: "unknown", reason: answer.unknown };
    const topic = this.#topics.get(key) ?? this.#open(question, answer.policy);
    this.#topics.set(key, topic);
    topic.subscribers.add(subscriber);
    this.#size++;
    subscriber.onValue(answer.policy);
    return { kind: "open", close: () => this.#close(key, topic, subscriber) };
  }

  refresh(): void {
    for (const [key, topic] of this.#topics) {
      const resolution = this.ask(topic.question);
      if ("unknown" in resolution) this.#end(key, topic, resolution.unknown);
      else this.#update(topic, resolution.policy);
    }
  }

  #open(question: Q, value: V): Topic<Q, V> {
    return { question, subscribers: new Set(), digest: this.#digestOf(value) };
  }

  #update(topic: Topic<Q, V>, value: V): void {
    const digest = this.#digestOf(value);
    if (digest === topic.digest) return;
    topic.digest = digest;
    for (const subscriber of [...topic.subscribers]) subscriber.onValue(value);
  }

  #digestOf(value: V): string {
    return hash("sha256", this.#options.encode(value), "base64");
  }

  #end(key: string, topic: Topic<Q, V>, reason: string): void {
    this.#topics.delete(key);
    const subscribers = [...topic.subscribers];
    topic.subscribers.clear();
    this.#size -= subscribers.length;
    for (const subscriber of subscribers) subscriber.onGone(reason);
  }

  /** A subscriber that was told that its answer is gone has been let go already. */
  #close(key: string, topic: Topic<Q, V>, subscriber: Subscriber<V>): void {
    if (!topic.subscribers.delete(subscriber)) return;
    this.#size--;
    if (topic.subscribers.size === 0) this.#topics.delete(key);
  }
}
