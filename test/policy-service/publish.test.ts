import test from "ava";
import type { Resolution } from "../../src/core/resolve/settings.ts";
import type { StoreContent } from "../../src/core/resolve/store.ts";
import { keepNewest } from "../../src/policy-service/newest.ts";
import { Publisher, type Subscriber, Topics } from "../../src/policy-service/publish.ts";

const empty: StoreContent = { resources: [], broken: [], unreadableAtStart: false };

/** Answers come from a table that the test changes. */
function makeTopics(answers: Map<string, string>, limit?: number) {
  const publisher = new Publisher(empty, () => 0);
  const asked: string[] = [];
  const options = {
    api: "test",
    keyOf: (question: string) => question,
    resolve: (_store: unknown, question: string): Resolution<string> => {
      asked.push(question);
      const answer = answers.get(question);
      return answer === undefined ? { unknown: "gone" } : { policy: answer };
    },
    encode: (value: string) => Buffer.from(value),
  };
  const topics =
    limit === undefined ? publisher.topics(options) : new Topics(publisher, options, limit);
  return { publisher, topics, asked };
}

function subscriber(): Subscriber<string> & { readonly told: readonly string[] } {
  const told: string[] = [];
  return {
    told,
    onValue: (value) => told.push(value),
    onGone: (reason) => told.push(`gone: ${reason}`),
  };
}

test("Topics asks a question once for a change, however many watch it", (t) => {
  const answers = new Map([["q", "one"]]);
  const { publisher, topics, asked } = makeTopics(answers);
  const [left, right] = [subscriber(), subscriber()];
  topics.subscribe("q", left);
  topics.subscribe("q", right);
  asked.length = 0;
  answers.set("q", "two");
  publisher.publish(empty);
  t.deepEqual(asked, ["q"]);
  t.deepEqual(
    [left.told, right.told],
    [
      ["one", "two"],
      ["one", "two"],
    ],
  );
});

test("Topics answers whoever asks, and each new watch, with the answer of the moment", (t) => {
  const { topics, asked } = makeTopics(new Map([["q", "one"]]));
  const [first, second] = [subscriber(), subscriber()];
  topics.subscribe("q", first);
  t.deepEqual(topics.ask("q"), { policy: "one" });
  topics.subscribe("q", second);
  t.deepEqual([first.told, second.told], [["one"], ["one"]]);
  t.deepEqual(asked, ["q", "q", "q"]);
});

test("Topics tells nobody about an answer of the same bytes", (t) => {
  const { publisher, topics } = makeTopics(new Map([["q", "one"]]));
  const watcher = subscriber();
  topics.subscribe("q", watcher);
  publisher.publish(empty);
  t.deepEqual(watcher.told, ["one"]);
});

test("Topics ends a subscription whose answer is gone, and forgets the question", (t) => {
  const answers = new Map([["q", "one"]]);
  const { publisher, topics, asked } = makeTopics(answers);
  const watcher = subscriber();
  const subscription = topics.subscribe("q", watcher);
  answers.delete("q");
  publisher.publish(empty);
  publisher.publish(empty);
  t.deepEqual(watcher.told, ["one", "gone: gone"]);
  t.is(topics.size, 0);
  t.is(asked.length, 2);
  if (subscription.kind === "open") subscription.close();
  t.is(topics.size, 0);
});

test("Topics does not open a subscription to a question without an answer", (t) => {
  const { topics } = makeTopics(new Map());
  t.deepEqual(topics.subscribe("q", subscriber()), { kind: "unknown", reason: "gone" });
  t.is(topics.size, 0);
});

test("Topics asks no question that nobody watches any more", (t) => {
  const { publisher, topics, asked } = makeTopics(new Map([["q", "one"]]));
  const subscription = topics.subscribe("q", subscriber());
  if (subscription.kind === "open") subscription.close();
  publisher.publish(empty);
  t.deepEqual(asked, ["q"]);
  t.is(topics.size, 0);
});

test("Topics allows so many subscriptions and no more, until one is closed", (t) => {
  const { topics } = makeTopics(new Map([["q", "one"]]), 1);
  const first = topics.subscribe("q", subscriber());
  t.deepEqual(topics.subscribe("q", subscriber()), { kind: "full" });
  if (first.kind === "open") first.close();
  t.is(topics.subscribe("q", subscriber()).kind, "open");
});

test("Topics counts the subscriptions of each API", (t) => {
  const { publisher, topics } = makeTopics(new Map([["q", "one"]]));
  topics.subscribe("q", subscriber());
  t.deepEqual([...publisher.subscriptions()], [["test", 1]]);
});

test("Publisher measures a change and counts it", (t) => {
  let nowMs = 0;
  const publisher = new Publisher(empty, () => {
    nowMs += 5;
    return nowMs;
  });
  publisher.publish(empty);
  t.is(publisher.revision, 1);
  t.is(publisher.lastChangeMs, 5);
});

function makeStream() {
  const drains: (() => void)[] = [];
  return {
    ready: true,
    onDrain: (callback: () => void) => {
      drains.push(callback);
    },
    drain() {
      this.ready = true;
      for (const callback of drains) callback();
    },
  };
}

test("keepNewest() writes at once while the reader keeps up", (t) => {
  const written: number[] = [];
  const offer = keepNewest<number>(makeStream(), (value) => written.push(value));
  offer(1);
  offer(2);
  t.deepEqual(written, [1, 2]);
});

test("keepNewest() gives a slow reader the newest value only, and once", (t) => {
  const written: number[] = [];
  const stream = makeStream();
  const offer = keepNewest<number>(stream, (value) => written.push(value));
  offer(1);
  stream.ready = false;
  offer(2);
  offer(3);
  t.deepEqual(written, [1]);
  stream.drain();
  stream.drain();
  t.deepEqual(written, [1, 3]);
});
