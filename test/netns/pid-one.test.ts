/** Weft as PID 1 of a container, which has nobody to hear signals for it or to bury the dead. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import { must } from "../../src/demo/netns/command.ts";
import { Running } from "../../src/demo/netns/running.ts";

const launcher = fileURLToPath(new URL("../../src/app/weft.js", import.meta.url));

test("weft as PID 1 ends by a signal, and leaves no zombies of processes that are not its own", async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "weft-one-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"];
  const free = "127.0.0.1:0";
  const container = new Running(
    "container",
    [...apart, process.execPath, launcher, "policy", "--source", `files:${folder}`],
    {
      env: {
        WEFT_IDENTITY_TRUST_DOMAIN: "cluster.local",
        WEFT_CONTROL_NAMESPACE: "weft",
        WEFT_POLICY_LISTEN_ADDR: free,
        WEFT_DESTINATION_LISTEN_ADDR: free,
        WEFT_ADMIN_LISTEN_ADDR: free,
      },
    },
  );
  t.teardown(() => container.stop("SIGKILL"));
  await container.untilSays(/"serving"/);
  const [pid = ""] = (await must("pgrep", ["-P", String(container.pid)])).split("\n");
  const inside = (script: string) => must("nsenter", ["-t", pid, "-p", "-m", "sh", "-c", script]);
  // Their parent ends before them, and they end without anybody who waits.
  await inside("for i in 1 2 3; do sleep 0.05 & done");
  const states = "cat /proc/[0-9]*/stat | cut -d ' ' -f 2,3,4";
  for (;;) {
    const left = await inside(states);
    if (!left.includes("(sleep)")) break;
  }
  t.false((await inside(states)).includes(" Z "));
  await must("kill", ["-TERM", pid]);
  t.is(await container.ended, 0);
});
