/** HPACK's static table (RFC 7541 appendix A), as bytes and as the numbers by which field names are recognised. */
import { knownId } from "../header-list.ts";
import { WordTable } from "../word-table.ts";
import { Pseudo, pseudoNames } from "./header-block.ts";

/** How many entries there are; indexes above belong to the dynamic table. */
export const staticCount = 61;

const entries: readonly (readonly [string, string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  ...[200, 204, 206, 304, 400, 404, 500].map((status) => [":status", `${status}`] as const),
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...[
    ..."accept-language accept-ranges accept access-control-allow-origin age allow".split(" "),
    ..."authorization cache-control content-disposition content-encoding".split(" "),
    ..."content-language content-length content-location content-range content-type".split(" "),
    ..."cookie date etag expect expires from host if-match if-modified-since".split(" "),
    ..."if-none-match if-range if-unmodified-since last-modified link location".split(" "),
    ..."max-forwards proxy-authenticate proxy-authorization range referer refresh".split(" "),
    ..."retry-after server set-cookie strict-transport-security transfer-encoding".split(" "),
    ..."user-agent vary via www-authenticate".split(" "),
  ].map((name) => [name, ""] as const),
];

/** All entries behind each other, names and values. */
export const staticBytes: Buffer = Buffer.from(entries.flat().join(""), "latin1");

/** By index: where the name begins, where the value begins (the name's end), where the value ends. */
export const staticSpans: Int32Array = new Int32Array(3 * (staticCount + 1));

/** By index: the field's number (`FieldId` of `header-block.ts`). */
export const staticIds: Uint8Array = new Uint8Array(staticCount + 1);

let offset = 0;
for (const [at, [name, value]] of entries.entries()) {
  const slot = 3 * (at + 1);
  staticSpans[slot] = offset;
  staticSpans[slot + 1] = offset + name.length;
  offset += name.length + value.length;
  staticSpans[slot + 2] = offset;
  staticIds[at + 1] = pseudoNames.get(name) ?? knownId(name);
}

/** The regular names that stand in the table, each once. */
const names: readonly string[] = entries
  .map(([name]) => name)
  .filter((name) => !name.startsWith(":"));
const nameTable: WordTable = new WordTable(names);
const firstName: number = staticCount - names.length;

/** The static index of a regular name in any case, or 0. */
export function staticNameIndex(bytes: Uint8Array, start: number, end: number): number {
  const id = nameTable.find(bytes, start, end);
  return id === 0 ? 0 : firstName + id;
}

/** The index whose name is the pseudo-field, for a literal value. `:protocol` has none. */
export const pseudoIndex: ReadonlyMap<number, number> = new Map([
  [Pseudo.authority, 1],
  [Pseudo.method, 2],
  [Pseudo.path, 4],
  [Pseudo.scheme, 6],
  [Pseudo.status, 8],
]);
