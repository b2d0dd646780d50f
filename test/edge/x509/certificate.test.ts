import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type TLSSocket } from "node:tls";
import test from "ava";
import { decodeDer } from "../../../src/edge/x509/asn1.ts";
import { issueCertificate, randomSerial } from "../../../src/edge/x509/certificate.ts";
import { makeKeyPair } from "../../../src/edge/x509/key-pair.ts";
import { peerIdentity } from "../../../src/edge/x509/peer-identity.ts";
import { certificateToPem } from "../../../src/edge/x509/pem.ts";
import { endMs, makeAuthority, makeLeaf, startMs } from "./authority.ts";
import { Folder, openssl, tryOpenssl } from "./openssl.ts";

const name = "frontend.mesh.serviceaccount.identity.weft.cluster.local";
const { root, issuer } = makeAuthority();
const leaf = makeLeaf(issuer, [{ kind: "dns", value: name }]);
/** Some moment in the validity of the certificates here, in seconds. */
const atTime = String(Date.UTC(2026, 5, 1) / 1000);

function verify(folder: Folder, leafDer: Uint8Array): { code: number | null; output: string } {
  const anchors = folder.write("root.pem", certificateToPem(root.certificate));
  const chain = folder.write("issuer.pem", certificateToPem(issuer.certificate));
  const target = folder.write("leaf.pem", certificateToPem(leafDer));
  const strict = ["-x509_strict", "-check_ss_sig", "-attime", atTime];
  return tryOpenssl("verify", ...strict, "-CAfile", anchors, "-untrusted", chain, target);
}

for (const purpose of ["sslserver", "sslclient"] as const) {
  test(`issueCertificate() makes a leaf that openssl verifies strictly as ${purpose}`, (t) => {
    using folder = new Folder();
    verify(folder, leaf);
    const { code, output } = tryOpenssl(
      ...["verify", "-x509_strict", "-check_ss_sig", "-attime", atTime, "-purpose", purpose],
      ...["-CAfile", folder.file("root.pem"), "-untrusted", folder.file("issuer.pem")],
      ...["-verify_hostname", name, folder.file("leaf.pem")],
    );
    t.is(code, 0, output);
  });
}

test("issueCertificate() writes the profile of a mesh leaf", (t) => {
  using folder = new Folder();
  const path = folder.write("leaf.der", leaf);
  const text = openssl("x509", "-inform", "DER", "-in", path, "-noout", "-text");
  for (const line of [
    /Version: 3/,
    /Signature Algorithm: ecdsa-with-SHA256/,
    /Issuer: CN = issuer/,
    new RegExp(`Subject: CN = ${name}`),
    /Not Before: Jan {2}1 00:00:00 2026 GMT/,
    /Not After : Jan {2}1 00:00:00 2036 GMT/,
    /NIST CURVE: P-256/,
    /Basic Constraints: critical\s+CA:FALSE/,
    /Key Usage: critical\s+Digital Signature, Key Encipherment\n/,
    /Extended Key Usage: \s+TLS Web Server Authentication, TLS Web Client Authentication\n/,
    new RegExp(`Subject Alternative Name: \\s+DNS:${name}\n`),
    /Subject Key Identifier/,
    /Authority Key Identifier/,
  ]) {
    t.regex(text, line);
  }
});

test("issueCertificate() names the issuer's key in the leaf", (t) => {
  using folder = new Folder();
  const show = (certificate: Uint8Array, extension: string): string => {
    const path = folder.write("c.der", certificate);
    const printed = openssl("x509", "-inform", "DER", "-in", path, "-noout", "-ext", extension);
    return printed.split("\n")[1]?.trim() ?? "";
  };
  t.regex(show(leaf, "authorityKeyIdentifier"), /^[0-9A-F:]{59}$/);
  t.is(show(leaf, "authorityKeyIdentifier"), show(issuer.certificate, "subjectKeyIdentifier"));
});

test("issueCertificate() gives an issuer the right to issue leaves and no more issuers", (t) => {
  using folder = new Folder();
  const path = folder.write("issuer.der", issuer.certificate);
  const text = openssl("x509", "-inform", "DER", "-in", path, "-noout", "-text");
  t.regex(text, /CA:TRUE, pathlen:0/);
  t.regex(text, /Certificate Sign, CRL Sign/);
  const below = makeKeyPair();
  const second = {
    key: below.privateKey,
    certificate: issueCertificate({
      ...base(),
      name: "second",
      altNames: [],
      publicKey: below.publicKey,
      ca: { pathLength: 0 },
    }),
  };
  const chain = certificateToPem(issuer.certificate) + certificateToPem(second.certificate);
  const anchors = folder.write("root.pem", certificateToPem(root.certificate));
  const untrusted = folder.write("chain.pem", chain);
  const target = folder.write(
    "leaf.pem",
    certificateToPem(makeLeaf(second, [{ kind: "dns", value: name }])),
  );
  const { code, output } = tryOpenssl(
    "verify",
    "-attime",
    atTime,
    "-CAfile",
    anchors,
    "-untrusted",
    untrusted,
    target,
  );
  t.not(code, 0);
  t.regex(output, /path length/);
});

test("issueCertificate() leaves out a subject that is too long and makes the names critical", (t) => {
  const long = `${"x".repeat(60)}.${name}`;
  const certificate = makeLeaf(issuer, [{ kind: "dns", value: long }]);
  using folder = new Folder();
  const { code, output } = verify(folder, certificate);
  t.is(code, 0, output);
  const text = openssl("x509", "-in", folder.file("leaf.pem"), "-noout", "-text");
  t.regex(text, /Subject: \n/);
  t.regex(text, /Subject Alternative Name: critical/);
});

test("issueCertificate() writes times from 2050 on in full", (t) => {
  const { publicKey } = makeKeyPair();
  const certificate = issueCertificate({
    ...base(),
    ...{ name, altNames: [], publicKey },
    notAfterMs: Date.UTC(2051, 1, 3, 4, 5, 6),
  });
  t.is(new X509Certificate(certificate).validTo, "Feb  3 04:05:06 2051 GMT");
});

test("issueCertificate() takes over the issuer's subject byte for byte", (t) => {
  using folder = new Folder();
  openssl(
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", folder.file("key"), "-out", folder.file("ca.pem"), "-days", "36500"],
    ...["-subj", "/C=XX/O=Ünïcode & Co/OU=a+OU=b/CN=root", "-utf8", "-multivalue-rdn"],
  );
  const foreign = new X509Certificate(folder.read("ca.pem"));
  const key = makeKeyPair();
  const child = issueCertificate({
    ...base(),
    name,
    altNames: [],
    publicKey: key.publicKey,
    issuer: { certificate: foreign.raw, key: key.privateKey },
  });
  t.true(new X509Certificate(child).checkIssued(foreign));
});

test("issueCertificate() strips zeros from a serial and keeps it positive", (t) => {
  const { publicKey } = makeKeyPair();
  for (const [serial, printed] of [
    [[0, 0, 0x80], "80"],
    [[0, 0x7f], "7F"],
    [[0xff, 0], "FF00"],
  ] as const) {
    const certificate = issueCertificate({
      ...base(),
      name,
      altNames: [],
      publicKey,
      serial: Uint8Array.from(serial),
    });
    t.is(new X509Certificate(certificate).serialNumber, printed);
  }
});

test("randomSerial() makes 16 bytes, positive, each time others", (t) => {
  const serials = Array.from({ length: 1_000 }, () => Buffer.from(randomSerial()).toString("hex"));
  t.is(new Set(serials).size, serials.length);
  t.true(serials.every((serial) => /^[4-7][0-9a-f]{31}$/.test(serial)));
});

test("issueCertificate() makes canonical DER", (t) => {
  t.not(decodeDer(leaf), undefined);
  t.not(decodeDer(root.certificate), undefined);
});

test("mutual TLS 1.3 works with the chain, and both ends name each other", async (t) => {
  const now = Date.now();
  const fresh = { notBeforeMs: now - 60_000, notAfterMs: now + 60_000 };
  const end = (value: string): { key: string; cert: string } => {
    const pair = makeKeyPair();
    const certificate = issueCertificate({
      ...base(),
      ...fresh,
      name: value,
      altNames: [{ kind: "dns", value }],
      publicKey: pair.publicKey,
    });
    return {
      key: pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
      cert: certificateToPem(certificate) + certificateToPem(issuer.certificate),
    };
  };
  const ca = certificateToPem(root.certificate);
  const server = createServer({
    ...end("server.mesh"),
    ca,
    requestCert: true,
    minVersion: "TLSv1.3",
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({
    ...end("client.mesh"),
    ca,
    servername: "server.mesh",
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
  });
  const accepted = once(server, "secureConnection");
  await once(client, "secureConnect");
  const [atServer] = (await accepted) as [TLSSocket];
  t.true(client.authorized);
  t.true(atServer.authorized);
  t.is(identityOf(client), "server.mesh");
  t.is(identityOf(atServer), "client.mesh");
  client.destroy();
  atServer.destroy();
  server.close();
  await once(server, "close");
});

function identityOf(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? undefined : peerIdentity(certificate);
}

function base(): {
  issuer: typeof issuer;
  notBeforeMs: number;
  notAfterMs: number;
  serial: Uint8Array;
} {
  return { issuer, notBeforeMs: startMs, notAfterMs: endMs, serial: randomSerial() };
}
