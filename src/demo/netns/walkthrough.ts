/** What `weft demo --netns` shows: the walk-through of the loopback demo, asked by curl inside the pods, which knows of no proxy. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { applicationPort } from "../layout.ts";
import type { LoadCounts } from "../load.ts";
import type { Screen } from "../screen.ts";
import type { DemoMesh } from "./demo-mesh.ts";
import { namespace, type Pod, weft } from "./pod.ts";
import type { Running } from "./running.ts";

export type NetnsWalkOptions = {
  readonly demo: DemoMesh;
  readonly stepFolder: string;
  readonly screen: Screen;
  /** Ends it half-way, by an error. */
  readonly signal: AbortSignal;
};

/** A policy is in force within a second; the rest is for a machine that starts curl slowly. */
const inForceDeadlineMs = 5_000;
const pollMs = 20;
const curlDeadlineSeconds = 10;

/** Both paths say the same here; the frontend of the loopback demo has /echo answered by its backend. */
const echoUrl = `http://backend-a.${namespace}:${applicationPort}/echo`;
const envUrl = `http://backend-a.${namespace}:${applicationPort}/env`;
const alternative: readonly string[] = ["-H", "x-request-id: alternative"];

/** One request, and from where it is asked. */
type Ask = {
  readonly from: Pod;
  readonly args: readonly string[];
};

type Answer = {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
};

/** What curl takes for the same request, quoted for a shell. */
export function curlText(args: readonly string[]): string {
  return ["curl", ...args].map((arg) => (/\s/.test(arg) ? `'${arg}'` : arg)).join(" ");
}

/** The arguments of the walk-through's requests, to try by hand. */
export const tries: {
  readonly plain: readonly string[];
  readonly marked: readonly string[];
  readonly env: readonly string[];
} = {
  plain: ["-s", "-i", echoUrl],
  marked: ["-s", "-i", ...alternative, echoUrl],
  env: ["-s", "-i", envUrl],
};

/** Returns how many things were not as they should be. */
export function walkThroughNetns(options: NetnsWalkOptions): Promise<number> {
  return new Walk(options).run();
}

class Walk {
  readonly #demo: DemoMesh;
  readonly #stepFolder: string;
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  #wrong = 0;

  constructor(options: NetnsWalkOptions) {
    this.#demo = options.demo;
    this.#stepFolder = options.stepFolder;
    this.#screen = options.screen;
    this.#signal = options.signal;
  }

  async run(): Promise<number> {
    const { frontend } = this.#demo;
    const load = frontend.start("application", [...weft, "demo", "load", echoUrl]);
    await load.untilSays(/answers/);
    await this.#withoutRoute();
    await this.#withRoute(load);
    await this.#withAuthorization();
    await load.stop();
    const { answers, failures, connections } = countsOf(load);
    this.#screen.heading("Meanwhile");
    this.#expect(
      failures === 0 && connections === 1,
      `${answers} requests of the frontend on one kept connection through all changes: ${failures} failed, ${connections - 1} connections dropped`,
    );
    return this.#wrong;
  }

  async #withoutRoute(): Promise<void> {
    const { frontend } = this.#demo;
    this.#screen.heading("1. No route: the Service's own endpoints answer");
    await this.#show({ from: frontend, args: tries.plain }, says("A backend"), frontend);
  }

  async #withRoute(load: Running): Promise<void> {
    const { frontend } = this.#demo;
    this.#screen.heading('2. An HTTPRoute sends "x-request-id: alternative" to backend-b');
    const marked = { from: frontend, args: tries.marked };
    await this.#drop("2-route.yaml", marked, says("B backend"));
    await this.#show(marked, says("B backend"), frontend);
    await this.#show({ from: frontend, args: tries.plain }, says("A backend"), frontend);
    const { answers, failures } = countsOf(load);
    this.#expect(failures === 0, `${answers} other requests so far, ${failures} failed`);
  }

  async #withAuthorization(): Promise<void> {
    const { frontend, backendA, backendB, outside } = this.#demo;
    this.#screen.heading("3. backend-a admits only the service account frontend");
    await this.#drop("3-authorization.yaml", { from: outside, args: tries.env }, refused);
    this.#screen.line("A meshed client with the right identity:");
    await this.#show({ from: frontend, args: tries.plain }, says("A backend"), frontend);
    this.#screen.line("A meshed client with another identity:");
    await this.#show({ from: backendB, args: tries.env }, refused, backendA);
    this.#screen.line("A client outside the mesh:");
    await this.#show({ from: outside, args: tries.env }, refused);
  }

  /** Puts a file into the watched folder and waits until a request is answered as it should be from then on. */
  async #drop(file: string, ask: Ask, good: (answer: Answer) => boolean): Promise<void> {
    const { mesh } = this.#demo;
    this.#screen.line(`$ cp ${path.join("examples/steps", file)} ${mesh.policyFolder}/`);
    mesh.declareText(file, readFileSync(path.join(this.#stepFolder, file), "utf8"));
    const startMs = performance.now();
    let answer = await this.#send(ask);
    while (!good(answer) && performance.now() - startMs < inForceDeadlineMs) {
      await pause(pollMs);
      answer = await this.#send(ask);
    }
    const tookMs = Math.round(performance.now() - startMs);
    this.#expect(good(answer), `in force after ${tookMs} ms`);
  }

  /** `decidedIn`: the pod whose sidecar is asked why. Strangers are not told the id of a decision, only the reason. */
  async #show(ask: Ask, good: (answer: Answer) => boolean, decidedIn?: Pod): Promise<void> {
    this.#screen.line(`${ask.from.name}$ ${curlText(ask.args)}`);
    const answer = await this.#send(ask);
    const message = /PODINFO_UI_MESSAGE=[^"]*/.exec(answer.body)?.[0] ?? "";
    this.#expect(good(answer), `${answer.status} ${message}`.trim());
    const why =
      decidedIn === undefined
        ? (answer.headers.get("l5d-proxy-error") ?? "")
        : await explain(decidedIn, answer.headers.get("l5d-decision-id") ?? "");
    this.#signal.throwIfAborted();
    if (why === "") this.#expect(false, "no reason was given");
    this.#screen.line(`  why: ${why}`);
  }

  /** What was asked while the pods went away is no fault of theirs. */
  async #send(ask: Ask): Promise<Answer> {
    const answer = await send(ask);
    this.#signal.throwIfAborted();
    return answer;
  }

  #expect(good: boolean, text: string): void {
    if (!good) this.#wrong++;
    this.#screen.verdict(good, text);
  }
}

async function send({ from, args }: Ask): Promise<Answer> {
  const bounded = ["curl", "-m", String(curlDeadlineSeconds), ...args];
  const { out } = await from.exec("application", bounded);
  const [head = "", ...body] = out.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers = lines.map((line): readonly [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const status = Number(/^HTTP\/\S+ ([0-9]{3})/.exec(first)?.[1] ?? 0);
  return { status, headers: new Map(headers), body: body.join("\r\n\r\n") };
}

/** The gist of what `weft explain --id` says; empty when it says nothing. */
async function explain(pod: Pod, id: string): Promise<string> {
  const { out } = await pod.exec("application", [...weft, "explain", "--id", id]);
  const sections = new Map<string, string>();
  for (const section of out.split("\n\n")) {
    const [title = "", first = ""] = section.split("\n");
    sections.set(title.trim(), first.trim());
  }
  const to = sections.get("Sent to");
  if (to === undefined) return sections.get("What became of it") ?? "";
  return `${sections.get("Route") ?? ""} → ${to}`;
}

function says(message: string): (answer: Answer) => boolean {
  return (answer) => answer.status === 200 && answer.body.includes(`PODINFO_UI_MESSAGE=${message}`);
}

/** A refusal without a reason is not what is promised. */
function refused(answer: Answer): boolean {
  return answer.status === 403 && answer.headers.has("l5d-proxy-error");
}

/** The last whole line that `weft demo load` wrote. */
function countsOf(load: Running): LoadCounts {
  const line = load.output.split("\n").findLast((text) => /^\{.*\}$/.test(text));
  if (line === undefined) throw new Error(`The load counted nothing: ${load.output}`);
  return JSON.parse(line);
}
