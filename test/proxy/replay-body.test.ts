import test from "ava";
import { maxReplayBytes, ReplayBody } from "../../src/proxy/replay-body.ts";

const abc = Buffer.from("abc");

function textOf({ bytes, length }: ReplayBody): string {
  return bytes.toString("latin1", 0, length);
}

test("record() keeps what comes, in order", (t) => {
  const body = new ReplayBody();
  body.begin(10, 0, 0);
  body.record(abc, 0, 3);
  body.record(abc, 1, 2);
  t.is(textOf(body), "abcb");
  t.true(body.isWhole);
});

test("record() gives up when more comes than the limit, which includes what came with the head", (t) => {
  const body = new ReplayBody();
  body.begin(5, 2, 0);
  body.record(abc, 0, 3);
  t.true(body.isWhole);
  body.record(abc, 0, 1);
  t.false(body.isWhole);
  t.is(body.length, 0);
});

test("begin() gives up at once when more is announced, and never keeps more than a MiB", (t) => {
  const body = new ReplayBody();
  body.begin(5, 0, 6);
  t.false(body.isWhole);
  body.begin(5, 6, 0);
  t.false(body.isWhole);
  body.begin(Number.MAX_SAFE_INTEGER, 0, maxReplayBytes);
  t.true(body.isWhole);
  body.begin(Number.MAX_SAFE_INTEGER, 0, maxReplayBytes + 1);
  t.false(body.isWhole);
});

test("a body begins anew for the next request", (t) => {
  const body = new ReplayBody();
  body.begin(100_000, 0, 0);
  body.record(Buffer.alloc(50_000, 1), 0, 50_000);
  t.is(body.length, 50_000);
  body.end();
  t.is(body.bytes.length, 0);
  body.begin(10, 0, 0);
  body.record(abc, 0, 3);
  t.is(textOf(body), "abc");
});
