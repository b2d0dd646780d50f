import test from "ava";
import fc from "fast-check";
import { queryValue } from "../../../src/core/decide/query.ts";

const finds = test.macro({
  exec: (t, query: string, name: string, value: string | undefined) => {
    t.is(queryValue(query, name), value);
  },
  title: (_given, query: string, name: string, value: string | undefined) =>
    `queryValue() finds ${JSON.stringify(value)} for ${JSON.stringify(name)} in ${JSON.stringify(query)}`,
});

test(finds, "", "a", undefined);
test(finds, "a=1", "a", "1");
test(finds, "b=2&a=1", "a", "1");
test(finds, "a=1&a=2", "a", "1");
test(finds, "a", "a", "");
test(finds, "a=", "a", "");
test(finds, "a&a=1", "a", "");
test(finds, "ab=1&ba=2", "a", undefined);
test(finds, "a=b=c", "a", "b=c");
test(finds, "&&a=1&", "a", "1");
test(finds, "=1", "", undefined);
test(finds, "A=1", "a", undefined);
test(finds, "%61=1", "a", "1");
test(finds, "a+b=c+d", "a b", "c d");
test(finds, "a+b=c", "a+b", undefined);
test(finds, "a%2Bb=c%2bd", "a+b", "c+d");
test(finds, "a=%C3%A9", "a", "é");
test(finds, "a=%E2%82%AC%F0%9F%90%8B", "a", "€🐋");
test(finds, "a=%", "a", "%");
test(finds, "a=%zz%4", "a", "%zz%4");
test(finds, "a=x%FFy", "a", "x\ufffdy");
test(finds, "a=%E9%AA", "a", "\ufffd");
test(finds, "a=%E0%80%ED%A0%F4%90%F0%9F%90x", "a", "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdx");
test(finds, "a=\u00c3\u00a9", "a", "é");
test(finds, "a=%26b%3D1", "a", "&b=1");

test("queryValue() reads what the URL standard reads", (t) => {
  const text = fc
    .array(
      fc.constantFrom(
        "a",
        "b",
        "=",
        "&",
        "+",
        "%",
        "%61",
        "%C3%A9",
        "%20",
        "%2",
        "%E9",
        "%A9",
        "%ED",
        "%F0",
        "%9F",
        "%F4",
      ),
    )
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, fc.constantFrom("a", "b", "aa", "é", "a b", "%"), (query, name) => {
      t.is(queryValue(query, name), new URLSearchParams(query).get(name) ?? undefined);
    }),
    { numRuns: 5_000 },
  );
});
