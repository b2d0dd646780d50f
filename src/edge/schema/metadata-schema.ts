/** ObjectMeta, the same for all kinds. Every field of it is listed, so that a misspelt one is found. */
import type { JsonSchema } from "./strict-schema.ts";

const text: JsonSchema = { type: "string", nullable: true };
const time: JsonSchema = { ...text, format: "date-time" };
const count: JsonSchema = { type: "integer", nullable: true, minimum: 0 };
const anyList: JsonSchema = {
  type: "array",
  nullable: true,
  items: { "x-kubernetes-preserve-unknown-fields": true },
};
/** Values are text even when they look like numbers: `"25"`, `"true"`. */
const textMap: JsonSchema = {
  type: "object",
  nullable: true,
  additionalProperties: { type: "string" },
};

export const metadataSchema: JsonSchema = {
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string" },
    namespace: text,
    labels: textMap,
    annotations: textMap,
    generateName: text,
    uid: text,
    resourceVersion: text,
    selfLink: text,
    generation: count,
    creationTimestamp: time,
    deletionTimestamp: time,
    deletionGracePeriodSeconds: count,
    ownerReferences: anyList,
    finalizers: anyList,
    managedFields: anyList,
  },
};
