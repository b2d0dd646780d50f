/** `/decisions/ID`: why a request got the answer that it got. It tells what clients asked for, so only this machine may see it. */
import type { AdminHandler } from "../edge/process/admin.ts";
import type { DecisionReply } from "./ask-decision.ts";
import { isLoopback } from "./follow-hosts.ts";

export const decisionPath = "/decisions/";

export function decisionPage(ask: (id: string) => Promise<DecisionReply>): AdminHandler {
  return async ({ path, remoteAddress }) => {
    if (!isLoopback(remoteAddress.replace(/^::ffff:/, ""))) {
      return { status: 403, body: "ask from the machine or pod of this sidecar, by loopback\n" };
    }
    const reply = await ask(path.slice(decisionPath.length));
    if (reply.state === "found") {
      const body = `${JSON.stringify(reply.report, undefined, 2)}\n`;
      return { status: 200, body, contentType: "application/json" };
    }
    const { status, reason } = refusals[reply.state];
    const kept = reply.state === "overwritten" ? ` ${reply.kept}` : "";
    return { status, body: `${reason.replace(" #", kept)}\n` };
  };
}

type Refusal = { readonly status: number; readonly reason: string };

const refusals: Readonly<Record<Exclude<DecisionReply["state"], "found">, Refusal>> = {
  malformed: {
    status: 400,
    reason: "copy the whole id from the header l5d-decision-id or the access log: this is none",
  },
  foreign: {
    status: 404,
    reason:
      "ask the sidecar that made the decision: the id is of another one, or of this one before it was started again",
  },
  unknown: { status: 404, reason: "look at the id again: no decision has been made under it yet" },
  restarted: {
    status: 410,
    reason: "repeat the request: the worker that decided has ended since, and its memory with it",
  },
  overwritten: {
    status: 410,
    reason:
      "repeat the request: a worker remembers its last # decisions, and newer ones came since",
  },
  silent: { status: 503, reason: "ask again: the worker did not answer in time" },
};
