import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Cidr, Ip } from "../std/ip.ts";
import type {
  IPAddress,
  IPAddressSchema,
  IPNetwork,
  IPNetworkSchema,
  TcpAddress,
  TcpAddressSchema,
} from "./gen/linkerd/net_pb.ts";

export function toWireIp(ip: Ip): MessageInitShape<typeof IPAddressSchema> {
  if (ip.family === 4) return { ip: { case: "ipv4", value: ip.bits } };
  const [a, b, c, d] = ip.words;
  return { ip: { case: "ipv6", value: { first: toFixed64(a, b), last: toFixed64(c, d) } } };
}

/** As std/ip: an IPv4 address that is written as IPv6 (RFC 4291 §2.5.5.2) is the IPv4 address. */
export function fromWireIp(address: IPAddress | undefined): Ip | undefined {
  const ip = rawIp(address);
  return ip !== undefined && isMapped(ip) ? { family: 4, bits: ip.words[3] } : ip;
}

export function toWireNetwork({ ip, prefix }: Cidr): MessageInitShape<typeof IPNetworkSchema> {
  return { ip: toWireIp(ip), prefixLen: prefix };
}

export function fromWireNetwork(network: IPNetwork | undefined): Cidr | undefined {
  const ip = rawIp(network?.ip);
  if (network === undefined || ip === undefined) return undefined;
  const prefix = network.prefixLen;
  if (isMapped(ip) && prefix >= 96 && prefix <= 128) {
    return { ip: { family: 4, bits: ip.words[3] }, prefix: prefix - 96 };
  }
  return prefix <= (ip.family === 4 ? 32 : 128) ? { ip, prefix } : undefined;
}

export function toWireTcpAddress(ip: Ip, port: number): MessageInitShape<typeof TcpAddressSchema> {
  return { ip: toWireIp(ip), port };
}

export function fromWireTcpAddress(
  address: TcpAddress | undefined,
): { readonly ip: Ip; readonly port: number } | undefined {
  const ip = fromWireIp(address?.ip);
  const port = address?.port ?? 0;
  return ip === undefined || port < 1 || port > 65_535 ? undefined : { ip, port };
}

function rawIp(address: IPAddress | undefined): Ip | undefined {
  const ip = address?.ip;
  switch (ip?.case) {
    case "ipv4":
      return { family: 4, bits: ip.value };
    case "ipv6": {
      const [a, b] = fromFixed64(ip.value.first);
      const [c, d] = fromFixed64(ip.value.last);
      return { family: 6, words: [a, b, c, d] };
    }
    case undefined:
      return undefined;
  }
}

function isMapped(ip: Ip): ip is Extract<Ip, { readonly family: 6 }> {
  return ip.family === 6 && ip.words[0] === 0 && ip.words[1] === 0 && ip.words[2] === 0xffff;
}

function toFixed64(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

function fromFixed64(value: bigint): readonly [number, number] {
  return [Number(value >> 32n), Number(value & 0xffff_ffffn)];
}
