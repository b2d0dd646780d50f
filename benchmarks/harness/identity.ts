/** Certificates of the mesh's issuer, as the files that HAProxy reads. */
import { issueCertificate, randomSerial } from "../../src/edge/x509/certificate.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import type { ControlPlane } from "../../test/sidecar/control-plane.ts";
import type { Stage } from "./stage.ts";

export const clientName = "client.demo.serviceaccount.identity.weft.cluster.local";
export const webName = "web.demo.serviceaccount.identity.weft.cluster.local";

const dayMs = 86_400_000;

/** The suite that the mesh prefers, for everybody, so that ciphers are not compared. */
const version = "ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256";

/** Ends TLS and asks for a certificate of the mesh. */
export function serverTls(stage: Stage, plane: ControlPlane, name: string): string {
  return `ssl crt ${credentials(stage, plane, name)} ca-file ${anchors(stage, plane)} verify required ${version}`;
}

/** Begins TLS with a certificate of the mesh and wants the other end to be `peer`. */
export function clientTls(stage: Stage, plane: ControlPlane, peer: string): string {
  return `ssl crt ${credentials(stage, plane, clientName)} ca-file ${anchors(stage, plane)} verify required sni str(${peer}) ${version}`;
}

/** The same as two files, for who is no HAProxy. */
export function serverFiles(stage: Stage, plane: ControlPlane, name: string): readonly string[] {
  return [credentials(stage, plane, name), anchors(stage, plane)];
}

function anchors(stage: Stage, plane: ControlPlane): string {
  return stage.write("anchors.pem", plane.trustAnchors);
}

/** Certificate, issuer and key in one file. */
function credentials(stage: Stage, plane: ControlPlane, name: string): string {
  const { issuer } = plane.authority;
  const keyPair = makeKeyPair();
  const leaf = issueCertificate({
    issuer,
    name,
    altNames: [{ kind: "dns", value: name }],
    publicKey: keyPair.publicKey,
    serial: randomSerial(),
    notBeforeMs: Date.now() - dayMs,
    notAfterMs: Date.now() + dayMs,
  });
  const key = keyPair.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  const chain = certificateToPem(leaf) + certificateToPem(issuer.certificate);
  return stage.write(`${name}.pem`, chain + key);
}
