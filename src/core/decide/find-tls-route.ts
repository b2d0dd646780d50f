/** Which route takes a connection of TLS, by the server name in its ClientHello (RFC 6066 §3). */
import type { TlsEntry } from "../table/outbound.ts";
import { hostTakes } from "./find-route.ts";

/** `serverName`: undefined when the client names none, which routes with names do not take. Undefined: the connection is closed. */
export function findTlsRoute(
  entries: readonly TlsEntry[],
  serverName: string | undefined,
): TlsEntry | undefined {
  return entries.find(
    ({ snis }) => snis.length === 0 || (serverName !== undefined && hostTakes(snis, serverName)),
  );
}
