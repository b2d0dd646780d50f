import test from "ava";
import {
  formatWorkload,
  parseContextNamespace,
  parseWorkload,
} from "../../../src/core/model/workload.ts";

const web = { namespace: "demo", pod: "web-1" };

test("parseWorkload() reads JSON with spaces, a line end and other keys", (t) => {
  t.deepEqual(parseWorkload('{"ns":"demo","pod":"web-1"}'), web);
  t.deepEqual(parseWorkload('{"ns":"demo", "pod":"web-1"}\n'), web);
  t.deepEqual(parseWorkload('{"ns":"demo","nodeName":"n","pod":"web-1","__proto__":{}}'), web);
});

test("parseWorkload() reads the older form", (t) => {
  t.deepEqual(parseWorkload("demo:web-1"), web);
  t.deepEqual(parseWorkload("demo:web-1\n"), web);
});

test("parseWorkload() reads what formatWorkload() writes", (t) => {
  t.deepEqual(parseWorkload(formatWorkload(web)), web);
});

test("parseWorkload() refuses everything else", (t) => {
  for (const text of [
    "",
    "demo",
    "demo:web:1",
    ":web-1",
    "demo:",
    "{}",
    "[]",
    "null",
    '"demo:web"',
    '{"ns":"demo"}',
    '{"ns":"demo","external_workload":"vm-1"}',
    '{"ns":1,"pod":"web-1"}',
    '{"ns":"De mo","pod":"web-1"}',
    '{"ns":"demo","pod":"../x"}',
    '{"ns":"demo","pod":"web-1"',
  ]) {
    t.is(parseWorkload(text), undefined, text);
  }
});

test("parseContextNamespace() reads the namespace of the client", (t) => {
  t.is(parseContextNamespace('{"ns":"demo","nodeName":"n","pod":"web-1"}\n'), "demo");
  t.is(parseContextNamespace("ns:demo"), "demo");
});

test("parseContextNamespace() knows nothing about other texts", (t) => {
  for (const text of ["", "demo", "ns:", "ns:De mo", "{}", '{"ns":2}', "[1]"]) {
    t.is(parseContextNamespace(text), undefined, text);
  }
});
