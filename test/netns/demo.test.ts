/** `weft demo --netns` as a person runs it. */
import { readdirSync } from "node:fs";
import os from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import test from "ava";
import { run } from "../../src/demo/netns/command.ts";
import { weft } from "../../src/demo/netns/pod.ts";
import { Running } from "../../src/demo/netns/running.ts";

/** The walk-through starts a dozen processes and some more to ask what they decided. */
const walkDeadlineMs = 120_000;

/** Namespaces, their settings, folders and processes of the demo with this process id. */
async function leftOf(pid: number): Promise<readonly string[]> {
  const prefix = `weft-${pid}-`;
  const named = ["/run/netns", "/etc/netns", os.tmpdir()].flatMap((folder) =>
    readdirSync(folder).filter((name) => name.startsWith(prefix)),
  );
  const { out } = await run("pgrep", ["-a", "-f", prefix]);
  return [...named, ...out.split("\n").filter((line) => line !== "")];
}

async function untilGone(pid: number): Promise<readonly string[]> {
  for (let tries = 0; tries < 400 && (await leftOf(pid)).length > 0; tries++) await pause(50);
  return leftOf(pid);
}

function startDemo(...args: readonly string[]): Running {
  return new Running("demo", [...weft, "demo", "--netns", ...args]);
}

test("weft demo --netns --once shows every step by curl inside the pods, exits 0 and leaves nothing behind", async (t) => {
  t.timeout(2 * walkDeadlineMs);
  const demo = startDemo("--once");
  t.is(await demo.ended, 0, demo.output);
  for (const step of [
    "1. No route",
    "2. An HTTPRoute",
    "3. backend-a admits only",
    "frontend$ curl -s -i -H 'x-request-id: alternative' http://backend-a.demo:8080/echo",
    "HTTPRoute demo/alternative rule 0 match 0",
    "0 failed, 0 connections dropped",
  ]) {
    t.true(demo.output.includes(step), `${step} is missing in:\n${demo.output}`);
  }
  t.false(demo.output.includes("WRONG"), demo.output);
  t.deepEqual(await leftOf(demo.pid), []);
});

test("weft demo --netns stays up for one's own curl, until Ctrl-C, and leaves nothing behind", async (t) => {
  t.timeout(2 * walkDeadlineMs);
  const demo = startDemo();
  t.teardown(() => demo.stop("SIGKILL"));
  await demo.untilSays(/It stays up/, 0, walkDeadlineMs);
  await demo.untilSays(/Ctrl-C ends it/);
  const commands = demo.output.split("\n").filter((line) => line.startsWith("  ip netns exec"));
  const [plain = "", marked = "", stranger = "", outside = ""] = commands;
  for (const [command, answer] of [
    [plain, /^HTTP\/1\.1 200 [\s\S]*PODINFO_UI_MESSAGE=A backend/],
    [marked, /^HTTP\/1\.1 200 [\s\S]*PODINFO_UI_MESSAGE=B backend/],
    [stranger, /^HTTP\/1\.1 403 /],
    [outside, /^HTTP\/1\.1 403 /],
  ] as const) {
    t.regex((await run("sh", ["-c", command])).out, answer, command);
  }
  const variables = commands.find((command) => command.endsWith(" env")) ?? "";
  t.notRegex((await run("sh", ["-c", variables])).out, /proxy/i);
  t.true((await leftOf(demo.pid)).length > 10);
  demo.signal("SIGINT");
  t.is(await demo.ended, 0, demo.output);
  t.deepEqual(await leftOf(demo.pid), []);
});

test("weft demo --netns that is stopped or killed while it starts leaves nothing behind", async (t) => {
  const demo = startDemo();
  t.teardown(() => demo.stop("SIGKILL"));
  await demo.untilSays(/outside +ready/);
  demo.signal("SIGINT");
  t.is(await demo.ended, 1);
  t.regex(demo.output, /WRONG Stopped by SIGINT/);
  t.deepEqual(await leftOf(demo.pid), []);
  const killed = startDemo();
  await killed.untilSays(/outside +ready/);
  t.true((await leftOf(killed.pid)).length > 10);
  killed.signal("SIGKILL");
  t.deepEqual(await untilGone(killed.pid), []);
});

test("weft demo --netns says what is missing and how to get it, with code 69, and refuses --base with 64", async (t) => {
  const [file = "", ...args] = [...weft, "demo", "--netns"];
  const poor = await run(file, args, { env: { PATH: "/nowhere" } });
  t.is(poor.code, 69);
  t.regex(poor.err, /install ip, .*dnsmasq.* \(Debian: apt-get install iproute2 .*dnsmasq-base/);
  const user = ["--reuid=1000", "--regid=1000", "--clear-groups"];
  const unprivileged = await run("setpriv", [...user, file, ...args]);
  t.is(unprivileged.code, 69);
  t.regex(unprivileged.err, /run it as root with CAP_NET_ADMIN/);
  const powerless = await run("setpriv", [
    "--bounding-set=-net_admin",
    "--inh-caps=-net_admin",
    file,
    ...args,
  ]);
  t.is(powerless.code, 69);
  t.regex(powerless.err, /run it as root with CAP_NET_ADMIN/);
  const both = await run(file, [...args, "--base", "127.8"]);
  t.is(both.code, 64);
  t.regex(both.err, /give --base or --netns, not both/);
});
