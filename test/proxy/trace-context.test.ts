import test from "ava";
import fc from "fast-check";
import { parseRequestHead, RequestHead } from "../../src/codec/http1-head.ts";
import { HeadEdit } from "../../src/codec/http1-write.ts";
import {
  Format,
  hexText,
  refusesTrace,
  sampledFlag,
  TraceContext,
  writeContext,
} from "../../src/proxy/trace-context.ts";

const trace = "0af7651916cd43dd8448eb211c80319c";
const span = "b7ad6b7169203331";
const shortTrace = "8448eb211c80319c";

/** A head with these lines, as the proxy reads it. */
function headOf(lines: readonly string[]): RequestHead {
  const bytes = Buffer.from(`GET / HTTP/1.1\r\n${["Host: a", ...lines].join("\r\n")}\r\n\r\n`);
  const head = new RequestHead();
  head.reset();
  if (parseRequestHead(head, bytes, 0, bytes.length) <= 0) throw new Error("Write a valid head");
  return head;
}

/** What is read of the lines: nothing, or `FORMATS TRACE SPAN SAMPLING`. */
function read(...lines: readonly string[]): string {
  const context = new TraceContext();
  if (!context.read(headOf(lines).fields)) return "nothing";
  const { formats, words, sampling } = context;
  return `${formats} ${hexText(words, 0, 4)} ${hexText(words, 4, 2)} ${sampling}`;
}

const found = (formats: number, sampling: string, id: string = trace): string =>
  `${formats} ${id} ${span} ${sampling}`;

const { w3c, b3Single, b3Multi } = Format;

const table: readonly (readonly [title: string, lines: readonly string[], result: string])[] = [
  ["takes a traceparent", [`traceparent: 00-${trace}-${span}-01`], found(w3c, "yes")],
  ["takes the field in any case", [`TraceParent: 00-${trace}-${span}-00`], found(w3c, "no")],
  [
    "looks at the flag for sampling alone",
    [`traceparent: 00-${trace}-${span}-fe`],
    found(w3c, "no"),
  ],
  ["takes a later version", [`traceparent: cc-${trace}-${span}-01-more`], found(w3c, "yes")],
  ["refuses what follows version 00", [`traceparent: 00-${trace}-${span}-01-more`], "nothing"],
  [
    "refuses a later version that goes on without a dash",
    [`traceparent: cc-${trace}-${span}-01.`],
    "nothing",
  ],
  ["refuses version ff", [`traceparent: ff-${trace}-${span}-01`], "nothing"],
  ["refuses capital letters", [`traceparent: 00-${trace.toUpperCase()}-${span}-01`], "nothing"],
  ["refuses a trace of zeros", [`traceparent: 00-${"0".repeat(32)}-${span}-01`], "nothing"],
  ["refuses a span of zeros", [`traceparent: 00-${trace}-${"0".repeat(16)}-01`], "nothing"],
  ["refuses a short value", [`traceparent: 00-${trace}-${span}-0`], "nothing"],
  ["refuses flags that are no digits", [`traceparent: 00-${trace}-${span}-0x`], "nothing"],
  [
    "refuses two of them",
    [`traceparent: 00-${trace}-${span}-01`, `traceparent: 00-${trace}-${span}-01`],
    "nothing",
  ],
  ["takes b3", [`b3: ${trace}-${span}-1`], found(b3Single, "yes")],
  ["takes b3 with a parent", [`b3: ${trace}-${span}-0-${span}`], found(b3Single, "no")],
  ["takes b3 in debug as sampled", [`b3: ${trace}-${span}-d`], found(b3Single, "yes")],
  ["takes b3 without a decision", [`b3: ${trace}-${span}`], found(b3Single, "undecided")],
  [
    "takes b3 of 64 bits",
    [`b3: ${shortTrace}-${span}-1`],
    found(b3Single, "yes", shortTrace.padStart(32, "0")),
  ],
  ["refuses b3 with another decision", [`b3: ${trace}-${span}-2`], "nothing"],
  ["refuses b3 that is cut off", [`b3: ${trace}-${span}-`], "nothing"],
  ["refuses b3 with more than a parent", [`b3: ${trace}-${span}-1-${span}0`], "nothing"],
  ["finds no trace in a decision alone", ["b3: 0"], "nothing"],
  [
    "takes the fields of B3",
    [`X-B3-TraceId: ${trace}`, `X-B3-SpanId: ${span}`, "X-B3-Sampled: 1"],
    found(b3Multi, "yes"),
  ],
  [
    "takes the fields of B3 with the flag for debug",
    [`X-B3-TraceId: ${trace}`, `X-B3-SpanId: ${span}`, "X-B3-Flags: 1"],
    found(b3Multi, "yes"),
  ],
  [
    "takes the fields of B3 without a decision",
    [`X-B3-TraceId: ${trace}`, `X-B3-SpanId: ${span}`],
    found(b3Multi, "undecided"),
  ],
  ["refuses the fields of B3 without a span", [`X-B3-TraceId: ${trace}`], "nothing"],
  [
    "leaves a decision that it does not know undecided",
    [`X-B3-TraceId: ${trace}`, `X-B3-SpanId: ${span}`, "X-B3-Sampled: yes"],
    found(b3Multi, "undecided"),
  ],
  [
    "prefers W3C, and notes that B3 came as well",
    [`b3: ${shortTrace}-${span}-0`, `traceparent: 00-${trace}-${span}-01`],
    found(w3c | b3Single, "yes"),
  ],
  [
    "takes B3 where traceparent is malformed",
    ["traceparent: 00-1-2-3", `b3: ${trace}-${span}-1`],
    found(b3Single, "yes"),
  ],
  ["finds nothing in a head without them", ["tracestate: a=b", "baggage: c=d"], "nothing"],
];

for (const [title, lines, result] of table) {
  test(`read() ${title}`, (t) => {
    t.is(read(...lines), result);
  });
}

test("read() says nothing of the request before", (t) => {
  const context = new TraceContext();
  context.read(headOf([`b3: ${shortTrace}-${span}-d`]).fields);
  t.true(context.isShort && context.isDebug);
  t.false(context.read(headOf([]).fields));
  t.like(context, { formats: 0, sampling: "undecided", isShort: false, isDebug: false });
});

test("refusesTrace() finds a decision of B3 that comes without a trace", (t) => {
  t.true(refusesTrace(headOf(["X-B3-Sampled: 0"]).fields));
  t.false(refusesTrace(headOf(["X-B3-Sampled: 1"]).fields));
  t.false(refusesTrace(headOf([]).fields));
});

const text = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef-Aghd \t"), maxLength: 70 }),
  fc
    .tuple(
      fc.constantFrom("00", "01", "ff", "0g"),
      fc.constantFrom(trace, span),
      fc.constantFrom(span, trace),
    )
    .map((parts) => `${parts.join("-")}-01`),
);

test("read() takes of any traceparent what the grammar of the specification takes", (t) => {
  fc.assert(
    fc.property(text, (value) => {
      const isValid =
        /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/.test(
          value.trim(),
        ) && !(value.trim().startsWith("00") && value.trim().length > 55);
      t.is(read(`traceparent: ${value}`) !== "nothing", isValid);
    }),
  );
});

/** The lines that go on for a context that came in these formats. */
function written(formats: number, parts: { isShort?: boolean; isDebug?: boolean } = {}): string {
  const edit = new HeadEdit();
  const words = Uint32Array.of(0x0af76519, 0x16cd43dd, 0x8448eb21, 0x1c80319c, 1, 2, 3, 4);
  const { isShort = false, isDebug = false } = parts;
  const carried = { words, formats, flags: sampledFlag, isShort, isDebug };
  writeContext(edit, carried, 6, 4);
  return edit.names
    .slice(0, edit.count)
    .map((name, at) => `${name}: ${edit.values[at]}`)
    .join("\n");
}

test("writeContext() writes the formats that came, and no other", (t) => {
  t.is(written(w3c), `traceparent: 00-${trace}-0000000300000004-01`);
  t.is(written(b3Single), `b3: ${trace}-0000000300000004-1-0000000100000002`);
  t.is(
    written(b3Multi),
    `x-b3-traceid: ${trace}\nx-b3-spanid: 0000000300000004\nx-b3-parentspanid: 0000000100000002\nx-b3-sampled: 1`,
  );
  t.is(written(w3c | b3Single | b3Multi).split("\n").length, 6);
});

test("writeContext() keeps a trace of 64 bits and the flag for debug as they came", (t) => {
  t.is(
    written(b3Single, { isShort: true, isDebug: true }),
    `b3: ${shortTrace}-0000000300000004-d-0000000100000002`,
  );
  t.notRegex(written(b3Multi, { isDebug: true }), /x-b3-sampled/);
});
