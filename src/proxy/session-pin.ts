/** Session persistence: which endpoint a client belongs to, and the token that tells it so (`core/decide/session.ts`). */
import { isRefreshDue, writeSession } from "../core/decide/session.ts";
import { endpointKey } from "../core/model/endpoint.ts";
import type { Exchange } from "./exchange.ts";
import type { LoadedChoice, LoadedRule } from "./loaded.ts";

/**
 * The backend that the client's session leads to, whatever its weight, and its endpoint in `guard.pinned`. Undefined: there
 * is no session, or its endpoint is gone or takes no requests now, so that another one has to be chosen. A token that names
 * an endpoint of no backend of this rule leads nowhere.
 */
export function pinnedChoice(exchange: Exchange, rule: LoadedRule): LoadedChoice | undefined {
  const { guard, shard } = exchange;
  if (guard === undefined) return undefined;
  const { session } = guard;
  guard.pinned = undefined;
  if (session === undefined) return undefined;
  const nowMs = shard.nowMs();
  for (const choice of rule.choices) {
    const member = choice.group?.memberAt(session.endpoint, nowMs, choice.breaker);
    if (member === undefined) continue;
    guard.pinned = member;
    return choice;
  }
  return undefined;
}

/** The response of the session's endpoint renews its token when that is due; that of another one begins a new session. */
export function addSession({ guard, target, shard, origin, responseEdit: edit }: Exchange): void {
  const rule = guard?.rule;
  const policy = rule?.rule.session;
  if (guard === undefined || rule === undefined || policy === undefined || target === undefined) {
    return;
  }
  const nowMs = shard.wallMs();
  const endpoint = endpointKey(target.endpoint);
  const known = guard.session?.endpoint === endpoint ? guard.session : undefined;
  if (known !== undefined && !isRefreshDue(policy, known, nowMs)) return;
  const session = { endpoint, issuedMs: known?.issuedMs ?? nowMs, usedMs: nowMs };
  const reply = { nowMs, secure: origin.peer.tls };
  const value = writeSession(policy, rule.scope, session, reply);
  if (policy.type === "cookie") edit.add("set-cookie", value);
  else edit.set(policy.name.toLowerCase(), value);
}
