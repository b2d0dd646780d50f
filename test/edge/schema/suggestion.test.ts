import test from "ava";
import { suggest } from "../../../src/edge/schema/suggestion.ts";

const fields = ["matches", "filters", "backendRefs", "timeouts", "name"];

for (const [word, expected] of [
  ["match", undefined],
  ["matchs", "matches"],
  ["mathces", "matches"],
  ["Matches", "matches"],
  ["backendrefs", "backendRefs"],
  ["backendRef", "backendRefs"],
  ["timeout", "timeouts"],
  ["nmae", "name"],
  ["nome", "name"],
  ["nam", "name"],
  ["nom", undefined],
  ["na", undefined],
  ["port", undefined],
  ["", undefined],
] as const) {
  test(`suggest() answers ${String(expected)} for ${JSON.stringify(word)}`, (t) => {
    t.is(suggest(word, fields), expected);
  });
}

test("suggest() prefers the nearest word", (t) => {
  t.is(
    suggest("podSelectors", ["podSelectorss", "podSelector", "podSelectorsss"]),
    "podSelectorss",
  );
});

test("suggest() keeps to a limit that is given", (t) => {
  t.is(suggest("TCPRoute", ["HTTPRoute"]), "HTTPRoute");
  t.is(suggest("TCPRoute", ["HTTPRoute"], 1), undefined);
});
