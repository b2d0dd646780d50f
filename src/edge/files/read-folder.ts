/** A folder of manifests, read once. */
import type { SchemaSet } from "../schema/schema-set.ts";
import { FolderSource } from "./folder-source.ts";
import { defaultMaxFiles } from "./list-folder.ts";
import type { SourceSnapshot } from "./source-snapshot.ts";

export type ReadFolderOptions = {
  readonly dir: string;
  readonly schemas: SchemaSet;
  readonly maxFiles?: number;
};

/** Never fails: a folder that cannot be read is a snapshot that says so. */
export async function readFolder(options: ReadFolderOptions): Promise<SourceSnapshot> {
  const { dir, schemas, maxFiles = defaultMaxFiles } = options;
  const source = new FolderSource({ dir, schemas, maxFiles, onFolder: () => {}, now: Date.now });
  const { snapshot } = await source.scan();
  if (snapshot === undefined)
    throw new Error("Cannot read folder: the first scan made no snapshot");
  return snapshot;
}
