/**
 * IP addresses as 16 bytes held in two bigints is what people expect; four 32-bit numbers is what the hot path wants.
 * IPv4 is kept apart from IPv6: an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is read as the IPv4 address it carries,
 * because a dual-stack listener reports IPv4 peers that way and a policy must not depend on the listener's family.
 */
export type Ip =
  | { readonly family: 4; readonly bits: number }
  | { readonly family: 6; readonly words: readonly [number, number, number, number] };

export type Cidr = { readonly ip: Ip; readonly prefix: number };

export function parseIp(text: string): Ip | undefined {
  if (!text.includes(":")) {
    const bits = parseIpv4(text);
    return bits === undefined ? undefined : { family: 4, bits };
  }
  return parseIpv6(text);
}

/** Dotted quad, no leading zeros (RFC 6943 §3.1.1: `010` is read as octal by some and decimal by others). */
function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let bits = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    bits = bits * 256 + octet;
  }
  return bits;
}

function parseIpv6(text: string): Ip | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = hextets(halves[0] ?? "");
  const tail = hextets(halves[1] ?? "");
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  const word = (at: number): number => (all[at] ?? 0) * 65536 + (all[at + 1] ?? 0);
  const words = [word(0), word(2), word(4), word(6)] as const;
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return { family: 4, bits: words[3] };
  return { family: 6, words };
}

function hextets(text: string): number[] | undefined {
  if (text === "") return [];
  const out: number[] = [];
  const parts = text.split(":");
  for (const [at, part] of parts.entries()) {
    if (part.includes(".") && at === parts.length - 1) {
      const bits = parseIpv4(part);
      if (bits === undefined) return undefined;
      out.push(Math.floor(bits / 65536), bits % 65536);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      out.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return out;
}

/** Canonical text: dotted quad, or RFC 5952 for IPv6. */
export function formatIp(ip: Ip): string {
  if (ip.family === 4) {
    return [24, 16, 8, 0].map((shift) => Math.floor(ip.bits / 2 ** shift) % 256).join(".");
  }
  const groups = ip.words.flatMap((word) => [Math.floor(word / 65536), word % 65536]);
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.at < 0) return hex.join(":");
  return `${hex.slice(0, best.at).join(":")}::${hex.slice(best.at + best.length).join(":")}`;
}

export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  const width = ip.family === 4 ? 32 : 128;
  if (slash < 0) return { ip, prefix: width };
  const digits = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits) || Number(digits) > width) return undefined;
  return { ip, prefix: Number(digits) };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.ip)}/${cidr.prefix}`;
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  if (cidr.ip.family === 4 && ip.family === 4) return sameBits(cidr.ip.bits, ip.bits, cidr.prefix);
  if (cidr.ip.family === 6 && ip.family === 6) {
    for (let at = 0; at < 4; at++) {
      const bits = Math.min(Math.max(cidr.prefix - at * 32, 0), 32);
      if (!sameBits(cidr.ip.words[at] ?? 0, ip.words[at] ?? 0, bits)) return false;
    }
    return true;
  }
  return false;
}

/** Whether the first `bits` bits of two 32-bit numbers are the same. A shift by 32 is a shift by 0 in JavaScript. */
function sameBits(left: number, right: number, bits: number): boolean {
  return bits === 0 || left >>> (32 - bits) === right >>> (32 - bits);
}
