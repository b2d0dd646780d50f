/** Whether regular expressions can be used, remembered: each change asks for all of them again. */
import { LRUCache } from "lru-cache";
import { compilePattern } from "../core/decide/pattern.ts";
import { describeFaults } from "../core/std/result.ts";

/** More different patterns than a cluster has; with patterns of the longest kind 20 MiB. */
const maxRemembered = 10_000;

export function rememberingCheck(): (source: string) => string | undefined {
  const known = new LRUCache<string, { readonly reason: string | undefined }>({
    max: maxRemembered,
  });
  return (source) => {
    const before = known.get(source);
    if (before !== undefined) return before.reason;
    const compiled = compilePattern(source);
    const reason = compiled.ok ? undefined : describeFaults(compiled.faults);
    known.set(source, { reason });
    return reason;
  };
}
