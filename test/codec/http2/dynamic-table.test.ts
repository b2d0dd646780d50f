/** The dynamic table against a list that is as simple as RFC 7541 §4 says it. */
import test from "ava";
import fc from "fast-check";
import { DynamicTable, maxTableBytes } from "../../../src/codec/http2/dynamic-table.ts";

type Entry = { readonly name: string; readonly value: string };

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ name: fc.nat(40), value: fc.oneof(fc.nat(60), fc.nat(4100)) }),
  },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: maxTableBytes }) },
);

function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { name, value }) => sum + name.length + value.length + 32, 0);
}

function entryOf(table: DynamicTable, number: number): Entry {
  const start = table.nameStart(number);
  const valueStart = start + table.nameLength(number);
  return {
    name: table.bytes.toString("latin1", start, valueStart),
    value: table.bytes.toString("latin1", valueStart, valueStart + table.valueLength(number)),
  };
}

test("DynamicTable holds the newest entries that fit, unharmed, however often its ring turns", (t) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const table = new DynamicTable();
      const model: Entry[] = [];
      for (const [at, made] of steps.entries()) {
        if (typeof made === "number") {
          table.resize(made);
        } else {
          const letter = String.fromCharCode(97 + (at % 26));
          const entry = { name: letter.repeat(made.name), value: letter.repeat(made.value) };
          const to = table.add(made.name, made.value, at);
          if (to >= 0) table.bytes.write(entry.name + entry.value, to, "latin1");
          model.unshift(entry);
        }
        while (sizeOf(model) > table.capacity) model.pop();
        t.is(table.count, model.length);
      }
      const held = model.map((_entry, distance) => entryOf(table, table.numberOf(distance)));
      t.deepEqual(held, model);
      t.is(table.numberOf(model.length), 0);
    }),
    { numRuns: 100 },
  );
});
