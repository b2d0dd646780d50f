/**
 * Layout of the memory in which the workers of a sidecar count requests together, so that a limit holds for all of them: 32-bit states of `decide/rate-limit.ts`, one for each
 * port, then those of clients. The main thread owns it for as long as the process lives, so that neither a new policy nor a new worker begins anew.
 */

/** One for each port there is. */
const totalSlots = 65_536;

/**
 * Clients are spread over these by a hash, so that the memory has a bound whoever comes. Two clients in one slot share a limit: with 1,000 clients of a port, one in 66 shares its
 * slot with another. Together 512 KiB, of which the system hands out the pages that are used.
 */
const clientSlots = 65_536;

export const rateLimitBytes: number = (totalSlots + clientSlots) * Int32Array.BYTES_PER_ELEMENT;

/** Where all requests to a port are counted. */
export function totalSlot(port: number): number {
  return port % totalSlots;
}

/** Where those of one client are. The empty identity stands for all clients without one. */
export function clientSlot(port: number, identity: string): number {
  // FNV-1a: even enough for names, and cheap enough for every request.
  let hash = 0x811c9dc5 ^ port;
  for (let at = 0; at < identity.length; at++) {
    hash = Math.imul(hash ^ identity.charCodeAt(at), 0x01000193);
  }
  hash ^= hash >>> 16;
  return totalSlots + ((hash >>> 0) % clientSlots);
}
