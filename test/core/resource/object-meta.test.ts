import test from "ava";
import { parseNamespace } from "../../../src/core/resource/namespace.ts";
import { parseServer } from "../../../src/core/resource/server.ts";
import { parseService } from "../../../src/core/resource/service.ts";
import { edit, faultsOf, type Manifest, namespace, parsed, server, service } from "./manifests.ts";

test("metadata is read, with defaults for what files leave out", (t) => {
  const bare = { ...server, metadata: { name: "a.b" } };
  t.deepEqual(parsed(parseServer(bare)).meta, {
    name: "a.b",
    namespace: "default",
    labels: new Map(),
    annotations: new Map(),
    creationTimestampMs: 0,
    generation: 1,
  });
});

test("metadata is read in full", (t) => {
  const metadata = {
    name: "a",
    namespace: "b",
    labels: { x: "1" },
    annotations: { "a.b/c": "2" },
    creationTimestamp: "2024-01-01T00:00:00.5Z",
    generation: 7,
  };
  t.deepEqual(parsed(parseServer({ ...server, metadata })).meta, {
    name: "a",
    namespace: "b",
    labels: new Map([["x", "1"]]),
    annotations: new Map([["a.b/c", "2"]]),
    creationTimestampMs: 1_704_067_200_500,
    generation: 7,
  });
});

test("a label named like a part of every object is a label", (t) => {
  const labels = JSON.parse('{"__proto__":"a","constructor":"b"}') as unknown;
  const meta = parsed(parseServer(edit(server, "metadata.labels", labels))).meta;
  t.deepEqual(
    [...meta.labels],
    [
      ["__proto__", "a"],
      ["constructor", "b"],
    ],
  );
});

const dnsName = "a DNS name (RFC 1123: a-z, 0-9, - and ., at most 253 characters)";
const dnsLabel = "a DNS label (RFC 1123: a-z, 0-9 and -, at most 63 characters)";
const serviceName =
  "a DNS label that starts with a letter (RFC 1035: a-z, 0-9 and -, at most 63 characters)";

const refused: readonly [string, unknown, string][] = [
  ["metadata.name", undefined, "metadata.name: is required"],
  ["metadata.name", 5, "metadata.name: must be text, is 5"],
  ["metadata.name", "A", `metadata.name: must be ${dnsName}, is "A"`],
  ["metadata.name", "a_b", `metadata.name: must be ${dnsName}, is "a_b"`],
  ["metadata.namespace", "a.b", `metadata.namespace: must be ${dnsLabel}, is "a.b"`],
  ["metadata.namespace", "", `metadata.namespace: must be ${dnsLabel}, is ""`],
  ["metadata.labels", { a: 1 }, "metadata.labels.a: must be text, is 1"],
  [
    "metadata.creationTimestamp",
    "yesterday",
    'metadata.creationTimestamp: must be a time like "2006-01-02T15:04:05Z" (RFC 3339), is "yesterday"',
  ],
  ["metadata.generation", -1, "metadata.generation: must be a whole number of at least 0, is -1"],
];

for (const [path, value, fault] of refused) {
  test(`metadata: ${fault}`, (t) => {
    t.true(faultsOf(parseServer(edit(server, path, value))).includes(fault));
  });
}

const names: readonly [Manifest, (json: unknown) => ReturnType<typeof parseServer>, string][] = [
  [service, parseService as never, `metadata.name: must be ${serviceName}, is "0a"`],
  [service, parseService as never, `metadata.name: must be ${serviceName}, is "a.b"`],
  [namespace, parseNamespace as never, `metadata.name: must be ${dnsLabel}, is "a.b"`],
];

for (const [manifest, parse, fault] of names) {
  test(`${String(manifest["kind"])} ${fault}`, (t) => {
    const [, name = ""] = /is "(.*)"$/.exec(fault) ?? [];
    t.deepEqual(faultsOf(parse(edit(manifest, "metadata.name", name))), [fault]);
  });
}

test("a Namespace lies in no namespace", (t) => {
  t.is(parsed(parseNamespace(namespace)).meta.namespace, "");
  t.deepEqual(faultsOf(parseNamespace(edit(namespace, "metadata.namespace", "demo"))), [
    "metadata.namespace: must be absent: objects of this kind lie in no namespace",
  ]);
});
