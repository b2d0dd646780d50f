import { once } from "node:events";
import test from "ava";
import {
  chunkBytes,
  KernelInTest,
  patterned,
  Recorder,
  turns,
  turnsUntil,
} from "./kernel-in-test.ts";

function sendText(
  wire: { send(bytes: Buffer, start: number, end: number): boolean },
  text: string,
) {
  const bytes = Buffer.from(text);
  return wire.send(bytes, 0, bytes.length);
}

test("bytes come in their order, in the owner's buffer", async (t) => {
  using kernel = await KernelInTest.start();
  const { owner, far } = await kernel.adopted();
  const sent = patterned(3_000_000);
  far.socket.write(sent);
  await owner.untilReceived(sent.length);
  t.true(owner.received.equals(sent));
  t.is(owner.count("bytes of a stranger"), 0);
});

test("a wire knows who is at its other end, and that nothing is hidden from others", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire } = await kernel.adopted();
  t.is(wire.remoteIp, "127.0.0.1");
  t.false(wire.encrypted);
  t.false(wire.givesBuffers);
});

test("connections of IPv6 are no different", async (t) => {
  using kernel = await KernelInTest.start("::1");
  const { wire, owner, far } = await kernel.adopted();
  t.is(wire.remoteIp, "::1");
  far.read().socket.end("in");
  sendText(wire, "out");
  await owner.until(() => owner.count("end") === 1);
  wire.end();
  t.is(await far.ending, "end");
  t.is(owner.text, "in");
  t.is(far.received.toString(), "out");
});

test("what is sent of a buffer is what lies between start and end", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, far } = await kernel.adopted();
  far.read();
  const bytes = Buffer.from("0123456789");
  t.true(wire.send(bytes, 3, 7));
  t.true(wire.send(bytes, 0, 2));
  t.true(wire.send(bytes, 9, 10));
  t.true(wire.send(bytes, 5, 5));
  wire.end();
  t.is(await far.ending, "end");
  t.is(far.received.toString(), "3456019");
});

test("a second owner gets what comes after the first handed on", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner: first, far } = await kernel.adopted();
  const second = new Recorder();
  first.whenBytes = () => {
    wire.owner = second;
    return true;
  };
  far.socket.write("one");
  await first.untilReceived(3);
  far.socket.end("two");
  await second.until(() => second.count("end") === 1);
  wire.end();
  t.is(await second.untilClosed(), "close:");
  t.is(first.text, "one");
  t.is(second.text, "two");
  t.deepEqual(first.events, ["bytes"]);
  t.deepEqual(second.events, ["bytes", "end", "close:"]);
});

test("an owner who answers false gets nothing until resume(), and then everything", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  const sent = patterned(300_000);
  owner.whenBytes = () => false;
  far.socket.end(sent);
  for (let length = 0; length < sent.length; ) {
    await owner.untilReceived(length + 1);
    length = owner.received.length;
    await turns(3);
    t.is(owner.received.length, length);
    t.is(owner.count("end"), 0);
    wire.resume();
  }
  await owner.until(() => owner.count("end") === 1);
  t.true(owner.received.equals(sent));
});

test("pause() and resume() from elsewhere stop and go on", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.pause();
  wire.pause();
  far.socket.end("later");
  await once(far.socket, "finish");
  await turns(5);
  t.deepEqual(owner.events, []);
  wire.resume();
  wire.resume();
  await owner.until(() => owner.count("end") === 1);
  t.is(owner.text, "later");
});

test("a reader who is slow makes send() answer false, once, until all has left", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  const { sent, lent } = kernel.fill(wire);
  await turns(5);
  t.is(owner.count("written"), 0);
  t.false(kernel.pool.take() === lent);
  let isFree = false;
  owner.whenWritten = () => {
    isFree = wire.send(Buffer.from("!"), 0, 1);
  };
  far.read();
  await owner.until(() => owner.count("written") === 1);
  t.true(kernel.pool.take() === lent);
  t.true(isFree);
  await far.untilReceived(sent + 1);
  t.true(far.received.equals(Buffer.concat([patterned(sent), Buffer.from("!")])));
  t.deepEqual(owner.events, ["written"]);
});

test("what is sent while the kernel has no room keeps its order, whatever part of it was taken", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  const { sent } = kernel.fill(wire);
  let total = sent;
  for (const length of [1, 70_001, 1_000_003, 5]) {
    // Behind bytes that are not to be sent.
    const bytes = Buffer.concat([Buffer.alloc(7, "-"), patterned(length, total), Buffer.alloc(3)]);
    t.false(wire.send(bytes, 7, 7 + length));
    total += length;
  }
  far.read();
  await owner.until(() => owner.count("written") === 1);
  await far.untilReceived(total);
  t.true(far.received.equals(patterned(total)));
  t.is(owner.count("written"), 1);
});

test("sendNow() takes what there is room for, and the rest is the caller's to lend", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  const bytes = patterned(20_000_000);
  t.is(wire.sendNow(bytes, 0, 10), 10);
  let from = 10;
  for (let before = 0; before !== from; ) {
    before = from;
    from = wire.sendNow(bytes, from, bytes.length);
  }
  t.true(from < bytes.length);
  await turns(3);
  t.deepEqual(owner.events, []);
  t.false(wire.send(bytes, from, bytes.length));
  // Not before what waits.
  t.is(wire.sendNow(bytes, 3, 9), 3);
  far.read();
  await owner.until(() => owner.count("written") === 1);
  t.is(wire.sendNow(bytes, 3, 9), 9);
  wire.end();
  t.is(wire.sendNow(bytes, 0, 9), 9);
  t.is(await far.ending, "end");
  t.true(far.received.equals(Buffer.concat([bytes, bytes.subarray(3, 9)])));
});

test("a sender who waits each time is told each time, and nothing is lost", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  let { sent } = kernel.fill(wire);
  let rounds = 1;
  owner.whenWritten = () => {
    if (rounds === 5) {
      wire.end();
      return;
    }
    rounds++;
    ({ sent } = kernel.fill(wire, sent));
  };
  far.read();
  t.is(await far.ending, "end");
  t.is(owner.count("written"), 5);
  t.true(far.received.equals(patterned(sent)));
});

test("both directions are full at once, and all arrives", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.pause();
  const { sent } = kernel.fill(wire);
  const coming = patterned(8_000_000, 17);
  far.socket.end(coming);
  await turns(5);
  wire.resume();
  far.read();
  wire.end();
  t.is(await owner.untilClosed(), "close:");
  t.is(await far.ending, "end");
  t.true(owner.received.equals(coming));
  t.true(far.received.equals(patterned(sent)));
});

test("an end comes after all that was sent before it, and what is sent after it is dropped", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  const { sent } = kernel.fill(wire);
  t.false(wire.send(patterned(chunkBytes, sent), 0, chunkBytes));
  wire.end();
  wire.end();
  t.true(sendText(wire, "too late"));
  far.read();
  t.is(await far.ending, "end");
  t.true(far.received.equals(patterned(sent + chunkBytes)));
  t.deepEqual(owner.events, ["written"]);
});

test("after the other end has ended, this one can still send", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  far.read().socket.end("question");
  await owner.until(() => owner.count("end") === 1);
  const answer = patterned(2_000_000);
  wire.send(answer, 0, answer.length);
  wire.end();
  t.is(await far.ending, "end");
  t.true(far.received.equals(answer));
  t.is(await owner.untilClosed(), "close:");
  t.deepEqual(
    owner.events.filter((event) => event !== "written"),
    ["bytes", "end", "close:"],
  );
});

test("after this end has ended, the other one can still send", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  sendText(wire, "question");
  wire.end();
  far.read();
  t.is(await far.ending, "end");
  t.is(far.received.toString(), "question");
  await turns(3);
  t.deepEqual(owner.closes, []);
  far.socket.end("answer");
  t.is(await owner.untilClosed(), "close:");
  t.is(owner.text, "answer");
  t.is(owner.count("end"), 1);
});

test("an owner who answers the end with an end is told of the close afterwards", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  owner.whenEnd = () => {
    wire.end();
    t.deepEqual(owner.closes, []);
  };
  far.read().socket.end();
  t.is(await owner.untilClosed(), "close:");
  t.is(await far.ending, "end");
  t.deepEqual(owner.events, ["end", "close:"]);
});

test("abortOnDeath(), also twice, changes nothing about an orderly end", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.abortOnDeath();
  wire.abortOnDeath();
  far.socket.end();
  await owner.until(() => owner.count("end") === 1);
  const { sent } = kernel.fill(wire);
  wire.end();
  // Has no effect behind an end, which is not said yet.
  wire.abortOnDeath();
  await turns(3);
  far.read();
  t.is(await owner.untilClosed(), "close:");
  wire.abortOnDeath();
  t.is(await far.ending, "end");
  t.true(far.received.equals(patterned(sent)));
});

test("abortOnDeath() leaves to the kernel what it has yet to send when both sides have ended", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.abortOnDeath();
  far.socket.end();
  await owner.until(() => owner.count("end") === 1);
  // Fits into the kernel, and is not read by anybody yet.
  const sent = patterned(100_000);
  t.true(wire.send(sent, 0, sent.length));
  wire.end();
  t.is(await owner.untilClosed(), "close:");
  far.read();
  t.is(await far.ending, "end");
  t.true(far.received.equals(sent));
});

test("abortOnDeath() and no end: closing is an abort", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, far } = await kernel.adopted();
  wire.abortOnDeath();
  wire.destroy();
  t.is(await far.read().ending, "ECONNRESET");
});

test("a wire that waits for nothing does not keep the loop busy", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  far.socket.end("x");
  await owner.until(() => owner.count("end") === 1);
  const answers = countReady(kernel);
  await turns(5);
  t.deepEqual(
    answers.filter((count) => count !== 0),
    [],
  );
  wire.end();
  await owner.untilClosed();
});

test("a reset that comes while nobody reads does not keep the loop busy, and is told after resume()", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.pause();
  const answers = countReady(kernel);
  far.socket.resetAndDestroy();
  await turnsUntil(() => answers.some((count) => count > 0));
  await turns(2);
  answers.length = 0;
  await turns(20);
  t.deepEqual(
    answers.filter((count) => count !== 0),
    [],
  );
  t.deepEqual(owner.events, []);
  wire.pause();
  wire.resume();
  t.is(await owner.untilClosed(), "close:ECONNRESET");
  await turns(3);
  t.deepEqual(owner.events, ["close:ECONNRESET"]);
});

test("both ends said while nobody reads do not keep the loop busy, and are told after resume()", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.pause();
  const answers = countReady(kernel);
  wire.end();
  far.read().socket.end("last words");
  await turnsUntil(() => answers.some((count) => count > 0));
  await turns(2);
  answers.length = 0;
  await turns(20);
  t.deepEqual(
    answers.filter((count) => count !== 0),
    [],
  );
  wire.resume();
  t.is(await owner.untilClosed(), "close:");
  t.is(owner.text, "last words");
  t.deepEqual(owner.events, ["bytes", "end", "close:"]);
});

test("a reset that nobody read is told to who sends", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.pause();
  const answers = countReady(kernel);
  far.socket.resetAndDestroy();
  await turnsUntil(() => answers.some((count) => count > 0));
  await turns(2);
  t.true(sendText(wire, "anybody there?"));
  t.deepEqual(owner.events, []);
  t.is(await owner.untilClosed(), "close:ECONNRESET");
});

/** How many connections were ready, turn by turn. */
function countReady({ sockets: { kernel } }: KernelInTest): number[] {
  const answers: number[] = [];
  const ready = kernel.ready.bind(kernel);
  kernel.ready = (epoll, events, most) => {
    const count = ready(epoll, events, most);
    answers.push(count);
    return count;
  };
  return answers;
}
