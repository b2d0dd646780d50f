/** Header fields that only proxies of the mesh write. */
import type { Fields } from "../codec/header-list.ts";
import type { HeadEdit } from "../codec/http1-write.ts";
import { privatePrefix } from "../core/decide/private-name.ts";

const none: ReadonlySet<string> = new Set();

/** Leaves out all of them, except those of the names `kept`. */
export function dropPrivateFields(
  fields: Fields,
  edit: HeadEdit,
  kept: ReadonlySet<string> = none,
): void {
  for (let i = 0; i < fields.count; i++) {
    // The first letter alone rules out nearly every field (`benchmarks/proxy/exchange.ts`).
    if (((fields.bytes[fields.spans[4 * i] as number] as number) | 0x20) !== 0x6c) continue;
    if (fields.hasPrefix(i, privatePrefix) && !kept.has(fields.name(i))) edit.dropField(i);
  }
}
