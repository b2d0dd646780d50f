/**
 * Makes the kernel abort a connection when the process or thread that holds it dies. Without that it ends the connection in order (FIN), and to the other end the
 * bytes so far are all: Node.js takes a FIN for an end also below TLS, where the missing last message (RFC 8446 §6.1) should give it away.
 *
 * socket(7) SO_LINGER with a time of 0 turns each close into an abort (RST), also the one that the kernel does for the dead. Node.js has no socket options of this
 * kind; `node:ffi`, which calls the C library, is experimental. Where it is missing, connections end as Node.js ends them.
 */
import { isBuiltin } from "node:module";

/** asm-generic/socket.h. */
const solSocket = 1;
const soLinger = 13;

/** struct linger: whether, and for how many seconds. Nothing is left of what lingers for no time. */
const aborts: Buffer = Buffer.from(new Int32Array([1, 0]).buffer);
const ends: Buffer = Buffer.from(new Int32Array([0, 0]).buffer);

/** The answer of setsockopt(2) for SO_LINGER: 0 when it is set. */
type SetLinger = (fd: number, linger: Buffer) => number;

/** `null`: there is no such call here. Each thread opens its own. */
let setLinger: SetLinger | null | undefined;

/** `fd`: of a connection. False: it cannot be said of this one. */
export function setAbortOnDeath(fd: number, isOn: boolean): boolean {
  if (setLinger === undefined) setLinger = loadSetsockopt();
  return setLinger !== null && setLinger(fd, isOn ? aborts : ends) === 0;
}

function loadSetsockopt(): SetLinger | null {
  try {
    if (!isBuiltin("node:ffi")) return null;
    const ffi = process.getBuiltinModule("node:ffi");
    // The process itself: whatever C library it runs on is loaded already.
    const { functions } = ffi.dlopen(null, {
      setsockopt: { arguments: ["i32", "i32", "i32", "buffer", "u32"], return: "i32" },
    });
    const { setsockopt } = functions;
    const set: SetLinger = (fd, linger) =>
      setsockopt(fd, solSocket, soLinger, linger, linger.length);
    // Other versions of the module name the parts of a signature differently, ignore ours, and return nothing.
    const probe: unknown = set(-1, ends);
    return probe === -1 ? set : null;
  } catch {
    return null;
  }
}
