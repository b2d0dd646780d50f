/** A certificate authority for tests, and the snapshots that a sidecar's main thread would make of its certificates. */
import {
  issueCertificate,
  randomSerial,
  type Signer,
  selfSignedCa,
} from "../../src/edge/x509/certificate.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import type { IdentitySnapshot } from "../../src/thread/messages.ts";

const dayMs = 86_400_000;

export class TestCa {
  readonly #keyPair = makeKeyPair();
  readonly #certificate: Buffer;
  readonly pem: string;

  constructor(name: string = "ca") {
    const nowMs = Date.now();
    this.#certificate = selfSignedCa({
      name,
      keyPair: this.#keyPair,
      notBeforeMs: nowMs - dayMs,
      notAfterMs: nowMs + dayMs,
      serial: randomSerial(),
    });
    this.pem = certificateToPem(this.#certificate);
  }

  /** For certificates that `issue` does not make. */
  get signer(): Signer {
    return { certificate: this.#certificate, key: this.#keyPair.privateKey };
  }

  /** `trusting` replaces the anchors that the holder trusts. */
  issue(
    names: readonly string[],
    trusting: TestCa = this,
    lifeMs: number = dayMs,
  ): IdentitySnapshot {
    const keyPair = makeKeyPair();
    const nowMs = Date.now();
    const leaf = issueCertificate({
      issuer: this.signer,
      name: names[0] ?? "",
      altNames: names.map((value) => ({ kind: "dns", value })),
      publicKey: keyPair.publicKey,
      notBeforeMs: nowMs - dayMs,
      notAfterMs: nowMs + lifeMs,
      serial: randomSerial(),
    });
    return {
      kind: "identity",
      revision: 1,
      name: names[0] ?? "",
      certificateChain: certificateToPem(leaf),
      privateKey: keyPair.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
      trustAnchors: trusting.pem,
    };
  }
}
