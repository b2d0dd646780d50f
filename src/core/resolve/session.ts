/** Session persistence of a rule (GEP-1619). */
import type { SessionPersistence } from "../model/session.ts";
import type { Service } from "../resource/service.ts";
import type { SessionPersistence as Wish } from "../resource/session-persistence.ts";
import { type Problem, unsupported } from "./problem.ts";

/** `scope` tells the rule from all others, so that two of them never share a session. */
export function resolveSession(wish: Wish, scope: string): SessionPersistence {
  const common = {
    name: wish.name ?? generatedName(scope),
    absoluteMs: wish.absoluteTimeoutMs ?? 0,
    idleMs: wish.idleTimeoutMs ?? 0,
  };
  return wish.type === "Header"
    ? { ...common, type: "header", cookiePath: "/", lifetime: "session" }
    : {
        ...common,
        type: "cookie",
        cookiePath: wish.path,
        lifetime: wish.lifetimeType === "Permanent" ? "permanent" : "session",
      };
}

/** Two mechanisms that bind a client to an endpoint would work against each other. */
export function affinityProblem(services: readonly Service[]): Problem | undefined {
  const bound = services.find(({ sessionAffinity }) => sessionAffinity === "ClientIP");
  if (bound === undefined) return undefined;
  const { namespace, name } = bound.meta;
  return unsupported(
    `sessionPersistence cannot be used with Service ${namespace}/${name}, which has sessionAffinity ClientIP`,
  );
}

/** The same after a restart and on every replica, or sessions would be lost there. */
function generatedName(scope: string): string {
  return `weft-session-${hash(scope, 0x811c_9dc5)}${hash(scope, 0x0100_0193)}`;
}

/** FNV-1a, 32 bits. Names have to differ, not to be secret. */
function hash(text: string, seed: number): string {
  let value = seed;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x0100_0193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}
