import { readFileSync } from "node:fs";
import type { DescEnum, DescField, DescMessage, DescService } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import test from "ava";
import { declarations } from "./descriptors.ts";

/** `contract.txt`: blocks of a name and its members, in any order. */
function readContract(): ReadonlyMap<string, readonly string[]> {
  const text = readFileSync(new URL("contract.txt", import.meta.url), "utf8");
  const blocks = text
    .replaceAll(/^#.*\n/gm, "")
    .trim()
    .split(/\n\n+/);
  return new Map(
    blocks.map((block) => {
      const [name = "", ...members] = block.split("\n");
      return [name, members.toSorted()];
    }),
  );
}

function relative(typeName: string): string {
  return typeName.replace(/^io\.linkerd\.proxy\./, "");
}

function describe(declared: DescMessage | DescEnum | DescService): readonly string[] {
  switch (declared.kind) {
    case "service":
      return declared.methods.map((method) => {
        const stream = method.methodKind === "server_streaming" ? "stream " : "";
        const kinds = ["unary", "server_streaming"];
        const kind = kinds.includes(method.methodKind) ? "" : ` ${method.methodKind}`;
        return `${method.name} ${relative(method.input.typeName)} ${stream}${relative(method.output.typeName)}${kind}`;
      });
    case "enum":
      return declared.values.map((value) => `${value.name} ${value.number}`);
    case "message":
      return [
        ...declared.fields.map(describeField),
        ...declared.proto.reservedRange.map(({ start, end }) =>
          end === start + 1 ? `reserved ${start}` : `reserved ${start} to ${end - 1}`,
        ),
      ];
  }
}

function describeField(field: DescField): string {
  const oneof = field.oneof === undefined ? "" : ` {${field.oneof.name}}`;
  const optional = field.proto.proto3Optional ? " optional" : "";
  const deprecated = field.deprecated ? " deprecated" : "";
  return `${field.number} ${field.name} ${fieldType(field)}${oneof}${optional}${deprecated}`;
}

function fieldType(field: DescField): string {
  if (field.fieldKind === "map") {
    return `map<${scalarName(field.mapKey)},${elementType(field)}>`;
  }
  return field.fieldKind === "list" ? `repeated ${elementType(field)}` : elementType(field);
}

function elementType(field: DescField): string {
  if (field.message !== undefined) return relative(field.message.typeName);
  if (field.enum !== undefined) return relative(field.enum.typeName);
  return scalarName(field.scalar);
}

function scalarName(type: ScalarType): string {
  const name = Object.entries(ScalarType).find(([, value]) => value === type)?.[0];
  return String(name).toLowerCase();
}

const contract = readContract();

test("the contract names what the generated files declare, and nothing else", (t) => {
  const declared = [...declarations()].map(({ typeName }) => relative(typeName));
  t.deepEqual(declared.toSorted(), [...contract.keys()].toSorted());
});

for (const declared of declarations()) {
  const name = relative(declared.typeName);
  test(`${declared.kind} ${name} has the names, numbers, types and oneofs of the contract`, (t) => {
    t.deepEqual(describe(declared).toSorted(), contract.get(name));
  });
}
