/** The harness itself: a test that relies on it must be able to. */
import { existsSync, readdirSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import test from "ava";
import { NetnsNode } from "../../src/demo/netns/node.ts";
import { namespace, type Pod } from "../../src/demo/netns/pod.ts";
import { Running } from "../../src/demo/netns/running.ts";
import { Faults } from "./faults.ts";

/** Each answer is the name of the pod. */
async function startNamed(pod: Pod): Promise<void> {
  const script = `require("node:http").createServer((_, response) => response.end("${pod.name} "))
    .listen(8080, "::", () => console.log("listening"))`;
  await pod.start("application", [process.execPath, "-e", script]).untilSays(/listening/);
}

async function ask(pod: Pod, ...args: readonly string[]): Promise<string> {
  const { code, out } = await pod.exec("application", ["curl", "-sg", "-m", "2", ...args]);
  return code === 0 ? out : `curl ended with ${code}`;
}

test("a service spreads connections over its pods, by name and over both families", async (t) => {
  await using node = await NetnsNode.start();
  const [a, b, c] = [await node.addPod("a"), await node.addPod("b"), await node.addPod("c")];
  await Promise.all([startNamed(b), startNamed(c)]);
  const ports = [{ port: 80, targetPort: 8080 }];
  const service = await node.addService({ name: "web", namespace, ports, endpoints: [b, c] });
  // Thirty in one go; that all land on one pod happens once in 2^29 runs.
  for (const url of [`http://${service.ip4}/[1-30]`, `http://[${service.ip6}]/[1-30]`]) {
    const { out } = await a.exec("application", [
      ...["curl", "-s", "-m", "20", "-H", "connection: close", url],
    ]);
    t.deepEqual([...new Set(out.trim().split(" "))].toSorted(), ["b", "c"], url);
  }
  t.regex(await ask(a, "-4", "http://web/"), /^[bc] $/);
  t.regex(await ask(a, "-6", "http://web.demo/"), /^[bc] $/);
  t.is((await a.exec("application", ["getent", "hosts", "nobody.demo.svc.cluster.local"])).code, 2);
  await node.setEndpoints("web", [c]);
  t.is(await ask(a, "http://web/"), "c ");
  t.is(await ask(c, "http://web/"), "c ", "a pod reaches itself by its service");
  await node.setEndpoints("web", []);
  t.is(await ask(a, "http://web/"), "curl ended with 7");
});

test("faults do what they say and heal", async (t) => {
  await using node = await NetnsNode.start();
  const [a, b] = [await node.addPod("a"), await node.addPod("b")];
  await Promise.all([startNamed(a), startNamed(b)]);
  const faults = new Faults(node);
  const urls = [`http://${b.ip4}:8080/`, `http://[${b.ip6}]:8080/`];
  const timedOut = "curl ended with 28";
  for (const inject of [
    () => faults.partition(a, b),
    () => faults.oneWay(a, b),
    () => faults.oneWay(b, a),
    () => faults.loss(a, b, 1),
    () => faults.unplug(b),
  ]) {
    const heal = await inject();
    const during = await Promise.all(urls.map((url) => ask(a, url)));
    t.true(
      during.every((text) => text === timedOut || text === "curl ended with 7"),
      during.join(),
    );
    await heal();
    for (const url of urls) t.is(await ask(a, "--retry", "5", "--retry-all-errors", url), "b ");
  }
});

test("latency holds packets back in both directions, until it is healed", async (t) => {
  await using node = await NetnsNode.start();
  const [a, b] = [await node.addPod("a"), await node.addPod("b")];
  await startNamed(b);
  const faults = new Faults(node);
  const connectMs = async (url: string): Promise<number> =>
    1_000 * Number(await ask(a, "-o", "/dev/null", "-w", "%{time_connect}", url));
  const heals = [await faults.latency(a, b, 150), await faults.latency(b, a, 150)];
  for (const url of [`http://${b.ip4}:8080/`, `http://[${b.ip6}]:8080/`]) {
    const tookMs = await connectMs(url);
    t.true(tookMs >= 300, `${tookMs} ms`);
  }
  for (const heal of heals) await heal();
  t.is(await ask(a, `http://${b.ip4}:8080/`), "b ");
});

test("a test that is killed leaves no namespace, process or folder behind", async (t) => {
  const script = fileURLToPath(new URL("abandoned-node.ts", import.meta.url));
  const child = new Running("abandoned", [process.execPath, script]);
  const [, prefix = "", folder = ""] = await child.untilSays(/(\S+) (\S+)\n/);
  const left = (): readonly string[] => [
    ...readdirSync("/run/netns").filter((name) => name.startsWith(`${prefix}-`)),
    ...readdirSync("/etc/netns").filter((name) => name.startsWith(`${prefix}-`)),
    ...(existsSync(folder) ? [folder] : []),
  ];
  t.is(left().length, 4, left().join());
  child.signal("SIGKILL");
  // What it started keeps its pipes open until the keeper has ended that too.
  await child.ended;
  for (let tries = 0; left().length > 0 && tries < 200; tries++) await pause(50);
  t.deepEqual(left(), []);
});
