import test from "ava";
import { isP256, makeKeyPair, parseP256PublicKey } from "../../../src/edge/x509/key-pair.ts";

const { publicKey, privateKey } = makeKeyPair();
const spki = publicKey.export({ format: "der", type: "spki" });
/** The last 65 bytes are the point: its form and its coordinates. */
const pointAt = spki.length - 65;

function bent(at: number, byte: number): Buffer {
  const copy = Buffer.from(spki);
  copy[at] = byte;
  return copy;
}

test("makeKeyPair() makes a P-256 pair", (t) => {
  t.true(isP256(publicKey));
  t.true(isP256(privateKey));
});

test("parseP256PublicKey() reads what node:crypto writes", (t) => {
  t.true(parseP256PublicKey(spki)?.equals(publicKey));
});

test("parseP256PublicKey() refuses the hybrid form of a point", (t) => {
  const parity = (spki.at(-1) ?? 0) & 1;
  t.is(parseP256PublicKey(bent(pointAt, 6 + parity)), undefined);
});

test("parseP256PublicKey() refuses the compressed form of a point", (t) => {
  const compressed = Buffer.concat([
    Buffer.of(spki.readUInt8(0), spki.readUInt8(1) - 32),
    spki.subarray(2, pointAt - 2),
    Buffer.of(spki.readUInt8(pointAt - 2) - 32, 0, 2 + ((spki.at(-1) ?? 0) & 1)),
    spki.subarray(pointAt + 1, pointAt + 33),
  ]);
  t.is(parseP256PublicKey(compressed), undefined);
});

test("parseP256PublicKey() refuses a point that is not on the curve", (t) => {
  t.is(parseP256PublicKey(bent(spki.length - 1, (spki.at(-1) ?? 0) ^ 1)), undefined);
});
