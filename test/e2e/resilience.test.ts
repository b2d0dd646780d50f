/** Parts of the mesh go away under load, and come back. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import test from "ava";
import { askOnce, KeptConnection } from "../../src/demo/client.ts";
import { adminUrl, eventually, getText, startTestMesh, type TestMesh } from "./test-mesh.ts";

/** Requests one after the other on kept connections, until told to stop. */
class Load {
  answers = 0;
  failures: string[] = [];
  #stopped = false;
  readonly #connections: KeptConnection[];
  readonly #done: Promise<unknown>;

  constructor(mesh: TestMesh, connections: number) {
    this.#connections = Array.from({ length: connections }, () => new KeptConnection());
    const ask = {
      through: `http://${mesh.ip("frontend")}:4140`,
      url: "http://backend-a.demo:8080/env",
    };
    this.#done = Promise.all(this.#connections.map((one) => this.#loop(one, ask)));
  }

  async #loop(connection: KeptConnection, ask: { through: string; url: string }): Promise<void> {
    while (!this.#stopped) {
      try {
        const { status, reason } = await connection.ask(ask);
        if (status === 200) this.answers++;
        else this.failures.push(`${status} ${reason}`);
      } catch (error) {
        this.failures.push(String(error));
      }
      await nextTurn();
    }
  }

  /** Resolves after so many more answers. */
  async more(answers: number): Promise<void> {
    const until = this.answers + answers;
    while (this.answers < until && this.failures.length === 0) await nextTurn();
  }

  async end(): Promise<number> {
    this.#stopped = true;
    await this.#done;
    for (const connection of this.#connections) connection.close();
    return this.#connections.reduce((sum, { connections }) => sum + connections, 0);
  }
}

test("killing the policy service fails no request, and it converges within 5 s of its return", async (t) => {
  const mesh = await startTestMesh(t, { workers: 2 });
  const load = new Load(mesh, 4);
  await load.more(100);
  await mesh.mesh.processes.get("policy")?.stop("SIGKILL");
  await load.more(500);
  const page: { outbound: { stream: { state: string }; ageSeconds: number }[] } = JSON.parse(
    await getText(adminUrl(mesh.ip("frontend"), "policy")),
  );
  t.not(page.outbound[0]?.stream.state, "connected");
  // Changed while nobody looks: it must be in force soon after the service is back.
  mesh.drop("2-route.yaml");
  await mesh.mesh.restart("policy");
  const { tookMs } = await eventually(
    () =>
      askOnce({
        through: `http://${mesh.ip("frontend")}:4140`,
        url: "http://backend-a.demo:8080/env",
        headers: { "x-request-id": "alternative" },
      }),
    ({ body }) => body.includes("B backend"),
    5_000,
  );
  t.log(`converged ${Math.round(tookMs)} ms after the service was ready again`);
  await load.more(100);
  const connections = await load.end();
  t.deepEqual(load.failures, []);
  t.is(connections, 4, "no connection was dropped");
});

test("a document that stops being YAML does not open what it closed", async (t) => {
  const mesh = await startTestMesh(t);
  mesh.drop("3-authorization.yaml");
  const direct = { url: `http://${mesh.ip("backend-a")}:8080/env` };
  await eventually(
    () => askOnce(direct),
    ({ status }) => status === 403,
    2_000,
  );
  writeFileSync(path.join(mesh.mesh.policyFolder, "3-authorization.yaml"), "kind: [Server\n");
  const statusPage = `http://${mesh.mesh.layout.controlIp}:9990/status`;
  await eventually(
    () => getText(statusPage),
    (text) => text.includes("3-authorization.yaml"),
    2_000,
  );
  const refused = await eventually(
    () =>
      askOnce({
        ...direct,
        through: `http://${mesh.ip("frontend")}:4140`,
        url: "http://backend-a.demo:8080/env",
      }),
    ({ status }) => status === 403,
    2_000,
  );
  t.is(refused.value.status, 403);
  t.is((await askOnce(direct)).status, 403);
  const other = await askOnce({ url: `http://${mesh.ip("backend-b")}:8080/env` });
  t.is(other.status, 200, "the other pods go on");
});
