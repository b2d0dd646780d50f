/**
 * The issuer's own certificate, key and trust anchors: three PEM files in one folder. They are read and checked as a whole
 * before anything is served, so that a wrong pair shows at the start and not in every peer's handshake.
 *
 * An empty or missing folder is filled on the first start: a root, an issuer below it, and no root key, which is dropped
 * after its one signature. What leaves and peers then see is the same shape as with certificates from elsewhere. The
 * folder appears by one rename: another process sees all three files or none, and of two that start at once one wins.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Fault, fail, fault, ok, type Result } from "../core/std/result.ts";
import {
  issueCertificate,
  randomSerial,
  type Signer,
  selfSignedCa,
} from "../edge/x509/certificate.ts";
import { isP256, makeKeyPair } from "../edge/x509/key-pair.ts";
import { asCertificate, certificateToPem, parseCertificates } from "../edge/x509/pem.ts";

export type Issuer = {
  readonly signer: Signer;
  /** DER of what stands between a leaf and its trust anchor, the issuer first, the anchor left out. */
  readonly intermediates: readonly Buffer[];
  /** The earliest expiry from the issuer to the anchor: no leaf may outlive it. */
  readonly notAfterMs: number;
};

export const issuerCertificateFile = "issuer.crt";
export const issuerKeyFile = "issuer.key";
export const trustAnchorsFile = "ca.crt";

/** Nobody renews what a first start has made, so it must outlive the mesh that it was made for. */
const ownLifetimeMs = 10 * 365 * 86_400_000;
/** So that a peer whose clock is behind accepts a mesh that was just made. */
const ownSkewMs = 3_600_000;

/** Reads the folder, after filling it when there is nothing in it. `made` says whether that happened. */
export function loadOrMakeIssuer(
  folder: string,
  nowMs: number,
): Result<{ readonly issuer: Issuer; readonly made: boolean }> {
  let made = false;
  try {
    made = isEmpty(folder) && makeIssuer(folder, nowMs);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return fail(
      fault(folder, `make the folder writable or put the issuer's files there: ${reason}`),
    );
  }
  const issuer = loadIssuer(folder);
  return issuer.ok ? ok({ issuer: issuer.value, made }) : issuer;
}

export function loadIssuer(folder: string): Result<Issuer> {
  const faults: Fault[] = [];
  const chain = readCertificates(join(folder, issuerCertificateFile), faults);
  const anchors = readCertificates(join(folder, trustAnchorsFile), faults);
  const key = readKey(join(folder, issuerKeyFile), faults);
  const [issuer] = chain;
  if (faults.length > 0 || issuer === undefined || key === undefined) return fail(...faults);
  if (!issuer.ca)
    faults.push(fault(join(folder, issuerCertificateFile), "put a CA certificate first"));
  if (!issuer.checkPrivateKey(key)) {
    faults.push(
      fault(
        join(folder, issuerKeyFile),
        `use the key of the first certificate in "${issuerCertificateFile}"`,
      ),
    );
  }
  const top = linkChain(chain, anchors);
  if (top === undefined) {
    const reason = `order the chain from the issuer up to one that "${trustAnchorsFile}" holds or has issued`;
    faults.push(fault(join(folder, issuerCertificateFile), reason));
  }
  if (top === undefined || faults.length > 0) return fail(...faults);
  return ok({
    signer: { certificate: issuer.raw, key },
    intermediates: top.below.map(({ raw }) => raw),
    notAfterMs: Math.min(
      ...[...top.below, top.anchor].map(({ validToDate }) => validToDate.getTime()),
    ),
  });
}

type LinkedChain = { readonly below: readonly X509Certificate[]; readonly anchor: X509Certificate };

/** Follows the signatures upwards to the first certificate that is an anchor or comes directly from one. */
function linkChain(
  chain: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
): LinkedChain | undefined {
  for (const [at, certificate] of chain.entries()) {
    const self = anchors.find((anchor) => anchor.raw.equals(certificate.raw));
    if (self !== undefined) return { below: chain.slice(0, at), anchor: self };
    const anchor = anchors.find((candidate) => isIssuedBy(certificate, candidate));
    if (anchor !== undefined) return { below: chain.slice(0, at + 1), anchor };
    const next = chain[at + 1];
    if (next === undefined || !isIssuedBy(certificate, next)) return undefined;
  }
  return undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function readCertificates(path: string, faults: Fault[]): readonly X509Certificate[] {
  const text = readText(path, faults);
  if (text === undefined) return [];
  const bundle = parseCertificates(text);
  if (bundle.ok) return bundle.value.flatMap((der) => asCertificate(der) ?? []);
  faults.push(...bundle.faults.map(({ path: block, reason }) => fault(path + block, reason)));
  return [];
}

function readKey(path: string, faults: Fault[]): KeyObject | undefined {
  const text = readText(path, faults);
  if (text === undefined) return undefined;
  try {
    const key = createPrivateKey(text);
    if (isP256(key)) return key;
  } catch {
    // The reason is dropped on purpose: nothing about the content of a key file belongs in a message.
  }
  faults.push(fault(path, "put an EC private key on P-256 in PEM there, without a passphrase"));
  return undefined;
}

function readText(path: string, faults: Fault[]): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    faults.push(fault(path, `make the file readable: ${reason}`));
    return undefined;
  }
}

function isEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    throw error;
  }
}

/** False when another process was faster. */
function makeIssuer(folder: string, nowMs: number): boolean {
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
  // Beside the folder, because a rename works within one file system only. The mode of what this makes is 0700.
  const staging = mkdtempSync(join(dirname(folder), `.${basename(folder)}-`));
  try {
    for (const [name, text] of newFiles(nowMs)) {
      writeFileSync(join(staging, name), text, { mode: 0o600, flag: "wx", flush: true });
    }
    renameSync(staging, folder);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOTEMPTY") || isErrno(error, "EEXIST")) return false;
    throw error;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function newFiles(nowMs: number): ReadonlyMap<string, string> {
  const rootPair = makeKeyPair();
  const issuerPair = makeKeyPair();
  const validity = { notBeforeMs: nowMs - ownSkewMs, notAfterMs: nowMs + ownLifetimeMs };
  const root = selfSignedCa({
    ...validity,
    keyPair: rootPair,
    name: "root.identity.weft",
    serial: randomSerial(),
  });
  const issuer = issueCertificate({
    ...validity,
    issuer: { certificate: root, key: rootPair.privateKey },
    name: "issuer.identity.weft",
    altNames: [],
    publicKey: issuerPair.publicKey,
    serial: randomSerial(),
    ca: { pathLength: 0 },
  });
  return new Map([
    [trustAnchorsFile, certificateToPem(root)],
    [issuerCertificateFile, certificateToPem(issuer)],
    [issuerKeyFile, issuerPair.privateKey.export({ format: "pem", type: "pkcs8" }).toString()],
  ]);
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
