/**
 * Where a redirected connection was going (Linux, SO_ORIGINAL_DST of netfilter). Node.js has no socket options of this kind; `node:ffi` calls the C
 * library. The module is experimental and may be missing from a build or be switched off, so it is looked for when a sidecar starts that needs it.
 */
import { isBuiltin } from "node:module";
import type { Socket } from "node:net";
import { formatIp, type Ip } from "../../core/std/ip.ts";
import { fail, fault, ok, type Result } from "../../core/std/result.ts";
import { descriptorOf } from "./descriptor.ts";

export type OriginalDestination = { readonly ip: string; readonly port: number };

/** Undefined when the connection is not known to the kernel's NAT, as without redirect rules. */
export type ReadOriginalDestination = (socket: Socket) => OriginalDestination | undefined;

/** linux/in.h SOL_IP and linux/ipv6.h SOL_IPV6; linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h have the option by the same number. */
const levels = { ipv4: 0, ipv6: 41 } as const;
const originalDst = 80;
/** sizeof(struct sockaddr_in6); a sockaddr_in is shorter. */
const addressBytes = 28;

/** Costs one call into the C library for each connection. Each thread opens its own. */
export function openOriginalDst(): Result<ReadOriginalDestination> {
  const ask = loadGetsockopt();
  if (!ask.ok) return ask;
  const address = Buffer.alloc(addressBytes);
  // A socklen_t in the machine's byte order, which the kernel writes to as well.
  const lengths = new Uint32Array(1);
  const length = Buffer.from(lengths.buffer);
  return ok((socket) => {
    const { remoteAddress = "" } = socket;
    const fd = descriptorOf(socket);
    if (fd === -1 || remoteAddress === "") return undefined;
    // A listener for both families hands out IPv4 peers as mapped addresses; to netfilter these are IPv4 (RFC 4291 §2.5.5.2).
    const isIpv6 = remoteAddress.includes(":") && !remoteAddress.startsWith("::ffff:");
    lengths[0] = addressBytes;
    const level = isIpv6 ? levels.ipv6 : levels.ipv4;
    if (ask.value(fd, level, address, length) !== 0) return undefined;
    return {
      ip: formatIp(isIpv6 ? ipv6Of(address) : ipv4Of(address)),
      port: address.readUInt16BE(2),
    };
  });
}

/** The answer of getsockopt(2) for SO_ORIGINAL_DST: 0 when the address is written. */
type AskKernel = (fd: number, level: number, address: Buffer, length: Buffer) => number;

function loadGetsockopt(): Result<AskKernel> {
  try {
    if (!isBuiltin("node:ffi")) return fail(missing("it has no node:ffi"));
    const ffi = process.getBuiltinModule("node:ffi");
    // The process itself: whatever C library it runs on is loaded already.
    const { functions } = ffi.dlopen(null, {
      getsockopt: { arguments: ["i32", "i32", "i32", "buffer", "buffer"], return: "i32" },
    });
    const { getsockopt } = functions;
    const ask: AskKernel = (fd, level, address, length) =>
      getsockopt(fd, level, originalDst, address, length);
    // Other versions of the module name the parts of a signature differently, ignore ours, and return nothing.
    const probe: unknown = ask(-1, levels.ipv4, Buffer.alloc(addressBytes), Buffer.alloc(4));
    return probe === -1 ? ok(ask) : fail(missing("its node:ffi works in another way"));
  } catch (error) {
    return fail(missing(error instanceof Error ? error.message : String(error)));
  }
}

function missing(why: string): ReturnType<typeof fault> {
  return fault(
    "original destination",
    `run Node.js 26.10 with node:ffi, or explicit mode instead of transparent mode: ${process.version} cannot ask the kernel where a connection was going (${why})`,
  );
}

/** struct sockaddr_in: family, port, address. */
function ipv4Of(address: Buffer): Ip {
  return { family: 4, bits: address.readUInt32BE(4) };
}

/** struct sockaddr_in6: family, port, flow label, address. */
function ipv6Of(address: Buffer): Ip {
  const word = (at: number): number => address.readUInt32BE(8 + 4 * at);
  return { family: 6, words: [word(0), word(1), word(2), word(3)] };
}
