/** A DNS server that knows what a test tells it, over UDP on loopback (RFC 1035 §4.1). */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";

export type DnsRecord = { readonly ip: string; readonly ttl: number };

/** Missing names do not exist; `"broken"` makes the server fail. */
export type DnsZone = Map<string, readonly DnsRecord[] | "broken">;

const types: ReadonlyMap<number, 4 | 6> = new Map([
  [1, 4],
  [28, 6],
]);
const noError = 0;
const serverFailure = 2;
const noSuchName = 3;

export class DnsServer implements AsyncDisposable {
  readonly zone: DnsZone = new Map();
  /** `<name> <4 or 6>` of each question. */
  readonly questions: string[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (message, from) => this.#answer(message, from));
  }

  static async start(): Promise<DnsServer> {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return new DnsServer(socket);
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  #answer(message: Buffer, from: RemoteInfo): void {
    const labels: string[] = [];
    let at = 12;
    for (let length = message[at++] ?? 0; length > 0; length = message[at++] ?? 0) {
      labels.push(message.toString("latin1", at, at + length));
      at += length;
    }
    const name = labels.join(".").toLowerCase();
    const family = types.get(message.readUInt16BE(at));
    const question = message.subarray(12, at + 4);
    this.questions.push(`${name} ${family ?? "?"}`);
    const known = this.zone.get(name);
    const records = Array.isArray(known)
      ? known.filter(({ ip }) => family === (ip.includes(":") ? 6 : 4))
      : [];
    const code = known === "broken" ? serverFailure : known === undefined ? noSuchName : noError;
    const header = Buffer.alloc(12);
    message.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    const reply = Buffer.concat([header, question, ...records.map(recordBytes)]);
    this.#socket.send(reply, from.port, from.address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }
}

/** The name is a pointer to the question. */
function recordBytes({ ip, ttl }: DnsRecord): Buffer {
  const data = ip.includes(":")
    ? Buffer.from(expand(ip).join(""), "hex")
    : Buffer.from(ip.split(".").map(Number));
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(ip.includes(":") ? 28 : 1, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

/** Eight groups of four digits. */
function expand(ip: string): readonly string[] {
  const [left = "", right = ""] = ip.split("::");
  const before = left === "" ? [] : left.split(":");
  const after = right === "" ? [] : right.split(":");
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].map((group) => group.padStart(4, "0"));
}
