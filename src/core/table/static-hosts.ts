/**
 * The name under which the endpoints of a backend outside the mesh are published. Two backends with the same hosts share them. It is no authority: those have no
 * space.
 */
import type { StaticHost } from "../model/backend.ts";
import { endpointKey } from "../model/endpoint.ts";

const prefix = "static ";

export function staticAuthority(hosts: readonly StaticHost[]): string {
  return prefix + hosts.map(({ host, port }) => endpointKey({ ip: host, port })).join(" ");
}

/** Undefined: the endpoints are those of an authority of the mesh. */
export function staticHostsOf(authority: string): readonly StaticHost[] | undefined {
  if (!authority.startsWith(prefix)) return undefined;
  const hosts = authority.slice(prefix.length);
  if (hosts === "") return [];
  return hosts.split(" ").map((text) => {
    const colon = text.lastIndexOf(":");
    const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
    return { host, port: Number(text.slice(colon + 1)) };
  });
}
