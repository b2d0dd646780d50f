import test from "ava";
import { chunkBytes, KernelInTest, Recorder, turns } from "./kernel-in-test.ts";

const word = Buffer.from("word");

test("reset() tells the other end that something is missing", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.reset();
  t.deepEqual(owner.events, []);
  t.is(await far.read().ending, "ECONNRESET");
  t.is(await owner.untilClosed(), "close:");
  t.deepEqual(owner.events, ["close:"]);
});

test("reset() aborts also behind an end that waits to be said", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  kernel.fill(wire);
  wire.end();
  wire.reset();
  t.is(await far.read().ending, "ECONNRESET");
  t.is(await owner.untilClosed(), "close:");
});

test("destroy() is an end to the other end, and the owner is told later", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.send(word, 0, 4);
  wire.destroy();
  wire.destroy();
  wire.reset();
  t.deepEqual(owner.events, []);
  t.is(await owner.untilClosed(), "close:");
  t.is(await far.read().ending, "end");
  t.is(far.received.toString(), "word");
  await turns(3);
  t.deepEqual(owner.events, ["close:"]);
});

test("destroy() drops what waits, and gives back what was lent", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner } = await kernel.adopted();
  const { lent } = kernel.fill(wire);
  const more = kernel.pool.take();
  t.false(wire.send(more, 0, chunkBytes));
  wire.destroy();
  const back = [kernel.pool.take(), kernel.pool.take()];
  t.true(back.includes(lent) && back.includes(more));
  t.false([lent, more].includes(kernel.pool.take()));
  t.is(await owner.untilClosed(), "close:");
  t.is(owner.count("written"), 0);
});

test("a wire that is closed takes everything and does nothing", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner } = await kernel.adopted();
  wire.destroy();
  const calls = (): void => {
    t.true(wire.send(word, 0, 4));
    wire.pause();
    wire.resume();
    wire.end();
    wire.abortOnDeath();
    wire.reset();
    wire.destroy();
  };
  calls();
  await owner.untilClosed();
  calls();
  await turns(3);
  t.deepEqual(owner.events, ["close:"]);
});

test("the other end's reset is told once, with its name", async (t) => {
  using kernel = await KernelInTest.start();
  const { owner, far } = await kernel.adopted();
  far.socket.resetAndDestroy();
  t.is(await owner.untilClosed(), "close:ECONNRESET");
  await turns(3);
  t.deepEqual(owner.events, ["close:ECONNRESET"]);
});

test("the other end's reset is told once to who has much to send, reading or not", async (t) => {
  using kernel = await KernelInTest.start();
  for (const reads of [true, false]) {
    const { wire, owner, far } = await kernel.adopted();
    if (!reads) wire.pause();
    const { lent } = kernel.fill(wire);
    far.socket.resetAndDestroy();
    t.is(await owner.untilClosed(), "close:ECONNRESET");
    await turns(3);
    t.deepEqual(owner.events, ["close:ECONNRESET"]);
    t.true(kernel.pool.take() === lent);
  }
});

test("sending to who is gone fails later, not at once", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  far.socket.resetAndDestroy();
  // Synchronous from here: the reset was not told of yet.
  const answers = [wire.send(word, 0, 4), wire.send(word, 0, 4)];
  t.deepEqual(owner.events, []);
  t.deepEqual(answers, [true, true]);
  t.is(await owner.untilClosed(), "close:ECONNRESET");
  await turns(3);
  t.deepEqual(owner.events, ["close:ECONNRESET"]);
});

test("a connection that its other end has closed without reading breaks when it is sent to", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  far.socket.destroy();
  await owner.until(() => owner.count("end") === 1);
  while (owner.closes.length === 0) {
    wire.send(word, 0, 4);
    await turns(1);
  }
  t.regex(owner.closes[0] ?? "", /^close:(EPIPE|ECONNRESET)$/);
});

for (const [how, act] of [
  ["destroy()", (wire: { destroy(): void }) => wire.destroy()],
  ["reset()", (wire: { reset(): void }) => wire.reset()],
] as const) {
  test(`${how} from within onBytes is the last thing but the close`, async (t) => {
    using kernel = await KernelInTest.start();
    for (const answer of [true, false]) {
      const { wire, owner, far } = await kernel.adopted();
      owner.whenBytes = () => {
        act(wire);
        t.deepEqual(owner.closes, []);
        return answer;
      };
      far.socket.end(Buffer.alloc(500_000));
      t.is(await owner.untilClosed(), "close:");
      await turns(3);
      t.deepEqual(owner.events, ["bytes", "close:"]);
    }
  });

  test(`${how} from within onWritten is the last thing but the close`, async (t) => {
    using kernel = await KernelInTest.start();
    const { wire, owner, far } = await kernel.adopted();
    kernel.fill(wire);
    owner.whenWritten = () => {
      act(wire);
      t.deepEqual(owner.closes, []);
    };
    far.read();
    t.is(await owner.untilClosed(), "close:");
    await turns(3);
    t.deepEqual(owner.events, ["written", "close:"]);
  });

  test(`${how} from within onEnd is the last thing but the close`, async (t) => {
    using kernel = await KernelInTest.start();
    const { wire, owner, far } = await kernel.adopted();
    wire.end();
    owner.whenEnd = () => {
      act(wire);
      t.deepEqual(owner.closes, []);
    };
    far.socket.end();
    t.is(await owner.untilClosed(), "close:");
    await turns(3);
    t.deepEqual(owner.events, ["end", "close:"]);
  });

  test(`${how} from within onBytes while much waits to be sent: nobody is told that it left`, async (t) => {
    using kernel = await KernelInTest.start();
    const { wire, owner, far } = await kernel.adopted();
    kernel.fill(wire);
    owner.whenBytes = () => {
      act(wire);
      return true;
    };
    far.read().socket.write("stop");
    t.is(await owner.untilClosed(), "close:");
    await turns(3);
    t.deepEqual(owner.events, ["bytes", "close:"]);
  });
}

test("a wire that another one destroys gets nothing of what was ready with it", async (t) => {
  using kernel = await KernelInTest.start();
  const [one, other] = [await kernel.adopted(), await kernel.adopted()];
  one.owner.whenBytes = () => {
    other.wire.destroy();
    return true;
  };
  other.owner.whenBytes = () => {
    one.wire.destroy();
    return true;
  };
  one.far.socket.write(word);
  other.far.socket.write(word);
  // Whichever comes first, the other one is closed by it.
  const events = (): string[] => [...one.owner.events, ...other.owner.events].toSorted();
  while (events().length < 2) await turns(1);
  await turns(3);
  t.deepEqual(events(), ["bytes", "close:"]);
});

test("a connection that takes the place of another one gets nothing of what was ready there", async (t) => {
  using kernel = await KernelInTest.start();
  const [one, other] = [await kernel.adopted(), await kernel.adopted()];
  const late = await kernel.pair();
  const owner = new Recorder();
  const replace = (closing: typeof one.wire): boolean => {
    closing.destroy();
    const wire = kernel.adopt(late.near);
    wire.owner = owner;
    t.is(wire.slot, closing.slot);
    return true;
  };
  one.owner.whenBytes = () => replace(other.wire);
  other.owner.whenBytes = () => replace(one.wire);
  one.far.socket.write(word);
  other.far.socket.write(word);
  while (one.owner.events.length + other.owner.events.length < 2) await turns(1);
  await turns(3);
  t.is(owner.asked, 0);
  t.deepEqual(owner.events, []);
  late.far.socket.write("mine");
  await owner.until(() => owner.count("bytes") === 1);
  t.is(owner.text, "mine");
  t.is(owner.asked, 1);
});

test("one connection resets another in its place, and the news of that is not for the next one", async (t) => {
  using kernel = await KernelInTest.start();
  const [one, other] = [await kernel.adopted(), await kernel.adopted()];
  const late = await kernel.pair();
  const owner = new Recorder();
  one.owner.whenBytes = () => {
    other.wire.destroy();
    kernel.adopt(late.near).owner = owner;
    return true;
  };
  one.far.socket.write(word);
  other.far.socket.resetAndDestroy();
  await one.owner.untilReceived(4);
  await turns(5);
  t.is(owner.asked, 0);
  late.far.socket.end("mine");
  await owner.until(() => owner.count("end") === 1);
  t.deepEqual(owner.events, ["bytes", "end"]);
});
