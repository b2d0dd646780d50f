import test from "ava";
import { toStrictSchema } from "../../../src/edge/schema/strict-schema.ts";

test("toStrictSchema() takes no field that an object does not list, at any depth", (t) => {
  const leaf = { type: "object", properties: { a: { type: "string" } } };
  const strict = { ...leaf, additionalProperties: false };
  t.deepEqual(
    toStrictSchema({
      type: "object",
      properties: {
        one: leaf,
        many: { type: "array", items: leaf },
        map: { type: "object", additionalProperties: leaf },
      },
    }),
    {
      type: "object",
      properties: {
        one: strict,
        many: { type: "array", items: strict },
        map: { type: "object", additionalProperties: strict },
      },
      additionalProperties: false,
    },
  );
});

test("toStrictSchema() lets an object keep unknown fields that is marked so", (t) => {
  const schema = { type: "object", properties: {}, "x-kubernetes-preserve-unknown-fields": true };
  t.deepEqual(toStrictSchema(schema), { type: "object", properties: {} });
});

test("toStrictSchema() reads the marks of Kubernetes", (t) => {
  t.deepEqual(toStrictSchema({ "x-kubernetes-int-or-string": true }), {
    type: ["integer", "string"],
  });
  t.deepEqual(toStrictSchema({ type: "string", nullable: true }), { type: ["string", "null"] });
  t.deepEqual(toStrictSchema({ type: "array", "x-kubernetes-list-type": "set" }), {
    type: "array",
    uniqueBy: [],
  });
  t.deepEqual(
    toStrictSchema({
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
    }),
    { type: "array", uniqueBy: ["name"] },
  );
  t.deepEqual(toStrictSchema({ type: "array", "x-kubernetes-list-type": "atomic" }), {
    type: "array",
  });
});

test("toStrictSchema() drops what says nothing about validity, but no field of that name", (t) => {
  t.deepEqual(
    toStrictSchema({
      type: "string",
      description: "x",
      default: "y",
      "x-kubernetes-validations": [],
    }),
    {
      type: "string",
    },
  );
  t.deepEqual(toStrictSchema({ type: "object", properties: { description: { type: "string" } } }), {
    type: "object",
    properties: { description: { type: "string" } },
    additionalProperties: false,
  });
});

test("toStrictSchema() leaves conditions as they are", (t) => {
  const oneOf = [{ required: ["a"] }, { required: ["b"] }];
  t.deepEqual(toStrictSchema({ type: "object", properties: {}, oneOf })["oneOf"], oneOf);
});
