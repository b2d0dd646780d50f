/**
 * Field values are octets on the wire and strings in the model. The control plane has text and sends it as UTF-8; the data plane compares and writes octets, so it reads
 * each octet as one character (Latin-1), as it does with the requests it receives. For ASCII the two are the same.
 */
import { getTextEncoding } from "@bufbuild/protobuf/wire";

export function toOctets(text: string): Uint8Array<ArrayBuffer> {
  return getTextEncoding().encodeUtf8(text);
}

export function fromOctets(octets: Uint8Array): string {
  let text = "";
  for (const octet of octets) text += String.fromCharCode(octet);
  return text;
}
