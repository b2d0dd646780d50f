/** `weft init` and the original destination in real network namespaces, over both families. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { NetnsNode } from "../../src/demo/netns/node.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";

const recorder = fileURLToPath(new URL("redirect-recorder.ts", import.meta.url));

async function twoPods(t: ExecutionContext): Promise<{ node: NetnsNode; a: Pod; b: Pod }> {
  const node = await NetnsNode.start();
  t.teardown(() => node[Symbol.asyncDispose]());
  return { node, a: await node.addPod("a"), b: await node.addPod("b") };
}

async function startRecorder(pod: Pod, ...args: readonly string[]): Promise<void> {
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", recorder, ...args];
  await pod.start("sidecar", node).untilSays(/recording/);
}

/** An application that says where it is, without a sidecar. */
async function startApplication(pod: Pod, port: number): Promise<void> {
  const script = `require("node:http").createServer((_, response) => response.end("application"))
    .listen(${port}, "::", () => console.log("listening"))`;
  await pod.start("application", [process.execPath, "-e", script]).untilSays(/listening/);
}

/** The answer's body, or curl's exit code. */
async function curl(pod: Pod, user: "application" | "sidecar", url: string): Promise<string> {
  const ran = await pod.exec(user, ["curl", "-sS", "-g", "-m", "10", url]);
  return ran.code === 0 ? ran.out : `curl ended with ${ran.code}`;
}

const refused = "curl ended with 7";

for (const mode of ["nft", "legacy"]) {
  test(`weft init redirects both families, inbound and outbound, with the ${mode} flavour`, async (t) => {
    const { a, b } = await twoPods(t);
    for (const pod of [a, b]) {
      const ran = await pod.init(
        "--iptables-mode",
        mode,
        "--skip-outbound-ports",
        "7000-7001,9999",
      );
      t.is(ran.code, 0, ran.err);
    }
    await startRecorder(a);
    await startRecorder(b, "worker");
    await startApplication(b, 4191);
    for (const [from, to, url] of [
      [a.ip4, b.ip4, `http://${b.ip4}`],
      [a.ip6, b.ip6, `http://[${b.ip6}]`],
    ] as const) {
      const outbound = JSON.parse(await curl(a, "application", `${url}:8080/`));
      t.is(outbound.port, 4140);
      t.deepEqual(outbound.meant, { ip: to, port: 8080 });
      // The sidecar itself gets out, and is redirected where it arrives. A port that is skipped likewise.
      for (const [user, port] of [
        ["sidecar", 8080],
        ["application", 7001],
      ] as const) {
        const inbound = JSON.parse(await curl(a, user, `${url}:${port}/`));
        t.is(inbound.port, 4143);
        t.deepEqual(inbound.meant, { ip: to, port });
        t.is(inbound.peer.replace("::ffff:", ""), from);
      }
      t.is(await curl(a, "sidecar", `${url}:4191/`), "application");
    }
    await startApplication(a, 8081);
    for (const host of ["127.0.0.1", "[::1]", a.ip4, `[${a.ip6}]`]) {
      t.is(await curl(a, "application", `http://${host}:8081/`), "application", host);
    }
  });
}

test("weft init can be repeated, replaces its rules, and is undone by --clean", async (t) => {
  const { a } = await twoPods(t);
  const saved = async (): Promise<string> => {
    const all = [];
    for (const program of ["iptables-nft-save", "ip6tables-nft-save"]) {
      const { out } = await a.exec("root", [program]);
      all.push(...out.split("\n").filter((line) => line.startsWith("-A") || line.includes("WEFT")));
    }
    return all.join("\n");
  };
  const before = await saved();
  t.is((await a.init()).code, 0);
  const first = await saved();
  t.true(first.includes("-A WEFT_OUTBOUND -o lo -j RETURN"));
  t.is((await a.init()).code, 0);
  t.is(await saved(), first);
  t.is((await a.init("--ipv4-only", "--redirect-outbound-to", "4150")).code, 0);
  const closed = await saved();
  t.true(closed.includes("-j REDIRECT --to-ports 4150"));
  t.false(closed.includes("--to-ports 4140"));
  t.true(closed.includes("-j REJECT"));
  const cleaned = await a.init("--clean");
  t.is(cleaned.out, "Removed the rules (nft)\n");
  t.is(await saved(), before);
  t.is((await a.init("--clean")).out, "There were no rules to remove\n");
  // The machine's own choice of a flavour has a name too.
  for (const _ of [1, 2]) t.is((await a.init("--iptables-mode", "plain")).code, 0);
  t.is((await a.init("--clean")).code, 0);
  t.is(await saved(), before);
});

test("weft init refuses to set rules beside those of another flavour", async (t) => {
  const { a } = await twoPods(t);
  t.is((await a.init("--iptables-mode", "legacy")).code, 0);
  const ran = await a.init("--iptables-mode", "nft");
  t.is(ran.code, 1);
  t.regex(ran.err, /run "weft init --clean" first.*"legacy"/);
  for (const again of ["--iptables-mode=legacy", "--iptables-mode=auto"]) {
    t.is((await a.init(again)).code, 0);
  }
  // Left to choose, it takes the flavour that is there.
  t.regex((await a.init()).out, /flavour legacy/);
});

test("weft init refuses to set rules beside those of another mesh", async (t) => {
  const { a } = await twoPods(t);
  const other = `*nat
:PROXY_INIT_REDIRECT - [0:0]
-A PREROUTING -m comment --comment "proxy-init/install-proxy-init-prerouting" -j PROXY_INIT_REDIRECT
-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-ports 4143
COMMIT
`;
  for (const program of ["iptables-nft-restore", "ip6tables-legacy-restore"]) {
    const [file, undo] = [program, program.replace("-restore", "")];
    t.is((await a.exec("root", [file, "--noflush"], { input: other })).code, 0);
    const ran = await a.init();
    t.is(ran.code, 1, file);
    t.regex(ran.err, /take this pod out of the other mesh.*PROXY_INIT_REDIRECT/);
    t.is((await a.exec("root", [undo, "-t", "nat", "-F"])).code, 0);
  }
  t.is((await a.init()).code, 0);
});

test("weft init --ipv4-only closes IPv6 instead of leaving it open", async (t) => {
  const { node, a, b } = await twoPods(t);
  await startApplication(b, 8080);
  const service = { name: "b", namespace: "demo", endpoints: [b] };
  await node.addService({ ...service, ports: [{ port: 80, targetPort: 8080 }] });
  t.is(await curl(a, "application", "http://b.demo.svc.cluster.local/"), "application");
  t.is((await a.init("--ipv4-only")).code, 0);
  await startRecorder(a);
  t.is(await curl(a, "application", `http://[${b.ip6}]:8080/`), refused);
  t.is(await curl(a, "sidecar", `http://[${b.ip6}]:8080/`), "application");
  t.is(await curl(b, "application", `http://[${a.ip6}]:4143/`), refused);
  // A client that knows both addresses of a name turns to the one that is meshed.
  const answer = JSON.parse(await curl(a, "application", "http://b.demo.svc.cluster.local/"));
  t.is(answer.port, 4140);
  t.regex(answer.meant.ip, /^10\.96\.0\./);
});

/** Programs of the machine by name, but for some that fail with a text, or are not there. */
function pathWith(node: NetnsNode, programs: Readonly<Record<string, string>>): string {
  const folder = path.join(node.folder, "bin");
  mkdirSync(folder);
  for (const [name, text] of Object.entries(programs)) {
    const file = path.join(folder, name);
    if (text === "") symlinkSync(`/usr/sbin/${name}`, file);
    else writeFileSync(file, `#!/bin/sh\necho "${text}" >&2\nexit 3\n`, { mode: 0o755 });
  }
  return folder;
}

/** `weft init` with no other programs than these. */
async function initWith(pod: Pod, folder: string): Promise<{ code: number; err: string }> {
  const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", main, "init"];
  return pod.exec("root", ["/usr/bin/env", `PATH=${folder}`, ...node]);
}

test("weft init sets nothing when IPv6 cannot be set", async (t) => {
  const { node, a } = await twoPods(t);
  const folder = pathWith(node, {
    "iptables-nft-save": "",
    "iptables-nft-restore": "",
    "ip6tables-nft-save": "",
    "ip6tables-nft-restore": "no IPv6 NAT in this kernel",
  });
  const ran = await initWith(a, folder);
  t.is(ran.code, 1, ran.err);
  t.regex(ran.err, /rules for IPv6 cannot be set.*go around the mesh.*no IPv6 NAT in this kernel/);
  const { out } = await a.exec("root", ["iptables-nft-save"]);
  t.false(out.includes("WEFT"));
  // A network namespace without IPv6 needs no rules for it. This is what the message advises.
  const [advice = ""] = /net\.ipv6\.conf\.all\.disable_ipv6=1/.exec(ran.err) ?? [];
  await a.exec("root", ["sysctl", "-q", "-w", advice]);
  const alone = await initWith(a, folder);
  t.is(alone.code, 0, alone.err);
});

test("weft init says what is missing: iptables, or the right to change the network", async (t) => {
  const { node, a } = await twoPods(t);
  const without = await initWith(a, pathWith(node, {}));
  t.is(without.code, 1);
  t.regex(without.err, /install the package "iptables".*not found: ip6tables-nft-save/);
  const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));
  const unprivileged = await a.exec("application", [
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    main,
    "init",
  ]);
  t.is(unprivileged.code, 1);
  t.regex(unprivileged.err, /run as root with CAP_NET_ADMIN/);
});
