/** `weft explain --id`: a decision that a running sidecar has made, asked for at its admin port, for people or as JSON. */
import { EnvReader, formatAddress } from "../config/env.ts";
import type { DecisionReport } from "../core/decide/explain-decision.ts";
import { describeFaults } from "../core/std/result.ts";
import { coloured, plain } from "../explain/print.ts";
import { printDecision } from "../explain/print-decision.ts";

export type ExplainDecisionFlags = {
  readonly id: string;
  readonly admin: string;
  readonly output: string;
};

/** The proxy refused the request. */
const refused = 1;
/** Nothing is known about the id, or no longer. */
const notKnown = 2;
const usageError = 64;
/** sysexits.h EX_UNAVAILABLE. */
const unreachable = 69;

/** The admin port answers in milliseconds, and a worker within two seconds. */
const timeoutMs = 5_000;

export async function runExplainDecision(
  flags: ExplainDecisionFlags,
  isPlain: boolean,
): Promise<number> {
  const { id, admin, output } = flags;
  const reader = new EnvReader({ "--admin": admin });
  const address = reader.finish(reader.authority("--admin"));
  if (!address.ok) return complain(describeFaults(address.faults), usageError);
  if (output !== "text" && output !== "json") {
    return complain(`-o: write text or json instead of ${JSON.stringify(output)}`, usageError);
  }
  const place = formatAddress(address.value);
  const url = `http://${place}/decisions/${encodeURIComponent(id)}`;
  let response: Response;
  let body: string;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    body = await response.text();
  } catch (error) {
    return complain(
      `name the admin port of the sidecar with --admin: ${place} does not answer (${reasonOf(error)})`,
      unreachable,
    );
  }
  if (!response.ok) {
    const code = response.status >= 500 ? unreachable : notKnown;
    return complain(`${JSON.stringify(id)} at ${place}: ${body.trim()}`, code);
  }
  const report = JSON.parse(body) as DecisionReport;
  process.stdout.write(
    output === "json"
      ? `${JSON.stringify(report, null, 2)}\n`
      : printDecision(report, isPlain ? plain : coloured),
  );
  return report.answer.by === "proxy" ? refused : 0;
}

function complain(text: string, code: number): number {
  process.stderr.write(`weft explain: ${text}\n`);
  return code;
}

/** What `fetch` throws hides the cause behind it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause, message } = error;
  return cause instanceof Error ? cause.message : message;
}
