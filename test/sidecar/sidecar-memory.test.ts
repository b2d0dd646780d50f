/** In a process of its own, because the kernel counts the memory of whole processes. */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import test from "ava";
import { ControlPlane } from "./control-plane.ts";
import { SidecarProcess } from "./sidecar-process.ts";

const pollMs = 100;

/** Idle, a sidecar keeps less than half of what it is ready with; some room for what a machine under load is late with. */
const keptShare = 0.6;

test("a sidecar gives back what only its start needed", async (t) => {
  await using plane = await ControlPlane.start();
  await using sidecar = SidecarProcess.start(plane);
  await sidecar.ready();
  const readyKib = residentKib(sidecar);
  while (residentKib(sidecar) > readyKib * keptShare) await pause(pollMs);
  t.is(await sidecar.page("live"), "live\n");
});

function residentKib({ child }: SidecarProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, "latin1");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}
