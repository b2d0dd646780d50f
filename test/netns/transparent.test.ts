/** Applications that know nothing of the mesh: their connections are redirected, and the mesh carries them, whatever they speak. */
import test from "ava";
import { NetnsMesh, podIdentity } from "../../src/demo/netns/mesh.ts";
import { Capture } from "./capture.ts";
import { metricSum } from "./metrics.ts";

const port = 8080;

/** Answers with what it was asked, and by whom according to its sidecar. */
const application = `require("node:http").createServer((request, response) =>
  response.end("answer to " + request.url + " for " + request.headers.host + " of " + request.headers["l5d-client-id"])
).listen(${port}, "::", () => console.log("listening"))`;

test("curl reaches a Service and a pod by both families through two sidecars, encrypted on the wire", async (t) => {
  await using mesh = await NetnsMesh.start();
  const a = await mesh.addPod("a");
  const b = await mesh.addPod("b", [port]);
  const service = await mesh.addService({
    name: "b",
    ports: [{ port: 80, targetPort: port }],
    endpoints: [b],
  });
  await b.start("application", [process.execPath, "-e", application]).untilSays(/listening/);
  await Promise.all([a, b].map((pod) => mesh.startSidecar(pod, { isTransparent: true })));
  const ask = (url: string, ...more: readonly string[]) =>
    a.exec("application", ["curl", "-sS", "-g", "-m", "20", ...more, url]);
  const capture = await Capture.start(mesh.node);
  for (const [url, host] of [
    ["http://b.demo/by-name", "b.demo"],
    [`http://${service.ip4}/by-service`, service.ip4],
    [`http://[${service.ip6}]/by-service`, `[${service.ip6}]`],
    [`http://${b.ip4}:${port}/by-pod`, `${b.ip4}:${port}`],
    [`http://[${b.ip6}]:${port}/by-pod`, `[${b.ip6}]:${port}`],
  ] as const) {
    const answer = await ask(url);
    const path = new URL(url).pathname;
    t.is(answer.out, `answer to ${path} for ${host} of ${podIdentity(a)}`, answer.err);
  }
  // The Host header names another Service, and chooses nothing.
  const other = await ask(`http://${service.ip4}/by-host`, "-H", "Host: nobody.demo");
  t.is(other.out, `answer to /by-host for nobody.demo of ${podIdentity(a)}`, other.err);
  const bytes = await capture.stop();
  for (const word of ["/by-name", "/by-service", "/by-pod", "answer to"]) {
    t.false(bytes.includes(word), word);
  }
  t.is(await metricSum(a, "request_total", 'direction="outbound"'), 6);
  t.is(await metricSum(b, "request_total", 'direction="inbound"'), 6);
});
