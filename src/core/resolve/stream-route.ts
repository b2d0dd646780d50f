/** Where the connections of a TCPRoute or TLSRoute go. */
import type { Distribution } from "../model/backend.ts";
import type { StreamRoute } from "../resource/stream-route.ts";
import type { BackendContext } from "./backend.ts";
import { type Converted, type Problem, unresolved } from "./problem.ts";
import { resolveBackend } from "./route-backend.ts";

/** A reference that leads nowhere keeps its share and closes its connections. */
export function resolveStreamBackends(
  context: BackendContext,
  route: StreamRoute,
): Converted<Distribution> {
  const refs = route.rules[0]?.backendRefs ?? [];
  if (refs.length === 0) {
    return { value: { kind: "empty" }, problems: [nowhere("the rule has no backendRefs")] };
  }
  const resolved = refs.map((ref) =>
    resolveBackend({ ...context, cargo: "connections" }, { ...ref, filters: [] }),
  );
  const problems = resolved.flatMap((one) => one.problems);
  if (refs.every(({ weight }) => weight === 0)) {
    return { value: { kind: "empty" }, problems };
  }
  const backends = resolved.map(({ value }) => value);
  return { value: { kind: "random-available", backends }, problems };
}

function nowhere(message: string): Problem {
  return unresolved("BackendNotFound", message);
}

/** Fields that say more than can be done. */
export function unusedStreamFields({ rules }: StreamRoute): readonly string[] {
  return rules.length > 1 ? ["all rules but the first, which takes every connection"] : [];
}
