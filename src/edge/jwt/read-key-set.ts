/** Reads the text of a key set from where it is published. Never throws: a reason says what went wrong, and holds nothing of what was read. */
import { open } from "node:fs/promises";
import { fail, fault, ok, type Result } from "../../core/std/result.ts";

/** Sets of large providers have 20 KB. */
export const maxKeySetBytes = 262_144;

/** A provider that takes longer is asked again later; the keys that are known go on meanwhile. */
const readTimeoutMs = 5_000;

export async function fetchKeySet(url: string): Promise<Result<string>> {
  try {
    // Whoever can redirect must not say which keys hold.
    const response = await fetch(url, {
      redirect: "error",
      headers: { accept: "application/jwk-set+json, application/json" },
      signal: AbortSignal.timeout(readTimeoutMs),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      return fail(fault("", `expected status 200, got ${response.status}`));
    }
    return await collect(response.body ?? []);
  } catch (error) {
    return fail(fault("", reasonOf(error)));
  }
}

export async function readKeySetFile(path: string): Promise<Result<string>> {
  try {
    await using file = await open(path);
    // A device or a pipe could be read for ever.
    if (!(await file.stat()).isFile()) return fail(fault("", "name a regular file"));
    return await collect(file.createReadStream({ autoClose: false }));
  } catch (error) {
    return fail(fault("", reasonOf(error)));
  }
}

async function collect(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Result<string>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > maxKeySetBytes) {
      return fail(fault("", `publish at most ${maxKeySetBytes} bytes`));
    }
    parts.push(chunk);
  }
  return ok(Buffer.concat(parts).toString("utf8"));
}

/** What `fetch` throws says little; its cause has the code of the system. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (!(cause instanceof Error)) return String(cause);
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.message;
}
