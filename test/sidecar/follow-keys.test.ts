import test from "ava";
import { type KeySource, keySourceName, type TokenRule } from "../../src/core/model/token.ts";
import { fail, fault, ok, type Result } from "../../src/core/std/result.ts";
import type { InboundTable } from "../../src/core/table/inbound.ts";
import {
  KeyFollower,
  keyRefreshMs,
  keyRetryMs,
  keyWantedPauseMs,
} from "../../src/sidecar/follow-keys.ts";
import { anybody, authorization, serverTable } from "../harness/policies.ts";
import { keySet, makeSigner } from "../harness/tokens.ts";
import { manualClock } from "./manual-clock.ts";
import { recordingLog } from "./recording-log.ts";
import { RecordingPublisher } from "./recording-publisher.ts";

const source = { from: "url", location: "https://a.example/keys", maxAgeMs: 3_600_000 } as const;
const name = keySourceName(source);
const jwks = keySet(makeSigner());

function asking(...sources: readonly KeySource[]): InboundTable {
  const tokens = sources.map(
    (keys): TokenRule => ({
      meta: { type: "default", name: "a" },
      issuer: "a",
      audiences: ["a"],
      keys,
      claims: [],
      place: { in: "header", name: "authorization" },
      forward: true,
    }),
  );
  return serverTable({ authorizations: [{ ...authorization("a", anybody), tokens }] });
}

function bench(answers: Result<string>[]) {
  const clock = manualClock(1_000_000);
  const publisher = new RecordingPublisher();
  const log = recordingLog();
  const reads: string[] = [];
  let wake = Promise.withResolvers<void>();
  const keys = new KeyFollower({
    surroundings: clock,
    publisher,
    log,
    read: (one) => {
      reads.push(one.location);
      wake.resolve();
      wake = Promise.withResolvers();
      return Promise.resolve(answers.shift() ?? ok(jwks));
    },
  });
  return {
    keys,
    clock,
    publisher,
    log,
    reads,
    /** Resolves when somebody waits for a pause of this length. */
    async waitsFor(ms: number): Promise<void> {
      while (!clock.pauses().some((pause) => Math.abs(pause - ms) < 1)) await Promise.resolve();
    },
  };
}

/** In the middle of the spread. */
const spread = 0.95;

test("KeyFollower publishes what it read, with its end, and reads again", async (t) => {
  const { keys, clock, publisher, waitsFor } = bench([]);
  keys.follow(8080, asking(source, { from: "inline", jwks }));
  const first = await publisher.next("keys");
  t.like(first, { source: name, jwks, staleAtMs: 1_000_000 + source.maxAgeMs });
  await waitsFor(keyRefreshMs * spread);
  clock.advance(keyRefreshMs * spread);
  const second = await publisher.next("keys");
  t.true(second.revision > first.revision);
  t.is(second.staleAtMs, first.staleAtMs + keyRefreshMs * spread);
  keys.close();
});

test("KeyFollower publishes nothing that has no keys, says so, and tries again soon", async (t) => {
  const { keys, clock, publisher, log, waitsFor } = bench([
    fail(fault("", "ECONNREFUSED")),
    ok("<html>secret</html>"),
  ]);
  keys.follow(8080, asking(source));
  for (let i = 0; i < 2; i++) {
    await waitsFor(keyRetryMs * spread);
    t.deepEqual(publisher.published, []);
    clock.advance(keyRetryMs * spread);
  }
  t.is((await publisher.next("keys")).jwks, jwks);
  t.regex(log.text(), /ECONNREFUSED.*token_keys_unread/);
  t.false(log.text().includes("secret"));
  keys.close();
});

test("KeyFollower reads early for a key that is missing, but not for everybody who asks", async (t) => {
  const { keys, clock, publisher, reads, waitsFor } = bench([]);
  keys.follow(8080, asking(source));
  await publisher.next("keys");
  await waitsFor(keyRefreshMs * spread);
  keys.want(name);
  t.is(reads.length, 1);
  clock.advance(keyWantedPauseMs);
  keys.want(name);
  keys.want(name);
  t.is(reads.length, 2);
  await publisher.next("keys");
  await waitsFor(keyRefreshMs * spread);
  t.is(clock.pauses().length, 1);
  keys.want("url https://other.example/keys 1");
  t.is(reads.length, 2);
  keys.close();
});

test("KeyFollower reads a source once for all ports, and not any more when none asks for it", async (t) => {
  const { keys, clock, publisher, reads, waitsFor } = bench([]);
  keys.follow(8080, asking(source));
  keys.follow(9090, asking(source));
  await publisher.next("keys");
  await waitsFor(keyRefreshMs * spread);
  keys.follow(8080, asking());
  t.is(clock.pauses().length, 1);
  keys.follow(9090, undefined);
  t.deepEqual(clock.pauses(), []);
  t.is(reads.length, 1);
});
