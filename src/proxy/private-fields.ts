/** Header fields that only proxies of the mesh write. */
import type { Fields } from "../codec/header-list.ts";
import type { HeadEdit } from "../codec/http1-write.ts";

/** With dashes; underscores count as dashes, because many servers make no difference between the two. */
const privatePrefix = "l5d-";

/** Leaves out all of them, except the one of the name `kept`. */
export function dropPrivateFields(fields: Fields, edit: HeadEdit, kept: string = ""): void {
  for (let i = 0; i < fields.count; i++) {
    // The first letter alone rules out nearly every field (`benchmarks/proxy/exchange.ts`).
    if (((fields.bytes[fields.spans[4 * i] as number] as number) | 0x20) !== 0x6c) continue;
    if (fields.hasPrefix(i, privatePrefix) && fields.name(i) !== kept) edit.dropField(i);
  }
}

/** Whether a name in lower case is one of them. */
export function isPrivateName(name: string): boolean {
  return name.charCodeAt(0) === 0x6c && name.replaceAll("_", "-").startsWith(privatePrefix);
}
