/** `weft explain`: a folder and a question → what would become of the request, for people or as JSON. */
import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readPolicyServiceConfig } from "../config/policy-service.ts";
import { type Fault, fail, fault, ok, type Result } from "../core/std/result.ts";
import { loadSchemas } from "../edge/schema/schema-set.ts";
import { explain } from "../explain/explain.ts";
import { explainInbound } from "../explain/explain-inbound.ts";
import type { Explanation } from "../explain/explanation.ts";
import { coloured, plain, print } from "../explain/print.ts";
import { readQuestion } from "../explain/question.ts";
import { readWorld, settingsOf } from "../explain/world.ts";

export type ExplainFlags = {
  readonly id?: string;
  readonly file: string;
  readonly from: string;
  readonly to?: string;
  readonly header: readonly string[];
  readonly token?: string;
  readonly ip?: string;
  readonly at?: string;
  readonly identity?: string;
  readonly output: string;
};

const usageError = 64;
/** The request would be refused. */
const refused = 1;

/** The definitions that a cluster is given, so that a folder is checked by the same schemas. */
const crdDir = fileURLToPath(new URL("../../chart/crds", import.meta.url));

export async function runExplain(
  request: readonly string[],
  flags: ExplainFlags,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const asked = await ask(request, flags, environment);
  if (!asked.ok) {
    for (const { path, reason } of asked.faults) {
      process.stderr.write(`weft explain: ${path === "" ? "" : `${path}: `}${reason}\n`);
    }
    process.stderr.write('Run "weft explain --help" for examples.\n');
    return usageError;
  }
  const explanation = asked.value;
  const isColoured = process.stdout.isTTY && environment["NO_COLOR"] === undefined;
  process.stdout.write(
    flags.output === "json"
      ? `${JSON.stringify(explanation, null, 2)}\n`
      : print(explanation, isColoured ? coloured : plain),
  );
  return explanation.verdict.kind === "refused" ? refused : 0;
}

async function ask(
  request: readonly string[],
  flags: ExplainFlags,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Result<Explanation>> {
  const { id, at, file, from, to, header, token, ip, identity, output } = flags;
  if (id !== undefined)
    return fail(fault("--id", "leave out -f and the request, or --id: both are given"));
  const read = tokenHeaders(token);
  if (!read.ok) return read;
  const headers = [...header, ...read.value];
  const config = readPolicyServiceConfig(environment);
  if (!config.ok) return config;
  const settings = settingsOf(config.value);
  if (at !== undefined) {
    const beside = [...folderFaults(file), ...outputFaults(output)];
    if (beside.length > 0) return fail(...beside);
    const world = await readWorld(file, loadSchemas(crdDir), settings);
    return explainInbound(world, { at, from, identity, to, request, headers, ip });
  }
  const question = readQuestion({ from, to, request, headers, ip }, settings.clusterDomain);
  const faults = [
    ...(question.ok ? [] : question.faults),
    ...folderFaults(file),
    ...outputFaults(output),
    ...(identity === undefined
      ? []
      : [fault("--identity", "leave it out, or name a place with --at")]),
  ];
  if (!question.ok || faults.length > 0) return fail(...faults);
  const world = await readWorld(file, loadSchemas(crdDir), settings);
  return ok(explain(world, question.value));
}

/** From a file, because the words of a command are seen by everybody on the machine. */
function tokenHeaders(file: string | undefined): Result<readonly string[]> {
  if (file === undefined) return ok([]);
  try {
    return ok([`authorization: Bearer ${readFileSync(file, "utf8").trim()}`]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return fail(fault("--token", `name a file with a token: ${reason}`));
  }
}

function outputFaults(output: string): readonly Fault[] {
  if (output === "text" || output === "json") return [];
  return [fault("-o", `write text or json instead of ${JSON.stringify(output)}`)];
}

function folderFaults(dir: string): readonly Fault[] {
  const isFolder =
    !dir.includes("\0") && statSync(dir, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder
    ? []
    : [fault("-f", `name a folder of YAML files: ${JSON.stringify(dir)} is none`)];
}
