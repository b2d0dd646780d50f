/**
 * The issuer in use, as its folder says at the moment, and the certificate that it signs for itself. New files are taken as a
 * whole or not at all: while one of them is missing or does not fit the others, the issuer in use stays.
 */
import { describeFaults } from "../core/std/result.ts";
import type { Timers } from "../edge/grpc/timers.ts";
import { CredentialSlot } from "../edge/identity/credential-slot.ts";
import type { Log } from "../edge/telemetry/log.ts";
import { issueCertificate, randomSerial } from "../edge/x509/certificate.ts";
import { makeKeyPair } from "../edge/x509/key-pair.ts";
import { certificateToPem } from "../edge/x509/pem.ts";
import { type Issuer, loadIssuer } from "./ca.ts";

/** A mounted Secret is a minute behind anyway. */
export const issuerPollMs = 10_000;

/** Callers compare only the name and the chain, so what counts is that the clocks of all of them agree with it. */
const ownSkewMs = 60_000;
/** Signed anew after half of it, at no cost, so that a clock that jumps finds a good one. */
const ownLifetimeMs = 86_400_000;

export type KeepIssuerOptions = {
  readonly folder: string;
  readonly issuer: Issuer;
  /** Undefined: nothing is signed for itself. */
  readonly ownName: string | undefined;
  readonly timers: Timers;
  readonly now: () => number;
  readonly log: Log;
};

export class KeptIssuer {
  readonly shown: CredentialSlot = new CredentialSlot();
  readonly #options: KeepIssuerOptions;
  #issuer: Issuer;
  #failure = "";
  #signedMs = 0;
  #callOff: () => void;

  constructor(options: KeepIssuerOptions) {
    this.#options = options;
    this.#issuer = options.issuer;
    this.#sign();
    this.#callOff = this.#later();
  }

  get current(): Issuer {
    return this.#issuer;
  }

  close(): void {
    this.#callOff();
  }

  #later(): () => void {
    return this.#options.timers.after(issuerPollMs, () => {
      this.#look();
      this.#callOff = this.#later();
    });
  }

  #look(): void {
    const { folder, log, now } = this.#options;
    const read = loadIssuer(folder);
    if (!read.ok) {
      const reason = describeFaults(read.faults);
      if (reason !== this.#failure) log.warn("issuer_unusable", { folder, reason });
      this.#failure = reason;
    } else if (!isSame(read.value, this.#issuer)) {
      this.#issuer = read.value;
      this.#failure = "";
      log.info("issuer_changed", { folder, notAfter: new Date(read.value.notAfterMs) });
      this.#sign();
    }
    if (now() - this.#signedMs > ownLifetimeMs / 2) this.#sign();
  }

  #sign(): void {
    const { ownName, now } = this.#options;
    const nowMs = now();
    this.#signedMs = nowMs;
    if (ownName === undefined) return;
    const { signer, intermediates, notAfterMs } = this.#issuer;
    const { publicKey, privateKey } = makeKeyPair();
    const leaf = issueCertificate({
      issuer: signer,
      name: ownName,
      altNames: [{ kind: "dns", value: ownName }],
      publicKey,
      notBeforeMs: nowMs - ownSkewMs,
      notAfterMs: Math.min(nowMs + ownLifetimeMs, notAfterMs),
      serial: randomSerial(),
    });
    this.shown.put({
      certificateChain: [leaf, ...intermediates].map(certificateToPem).join(""),
      privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
      // Callers are not asked for certificates: the first one is what they come for.
      trustAnchors: certificateToPem(signer.certificate),
    });
  }
}

function isSame(left: Issuer, right: Issuer): boolean {
  const chain = ({ signer, intermediates }: Issuer): Buffer =>
    Buffer.concat([signer.certificate, ...intermediates]);
  return chain(left).equals(chain(right)) && left.signer.key.equals(right.signer.key);
}
