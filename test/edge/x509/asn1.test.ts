import test from "ava";
import { decodeDer, encodeDer, positiveInteger } from "../../../src/edge/x509/asn1.ts";

for (const [what, hex] of [
  ["nothing", ""],
  ["a tag without a length", "30"],
  ["a length beyond the end", "300105"],
  ["bytes behind the end", "050000"],
  ["an indefinite length", "30800500 0000"],
  ["a length with a leading zero", "3082000205 00"],
  ["a long length for a short value", "3081020500"],
  ["an integer with a leading zero", "02020001"],
  ["an integer with leading ones", "0202ff80"],
  ["a tag number that takes more than a byte", "1f00"],
  ["such a tag inside", "30021f00"],
] as const) {
  test(`decodeDer() refuses ${what}`, (t) => {
    t.is(decodeDer(Buffer.from(hex.replaceAll(" ", ""), "hex")), undefined);
  });
}

for (const hex of ["0500", "30020500", "020100", "0201ff", "02020080", "a003020102", "82016a"]) {
  test(`decodeDer() reads ${hex} and encodeDer() writes it again`, (t) => {
    const element = decodeDer(Buffer.from(hex, "hex"));
    t.is(element === undefined ? undefined : encodeDer(element).toString("hex"), hex);
  });
}

for (const [bytes, hex] of [
  [[], "020100"],
  [[0, 0], "020100"],
  [[0, 1], "020101"],
  [[0x7f], "02017f"],
  [[0x80], "02020080"],
] as const) {
  test(`positiveInteger() writes ${JSON.stringify(bytes)} as ${hex}`, (t) => {
    t.is(encodeDer(positiveInteger(Uint8Array.from(bytes))).toString("hex"), hex);
  });
}
