/**
 * Makes the event loop of this thread turn when a descriptor is readable. The loop is libuv's, which `node:ffi` gives the address of (`getCurrentEventLoop`); the
 * descriptor is watched by a `uv_poll_t` whose callback is a function of libuv that changes nothing. A turn runs the immediates, also those that keep no loop alive, and
 * whoever wants to know of the descriptor looks there: no code of V8 is entered by a way that Node.js does not know.
 *
 * A thread may end without running anything of ours (`worker.terminate()`, out of memory), and its loop must not hold a handle then: Node.js ends the process. So the
 * handle is marked as one of libuv's own, which are not asked about, and its memory is never freed (it is 160 bytes for each start of a thread). Where the mark is kept
 * is no part of libuv's interface; `markedLoopCloses` finds out on a loop of its own whether it does what it should.
 */
type Ffi = typeof import("node:ffi");

/** uv.h: uv_handle_type, uv_poll_event. */
const pollHandle = 8;
const readable = 1;

/** uv-common.h: where `struct uv_handle_s` has its flags, and two of them. */
const flagsOffset = 88;
const hasReference = 8;
const isInternal = 16;

const signatures = {
  malloc: { arguments: ["u64"], return: "pointer" },
  free: { arguments: ["pointer"], return: "void" },
  uv_loop_size: { arguments: [], return: "u64" },
  uv_loop_init: { arguments: ["pointer"], return: "i32" },
  uv_loop_close: { arguments: ["pointer"], return: "i32" },
  uv_handle_size: { arguments: ["i32"], return: "u64" },
  uv_poll_init: { arguments: ["pointer", "pointer", "i32"], return: "i32" },
  uv_poll_start: { arguments: ["pointer", "i32", "pointer"], return: "i32" },
  uv_poll_stop: { arguments: ["pointer"], return: "i32" },
  uv_unref: { arguments: ["pointer"], return: "void" },
} as const;

type Functions = ReturnType<typeof open>["functions"];

/** The answer ends it. Undefined: it cannot be done here. */
export function wakeLoopOn(ffi: Ffi, fd: number): (() => void) | undefined {
  const { lib, functions } = open(ffi);
  // It answers whether a handle is active, and does not look at what else it is called with.
  const nothing = lib.getSymbol("uv_is_active");
  if (!markedLoopCloses(ffi, functions, fd)) return undefined;
  const handle = functions.malloc(functions.uv_handle_size(pollHandle));
  if (functions.uv_poll_init(ffi.getCurrentEventLoop(), handle, fd) !== 0) return undefined;
  functions.uv_unref(handle);
  mark(ffi, handle);
  if (functions.uv_poll_start(handle, readable, nothing) !== 0) return undefined;
  return () => functions.uv_poll_stop(handle);
}

/** A loop that has a handle cannot be closed, and must be able to when that is marked. */
function markedLoopCloses(ffi: Ffi, functions: Functions, fd: number): boolean {
  const loop = functions.malloc(functions.uv_loop_size());
  const handle = functions.malloc(functions.uv_handle_size(pollHandle));
  if (functions.uv_loop_init(loop) !== 0) return false;
  if (functions.uv_poll_init(loop, handle, fd) !== 0) return false;
  if (ffi.getUint32(handle, flagsOffset) !== hasReference) return false;
  functions.uv_unref(handle);
  if (ffi.getUint32(handle, flagsOffset) !== 0 || functions.uv_loop_close(loop) === 0) return false;
  mark(ffi, handle);
  if (functions.uv_loop_close(loop) !== 0) return false;
  functions.free(handle);
  functions.free(loop);
  return true;
}

function mark(ffi: Ffi, handle: bigint): void {
  ffi.setUint32(handle, flagsOffset, ffi.getUint32(handle, flagsOffset) | isInternal);
}

function open(ffi: Ffi) {
  return ffi.dlopen(null, signatures);
}
