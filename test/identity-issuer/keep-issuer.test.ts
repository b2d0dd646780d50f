import { X509Certificate } from "node:crypto";
import { cpSync, rmSync } from "node:fs";
import test from "ava";
import type { MeshCredentials } from "../../src/edge/net/mesh-tls.ts";
import { loadOrMakeIssuer } from "../../src/identity-issuer/ca.ts";
import { issuerPollMs, KeptIssuer } from "../../src/identity-issuer/keep-issuer.ts";
import { Folder } from "../edge/x509/openssl.ts";
import { manualClock } from "../sidecar/manual-clock.ts";
import { recordingLog } from "../sidecar/recording-log.ts";

const ownName = "weft-identity.weft.id";

class Rig implements Disposable {
  readonly folder = new Folder();
  readonly clock = manualClock(Date.now());
  readonly log = recordingLog();
  readonly shown: MeshCredentials[] = [];
  readonly kept: KeptIssuer;

  constructor(name: string | undefined) {
    const made = loadOrMakeIssuer(this.folder.file("ca"), Date.now());
    if (!made.ok) throw new Error("No issuer was made");
    this.kept = new KeptIssuer({
      folder: this.folder.file("ca"),
      issuer: made.value.issuer,
      ownName: name,
      timers: this.clock.timers,
      now: this.clock.wallMs,
      log: this.log,
    });
    this.kept.shown.onPut((credentials) => this.shown.push(credentials));
  }

  /** Another authority takes the place of the one in the folder. */
  replace(): Uint8Array {
    const made = loadOrMakeIssuer(this.folder.file("other"), Date.now());
    if (!made.ok) throw new Error("No issuer was made");
    cpSync(this.folder.file("other"), this.folder.file("ca"), { recursive: true });
    return made.value.issuer.signer.certificate;
  }

  [Symbol.dispose](): void {
    this.kept.close();
    this.folder[Symbol.dispose]();
  }
}

test("KeptIssuer shows a certificate that it has signed for itself", (t) => {
  using rig = new Rig(ownName);
  const [shown] = rig.shown;
  const leaf = new X509Certificate(shown?.certificateChain ?? "");
  t.is(leaf.subjectAltName, `DNS:${ownName}`);
  t.true(leaf.checkIssued(new X509Certificate(rig.kept.current.signer.certificate)));
});

test("KeptIssuer signs nothing for itself without a name", (t) => {
  using rig = new Rig(undefined);
  t.deepEqual(rig.shown, []);
});

test("KeptIssuer takes new files, and shows a certificate of theirs", (t) => {
  using rig = new Rig(ownName);
  const certificate = rig.replace();
  rig.clock.advance(issuerPollMs);
  t.deepEqual(rig.kept.current.signer.certificate, certificate);
  const newest = new X509Certificate(rig.shown.at(-1)?.certificateChain ?? "");
  t.true(newest.checkIssued(new X509Certificate(certificate)));
  t.is(rig.shown.length, 2);
});

test("KeptIssuer keeps the issuer in use while the files are of no use, and says so once", (t) => {
  using rig = new Rig(ownName);
  const { current } = rig.kept;
  rmSync(rig.folder.file("ca/issuer.key"));
  rig.clock.advance(3 * issuerPollMs);
  t.is(rig.kept.current, current);
  t.is(rig.log.text().match(/issuer_unusable/g)?.length, 1);
});

test("KeptIssuer renews its own certificate at half of its life", (t) => {
  using rig = new Rig(ownName);
  rig.clock.advance(13 * 3_600_000);
  t.is(rig.shown.length, 2);
});
