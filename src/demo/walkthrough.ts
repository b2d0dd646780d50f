/** What the demo shows: dynamic request routing and authorization, each request with its answer and the reason for it. */
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Answer, type Ask, askOnce, curlCommand } from "./client.ts";
import { applicationPort, type DemoPod, namespace, ports } from "./layout.ts";
import { Load } from "./load.ts";
import { copyResource, type Mesh } from "./mesh.ts";
import type { Screen } from "./screen.ts";
import { explainOutbound } from "./why.ts";

export type WalkOptions = {
  readonly mesh: Mesh;
  readonly stepFolder: string;
  readonly screen: Screen;
};

/** A policy that was dropped into the folder must be in force within this time. */
const inForceDeadlineMs = 1_000;
const pollMs = 5;

/** Returns how many things were not as they should be. */
export function walkThrough(options: WalkOptions): Promise<number> {
  return new Walk(options).run();
}

class Walk {
  readonly #mesh: Mesh;
  readonly #stepFolder: string;
  readonly #screen: Screen;
  #wrong = 0;

  constructor(options: WalkOptions) {
    this.#mesh = options.mesh;
    this.#stepFolder = options.stepFolder;
    this.#screen = options.screen;
  }

  async run(): Promise<number> {
    const load = new Load({ method: "POST", url: `${this.#url("frontend")}/echo` });
    await this.#withoutRoute();
    await this.#withRoute(load);
    await this.#withAuthorization();
    const { answers, failures, connections } = await load.end();
    this.#screen.heading("Meanwhile");
    this.#expect(
      failures === 0 && connections === 1,
      `${answers} requests on one kept connection through all changes: ${failures} failed, ${connections - 1} connections dropped`,
    );
    return this.#wrong;
  }

  async #withoutRoute(): Promise<void> {
    this.#screen.heading("1. No route: the Service's own endpoints answer");
    const ask = { method: "POST", url: `${this.#url("frontend")}/echo` };
    await this.#show(ask, says("A backend"), {});
  }

  async #withRoute(load: Load): Promise<void> {
    this.#screen.heading('2. An HTTPRoute sends "x-request-id: alternative" to backend-b');
    const plain = { method: "POST", url: `${this.#url("frontend")}/echo` };
    const marked = { ...plain, headers: { "x-request-id": "alternative" } };
    await this.#drop("2-route.yaml", marked, says("B backend"));
    await this.#show(marked, says("B backend"), { "x-request-id": "alternative" });
    await this.#show(plain, says("A backend"), {});
    const { answers, failures } = load.counts;
    this.#expect(failures === 0, `${answers} other requests so far, ${failures} failed`);
  }

  async #withAuthorization(): Promise<void> {
    this.#screen.heading("3. backend-a admits only the service account frontend");
    const direct = { url: `${this.#url("backend-a")}/env` };
    await this.#drop("3-authorization.yaml", direct, refused);
    this.#screen.line("A meshed client with the right identity:");
    await this.#show(
      { method: "POST", url: `${this.#url("frontend")}/echo` },
      says("A backend"),
      {},
    );
    this.#screen.line(
      "A meshed client with another identity (out through the sidecar of backend-b):",
    );
    const other = {
      url: `http://backend-a.${namespace}:${applicationPort}/env`,
      through: `http://${this.#pod("backend-b").ip}:${ports.outbound}`,
    };
    await this.#show(other, refused);
    this.#screen.line("A client outside the mesh:");
    await this.#show(direct, refused);
  }

  /** Copies a file into the watched folder and waits until a request is answered as it should be from then on. */
  async #drop(file: string, ask: Ask, good: (answer: Answer) => boolean): Promise<void> {
    this.#screen.line(`$ cp ${path.join("examples/steps", file)} ${this.#mesh.policyFolder}/`);
    const from = path.join(this.#stepFolder, file);
    copyResource(from, this.#mesh.policyFolder, this.#mesh.layout.base);
    const startMs = performance.now();
    let answer = await askOnce(ask);
    while (!good(answer) && performance.now() - startMs < inForceDeadlineMs) {
      await pause(pollMs);
      answer = await askOnce(ask);
    }
    const tookMs = Math.round(performance.now() - startMs);
    this.#expect(good(answer), `in force after ${tookMs} ms`);
  }

  /** `outbound`: the headers with which the frontend's request leaves; absent when its sidecar has no part in the decision. */
  async #show(
    ask: Ask,
    good: (answer: Answer) => boolean,
    outbound?: Readonly<Record<string, string>>,
  ): Promise<void> {
    this.#screen.line(`$ ${curlCommand(ask)}`);
    const answer = await askOnce(ask);
    const message = /PODINFO_UI_MESSAGE=[^"]*/.exec(answer.body)?.[0] ?? "";
    this.#expect(good(answer), `${answer.status} ${message}`.trim());
    const why =
      outbound === undefined
        ? answer.reason
        : await explainOutbound({
            policyAddress: `${this.#mesh.layout.controlIp}:${ports.policy}`,
            client: { namespace, pod: "frontend-1" },
            authority: `backend-a.${namespace}.svc.cluster.local:${applicationPort}`,
            method: "POST",
            path: "/echo",
            headers: outbound,
          });
    this.#screen.line(`  why: ${why === "" ? "no reason was given" : why}`);
  }

  #expect(good: boolean, text: string): void {
    if (!good) this.#wrong++;
    this.#screen.verdict(good, text);
  }

  #pod(name: string): DemoPod {
    const pod = this.#mesh.layout.pods.find((candidate) => candidate.name === name);
    if (pod === undefined) throw new Error(`The demo has no pod "${name}"`);
    return pod;
  }

  #url(name: string): string {
    return `http://${this.#pod(name).ip}:${applicationPort}`;
  }
}

function says(message: string): (answer: Answer) => boolean {
  return (answer) => answer.status === 200 && answer.body.includes(`PODINFO_UI_MESSAGE=${message}`);
}

/** A refusal without a reason is not what is promised. */
function refused(answer: Answer): boolean {
  return answer.status === 403 && answer.reason !== "";
}
