import type { MessageInitShape } from "@bufbuild/protobuf";
import { defaultMeta, type Meta, resourceMeta } from "../model/meta.ts";
import { report, type Trace } from "./decode.ts";
import type { Metadata, MetadataSchema } from "./gen/linkerd/meta_pb.ts";

/** What stands for the name of a part that came without one. */
export const unnamed: Meta = defaultMeta("unnamed");

/** The contract spells the core API group out, because Linkerd's proxy refuses an empty group. */
const coreGroup = "core";

export function toWireMeta(meta: Meta): MessageInitShape<typeof MetadataSchema> {
  if (meta.type === "default") return { kind: { case: "default", value: meta.name } };
  const { group, kind, namespace, name, section, port } = meta;
  const value = { group: group || coreGroup, kind, namespace, name, section, port };
  return { kind: { case: "resource", value } };
}

/** Names decide nothing, so what is wrong with one is noted and no more. */
export function fromWireMeta(metadata: Metadata | undefined, trace: Trace): Meta {
  const kind = metadata?.kind;
  switch (kind?.case) {
    case "default":
      return defaultMeta(kind.value);
    case "resource": {
      const { group, kind: ofKind, namespace, name, section, port } = kind.value;
      if (name === "" || ofKind === "") report(trace, "must have a kind and a name");
      const isPort = port <= 65_535;
      if (!isPort) report(trace, `must have a port up to 65535, not ${port}`);
      return resourceMeta({
        group,
        kind: ofKind,
        namespace,
        name,
        section,
        port: isPort ? port : 0,
      });
    }
    case undefined:
      report(trace, "is missing");
      return unnamed;
  }
}
