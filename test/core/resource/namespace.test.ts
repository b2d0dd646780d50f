import test from "ava";
import { parseNamespace } from "../../../src/core/resource/namespace.ts";
import { namespace, parsed } from "./manifests.ts";

test("parseNamespace() reads a namespace", (t) => {
  const { kind, group, meta } = parsed(parseNamespace(namespace));
  t.is(kind, "Namespace");
  t.is(group, "");
  t.is(meta.name, "demo");
  t.deepEqual(meta.labels, new Map([["team", "a"]]));
});
