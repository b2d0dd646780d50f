/** A root, an issuer below it and leaves of any shape, for tests about certificates. */
import type { KnownAltName } from "../../../src/edge/x509/alt-name.ts";
import {
  issueCertificate,
  randomSerial,
  type Signer,
  selfSignedCa,
} from "../../../src/edge/x509/certificate.ts";
import { type KeyPair, makeKeyPair } from "../../../src/edge/x509/key-pair.ts";

export const startMs: number = Date.UTC(2026, 0, 1);
export const endMs: number = Date.UTC(2036, 0, 1);
const years = { notBeforeMs: startMs, notAfterMs: endMs };

export type Authority = { readonly root: Signer; readonly issuer: Signer };

export function makeAuthority(): Authority {
  const rootPair = makeKeyPair();
  const issuerPair = makeKeyPair();
  const root = {
    certificate: selfSignedCa({
      keyPair: rootPair,
      name: "root",
      serial: randomSerial(),
      ...years,
    }),
    key: rootPair.privateKey,
  };
  const certificate = issueCertificate({
    issuer: root,
    name: "issuer",
    altNames: [],
    publicKey: issuerPair.publicKey,
    serial: randomSerial(),
    ca: { pathLength: 0 },
    ...years,
  });
  return { root, issuer: { certificate, key: issuerPair.privateKey } };
}

export function makeLeaf(
  issuer: Signer,
  altNames: readonly KnownAltName[],
  keyPair: KeyPair = makeKeyPair(),
): Buffer {
  return issueCertificate({
    issuer,
    name: altNames[0]?.value ?? "nobody",
    altNames,
    publicKey: keyPair.publicKey,
    serial: randomSerial(),
    ...years,
  });
}
