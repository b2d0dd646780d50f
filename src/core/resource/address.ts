/** Addresses and transport protocols, as Pods, Services and EndpointSlices write them. */
import { formatIp, parseIp } from "../std/ip.ts";
import { type Field, quote } from "./field.ts";

export type Protocol = "TCP" | "UDP" | "SCTP";

export const protocols: readonly Protocol[] = ["TCP", "UDP", "SCTP"];

/** Canonical text, so that two spellings of one address are one address. Empty text is an address not given yet. */
export function readIp(field: Field): string | undefined {
  const text = field.optionalText();
  if (text === undefined || text === "") return undefined;
  const ip = parseIp(text);
  if (ip === undefined) field.fault(`must be an IP address, is ${quote(text)}`);
  return ip === undefined ? undefined : formatIp(ip);
}
