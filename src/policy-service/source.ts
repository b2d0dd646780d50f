/** Where resources come from, as `--source` names it. */
import { statSync } from "node:fs";
import { fail, fault, ok, type Result } from "../core/std/result.ts";

/** A folder of YAML and JSON files, watched. */
export type Source = { readonly kind: "files"; readonly dir: string };

const known = '"files:DIR", a folder of YAML and JSON files';

export function parseSource(text: string): Result<Source> {
  const colon = text.indexOf(":");
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? "" : text.slice(colon + 1);
  if (kind !== "files") {
    return fail(fault("source", `use ${known}: there is no source ${JSON.stringify(kind)}`));
  }
  if (rest === "") return fail(fault("source", `name the folder: ${known}`));
  if (rest.includes("\0")) return fail(fault("source", "name a folder without NUL in its path"));
  // Later it may go and come back; at the start a folder that is not there is a slip of the pen.
  if (!isFolder(rest)) {
    return fail(fault("source", `create the folder ${JSON.stringify(rest)}, or name another`));
  }
  return ok({ kind: "files", dir: rest });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
