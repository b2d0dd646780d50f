import test from "ava";
import { isFieldValue, isToken, toFieldText } from "../../../src/core/std/field.ts";

test("isToken() takes the characters of RFC 9110 §5.6.2", (t) => {
  t.true(isToken("X-Request_Id.1!#$%&'*+^`|~"));
  for (const text of ["", "a b", "a:b", "a\r\n", "é", "a/b", '"a"', "a,b"]) {
    t.false(isToken(text), JSON.stringify(text));
  }
});

test("isFieldValue() refuses control characters", (t) => {
  for (const text of ["", "a b\tc", "\u00e9", "é€🐋", "~"]) t.true(isFieldValue(text));
  for (const text of ["a\r\nb: c", "\n", "\u0000", "\u007f", "\u001f"]) {
    t.false(isFieldValue(text), JSON.stringify(text));
  }
});

test("toFieldText() keeps visible ASCII and cuts the rest", (t) => {
  t.is(toFieldText("a\r\né b", 100), "a??? b");
  t.is(toFieldText("abcdef", 6), "abcdef");
  t.is(toFieldText("abcdefg", 6), "abc...");
});
