/**
 * Holds packets for a while: takes them from a netfilter queue (linux/netfilter/nfnetlink_queue.h) and gives each back when its time has come. Arguments: the
 * number of the queue, milliseconds. A kernel without netem has no other way. Packets flow undelayed when this process is gone, if the rule says so
 * (`--queue-bypass`).
 */
import { dlopen } from "node:ffi";

const { functions: c } = dlopen(null, {
  socket: { arguments: ["i32", "i32", "i32"], return: "i32" },
  setsockopt: { arguments: ["i32", "i32", "i32", "buffer", "u32"], return: "i32" },
  send: { arguments: ["i32", "buffer", "u64", "i32"], return: "i64" },
  recv: { arguments: ["i32", "buffer", "u64", "i32"], return: "i64" },
  poll: { arguments: ["buffer", "u64", "i32"], return: "i32" },
});

const netlink = { family: 16, raw: 3, netfilter: 12 } as const;
const subsystem = 3 << 8;
const message = { packet: subsystem, verdict: subsystem | 1, config: subsystem | 2 } as const;
const attribute = {
  packetHeader: 1,
  verdictHeader: 2,
  command: 1,
  parameters: 2,
  maxLength: 3,
} as const;
const bindCommand = 1;
const copyMeta = 1;
const accept = 1;
const dontWait = 0x40;
/** sizeof(struct nlmsghdr) and sizeof(struct nfgenmsg). */
const headBytes = 16 + 4;
/** A burst of a fast connection; what does not fit is lost, as in a router. */
const maxHeld = 100_000;
const receiveBytes = 8_388_608;
const idlePollMs = 1_000;

const [queueText = "", delayText = ""] = process.argv.slice(2);
const queue = Number(queueText);
const delayMs = Number(delayText);
const socket = c.socket(netlink.family, netlink.raw, netlink.netfilter);

function send(type: number, attributes: readonly (readonly [number, Buffer])[]): void {
  const parts = attributes.map(([kind, value]) => {
    const part = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    part.writeUInt16LE(4 + value.length, 0);
    part.writeUInt16LE(kind, 2);
    value.copy(part, 4);
    return part;
  });
  const head = Buffer.alloc(headBytes);
  const request = 1;
  head.writeUInt16LE(type, 4);
  head.writeUInt16LE(request, 6);
  head.writeUInt16BE(queue, 18);
  const bytes = Buffer.concat([head, ...parts]);
  bytes.writeUInt32LE(bytes.length, 0);
  c.send(socket, bytes, BigInt(bytes.length), 0);
}

function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at);
  return bytes;
}

/** The ids of the packets that a datagram of the kernel tells of. */
function packetIds(bytes: Buffer): readonly number[] {
  const ids: number[] = [];
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const end = at + bytes.readUInt32LE(at);
    const isPacket = bytes.readUInt16LE(at + 4) === message.packet;
    for (let part = at + headBytes; isPacket && part + 4 <= end; ) {
      if (bytes.readUInt16LE(part + 2) === attribute.packetHeader)
        ids.push(bytes.readUInt32BE(part + 4));
      part += Math.ceil(bytes.readUInt16LE(part) / 4) * 4;
    }
    at += Math.ceil((end - at) / 4) * 4;
  }
  return ids;
}

const force = 33;
c.setsockopt(socket, 1, force, Buffer.from(new Uint32Array([receiveBytes]).buffer), 4);
send(message.config, [[attribute.command, Buffer.from([bindCommand, 0, 0, 0])]]);
send(message.config, [
  [attribute.parameters, Buffer.from([0, 0, 0, 0, copyMeta])],
  [attribute.maxLength, numbers(maxHeld)],
]);
process.stdout.write("delaying\n");

// The oldest is always the next one, since all wait equally long.
const held: { readonly id: number; readonly dueMs: number }[] = [];
const incoming = Buffer.alloc(65_536);
const wanted = Buffer.alloc(8);
wanted.writeInt32LE(socket, 0);
const readable = 1;
wanted.writeInt16LE(readable, 4);
for (let next = 0; ; ) {
  const head = held[next];
  const waitMs =
    head === undefined ? idlePollMs : Math.max(0, Math.ceil(head.dueMs - performance.now()));
  c.poll(wanted, 1n, waitMs);
  for (;;) {
    const size = Number(c.recv(socket, incoming, BigInt(incoming.length), dontWait));
    if (size <= 0) break;
    const dueMs = performance.now() + delayMs;
    for (const id of packetIds(incoming.subarray(0, size))) held.push({ id, dueMs });
  }
  for (
    let due = held[next];
    due !== undefined && due.dueMs <= performance.now();
    due = held[next]
  ) {
    send(message.verdict, [[attribute.verdictHeader, numbers(accept, due.id)]]);
    next += 1;
  }
  if (next === held.length) {
    held.length = 0;
    next = 0;
  }
}
