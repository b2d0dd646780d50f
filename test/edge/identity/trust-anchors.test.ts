import test from "ava";
import { anchorsPollMs, watchAnchors } from "../../../src/edge/identity/trust-anchors.ts";
import { TestCa } from "../../harness/certificates.ts";
import { manualClock } from "../../sidecar/manual-clock.ts";
import { recordingLog } from "../../sidecar/recording-log.ts";
import { Folder } from "../x509/openssl.ts";

const first = new TestCa("first");
const second = new TestCa("second");

class Rig implements Disposable {
  readonly folder = new Folder();
  readonly clock = manualClock();
  readonly log = recordingLog();
  readonly taken: (readonly string[])[] = [];
  readonly close: () => void;

  constructor() {
    const file = this.folder.write("ca.crt", first.pem);
    const { timers } = this.clock;
    const onChange = (anchors: readonly string[]): number => this.taken.push(anchors);
    this.close = watchAnchors({ file, text: first.pem, timers, log: this.log, onChange });
  }

  /** Lets it read the file once. */
  async look(): Promise<void> {
    this.clock.advance(anchorsPollMs);
    while (this.clock.pauses().length === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  [Symbol.dispose](): void {
    this.close();
    this.folder[Symbol.dispose]();
  }
}

test("watchAnchors() tells of a root that was added, and of one that was taken away", async (t) => {
  using rig = new Rig();
  await rig.look();
  t.deepEqual(rig.taken, []);
  rig.folder.write("ca.crt", first.pem + second.pem);
  await rig.look();
  t.deepEqual(rig.taken, [[first.pem, second.pem]]);
  rig.folder.write("ca.crt", second.pem);
  await rig.look();
  t.deepEqual(rig.taken.at(-1), [second.pem]);
});

test("watchAnchors() keeps what it has when the file is of no use, and says so once", async (t) => {
  using rig = new Rig();
  for (const text of ["", "-----BEGIN CERTIFICATE-----\n", first.issue(["a.b"]).certificateChain]) {
    rig.folder.write("ca.crt", text);
    await rig.look();
    await rig.look();
  }
  t.deepEqual(rig.taken, []);
  const told = rig.log.text().match(/trust_anchors_unusable/g) ?? [];
  t.true(told.length >= 2 && told.length <= 3, rig.log.text());
  rig.folder.write("ca.crt", second.pem);
  await rig.look();
  t.deepEqual(rig.taken, [[second.pem]]);
});

test("watchAnchors() does nothing after its end", (t) => {
  using rig = new Rig();
  rig.close();
  t.deepEqual(rig.clock.pauses(), []);
});
