/** Two pods and their sidecars on a bridge: what an application asks of another is answered, and the wire shows none of it. */
import test from "ava";
import { NetnsMesh, podIdentity } from "../../src/demo/netns/mesh.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";
import { Capture } from "./capture.ts";
import { Faults } from "./faults.ts";

const port = 8080;
/** What the product promises once a network is whole again. */
const recoveryMs = 5_000;

/** Answers with what it was asked, and by whom according to its sidecar. */
const application = `require("node:http").createServer((request, response) =>
  response.end("answer to " + request.url + " of " + request.headers["l5d-client-id"])
).listen(${port}, "127.0.0.1", () => console.log("listening"))`;

async function metric(pod: Pod, name: string): Promise<boolean> {
  const { out } = await pod.exec("application", ["curl", "-s", "http://127.0.0.1:4191/metrics"]);
  return out.split("\n").some((line) => line.startsWith(`${name}{`) && !line.endsWith(" 0"));
}

test("two pods talk through both sidecars, encrypted on the wire, and again after a partition", async (t) => {
  await using mesh = await NetnsMesh.start();
  const a = await mesh.addPod("a");
  const b = await mesh.addPod("b", [port]);
  await mesh.addService(
    { name: "b", ports: [{ port: 80, targetPort: port }], endpoints: [b] },
    [4],
  );
  await b.start("application", [process.execPath, "-e", application]).untilSays(/listening/);
  await Promise.all([mesh.startSidecar(a), mesh.startSidecar(b, { forwards: [port] })]);
  const ask = (path: string, seconds = 20) =>
    a.exec("application", [
      ...["curl", "-sS", "-m", String(seconds), "-x", "http://127.0.0.1:4140"],
      `http://b.demo${path}`,
    ]);

  const capture = await Capture.start(mesh.node);
  const answer = await ask("/a-plain-path");
  t.is(answer.out, `answer to /a-plain-path of ${podIdentity(a)}`, answer.err);
  for (const pod of [a, b]) t.true(await metric(pod, "request_total"), pod.name);
  // Plain text on the same bridge, so that a capture which sees nothing does not pass.
  await a.exec("application", [
    "curl",
    "-s",
    "-m",
    "5",
    `http://${mesh.policyPod.ip4}:9990/a-visible-path`,
  ]);
  const bytes = await capture.stop();
  t.true(bytes.includes("/a-visible-path"));
  t.false(bytes.includes("/a-plain-path"));
  t.false(bytes.includes("answer to"));

  const faults = new Faults(mesh.node);
  const heal = await faults.partition(a, b);
  const during = await ask("/during", 2);
  t.false(during.out.startsWith("answer to"), during.out);
  await heal();
  const healedMs = performance.now();
  while (!(await ask("/after", 2)).out.startsWith("answer to /after")) {
    if (performance.now() - healedMs > recoveryMs) return t.fail("no answer after the partition");
  }
});
