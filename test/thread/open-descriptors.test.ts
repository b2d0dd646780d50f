import test from "ava";
import { descriptorBytes, OpenDescriptors } from "../../src/thread/open-descriptors.ts";

/** Of 96 descriptors, so that there is an end to reach. */
function few(): OpenDescriptors {
  return new OpenDescriptors(new SharedArrayBuffer(12));
}

test("open descriptors are those that were added and not removed, in their order", (t) => {
  const open = new OpenDescriptors(new SharedArrayBuffer(descriptorBytes));
  for (const fd of [70, 5, 0, 6, 1_048_575]) t.true(open.add(fd));
  open.remove(5);
  t.deepEqual(open.takeAll(), [0, 6, 70, 1_048_575]);
});

test("a descriptor at a boundary of words is kept apart from its neighbours", (t) => {
  const open = few();
  for (const fd of [30, 31, 32, 63, 64, 95]) t.true(open.add(fd));
  t.deepEqual(few().takeAll(), []);
  for (const fd of [30, 32, 64]) open.remove(fd);
  t.deepEqual(open.takeAll(), [31, 63, 95]);
});

test("the highest bit of a word alone is one descriptor", (t) => {
  const open = few();
  open.add(31);
  t.deepEqual(open.takeAll(), [31]);
  open.add(31);
  open.remove(31);
  t.deepEqual(open.takeAll(), []);
});

test("all descriptors of a word can be open at once", (t) => {
  const open = few();
  const all = Array.from({ length: 96 }, (_, fd) => fd);
  for (const fd of all) open.add(fd);
  t.deepEqual(open.takeAll(), all);
});

test("adding twice and removing what is not there change nothing", (t) => {
  const open = few();
  open.add(40);
  open.add(40);
  open.remove(41);
  open.remove(9);
  t.deepEqual(open.takeAll(), [40]);
});

test("a number beyond the memory is refused, and removing it hurts nobody", (t) => {
  const open = few();
  t.true(open.add(95));
  t.false(open.add(96));
  t.false(open.add(1_000_000));
  open.remove(96);
  open.remove(1_000_000);
  t.deepEqual(open.takeAll(), [95]);
});

test("what was taken counts as closed, also to others who see the memory", (t) => {
  const memory = new SharedArrayBuffer(12);
  const worker = new OpenDescriptors(memory);
  const main = new OpenDescriptors(memory);
  for (const fd of [3, 31, 64]) worker.add(fd);
  t.deepEqual(main.takeAll(), [3, 31, 64]);
  t.deepEqual(main.takeAll(), []);
  t.deepEqual(worker.takeAll(), []);
  worker.add(64);
  t.deepEqual(main.takeAll(), [64]);
});
