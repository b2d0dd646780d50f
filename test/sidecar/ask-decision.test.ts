import test from "ava";
import { DecisionDesk } from "../../src/sidecar/ask-decision.ts";
import type { Surroundings } from "../../src/sidecar/surroundings.ts";
import type { ToWorker } from "../../src/thread/messages.ts";

class DeskInTest {
  readonly posted: ToWorker[] = [];
  readonly desk: DecisionDesk;
  /** Lets the time for an answer run out. */
  expire: () => void = () => {};
  isThere = true;

  constructor() {
    const timers: Surroundings["timers"] = {
      after: (_ms, callback) => {
        this.expire = callback;
        return () => {};
      },
    };
    this.desk = new DecisionDesk({
      timers,
      post: (_shard, question) => {
        this.posted.push(question);
        return this.isThere;
      },
    });
  }
}

test("DecisionDesk.ask() asks the worker of the id for the number in it", async (t) => {
  const { desk, posted } = new DeskInTest();
  const prefix = desk.prefixOf(1);
  const asked = desk.ask(`${prefix}-zz`);
  t.deepEqual(posted, [{ kind: "ask-decision", ask: 1, sequence: 35 * 36 + 35 }]);
  desk.received(1, { state: "overwritten", kept: 7 });
  t.deepEqual(await asked, { state: "overwritten", kept: 7 });
});

test("DecisionDesk.ask() tells ids of ended workers, of other processes and of nobody apart", async (t) => {
  const it = new DeskInTest();
  const { desk } = it;
  const first = desk.prefixOf(0);
  const second = desk.prefixOf(0);
  t.deepEqual(await desk.ask(`${first}-1`), { state: "restarted" });
  t.deepEqual(await desk.ask(`${second.replace(/^[^-]+/, "!")}-1`), { state: "malformed" });
  t.deepEqual(await desk.ask("a-0-1-1"), { state: "foreign" });
  t.deepEqual(await desk.ask(""), { state: "malformed" });
  it.isThere = false;
  t.deepEqual(await desk.ask(`${second}-1`), { state: "restarted" });
});

test("DecisionDesk.ask() does not wait for a worker that dies or is silent", async (t) => {
  const it = new DeskInTest();
  const { desk } = it;
  const prefix = desk.prefixOf(0);
  const dying = desk.ask(`${prefix}-1`);
  desk.ended(0);
  t.deepEqual(await dying, { state: "restarted" });
  const silent = desk.ask(`${prefix}-1`);
  it.expire();
  t.deepEqual(await silent, { state: "silent" });
  desk.received(2, { state: "unknown" });
});
