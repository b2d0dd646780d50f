/**
 * Throws a bug in a worker thread of a running process, through the inspector (`--inspect`): the product needs no door for
 * it. The protocol's domain `NodeWorker` relays messages to the threads of the process.
 */
export type Inspector = AsyncDisposable & {
  /** Sessions of the worker threads that live and were not crashed. */
  readonly workers: () => readonly string[];
  /** Throws in the thread's event loop. */
  readonly crash: (worker: string) => Promise<void>;
};

type Reply = {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly sessionId?: string; readonly message?: string };
  readonly error?: { readonly message: string };
};

const bug = `setTimeout(() => { throw new Error("bug thrown by the test") })`;

/** `url` is what the process prints: `ws://127.0.0.1:PORT/UUID`. */
export async function openInspector(url: string): Promise<Inspector> {
  const socket = new WebSocket(url);
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error(`Cannot inspect ${url}`)));
  });
  const sessions = new Set<string>();
  const replies = new Map<number, PromiseWithResolvers<void>>();
  const evaluated = new Map<string, PromiseWithResolvers<void>>();
  let lastId = 0;
  socket.addEventListener("message", ({ data }) => {
    const { id, method, params, error }: Reply = JSON.parse(String(data));
    const session = params?.sessionId ?? "";
    if (method === "NodeWorker.attachedToWorker") sessions.add(session);
    if (method === "NodeWorker.detachedFromWorker") sessions.delete(session);
    // The answer to the only question that is asked, or the end before it.
    if (method?.startsWith("NodeWorker.") === true) evaluated.get(session)?.resolve();
    if (id === undefined) return;
    if (error === undefined) replies.get(id)?.resolve();
    else replies.get(id)?.reject(new Error(error.message));
  });
  const call = async (method: string, params: object): Promise<void> => {
    lastId++;
    const reply = Promise.withResolvers<void>();
    replies.set(lastId, reply);
    socket.send(JSON.stringify({ id: lastId, method, params }));
    await reply.promise;
  };
  await call("NodeWorker.enable", { waitForDebuggerOnStart: false });
  return {
    workers: () => [...sessions],
    async crash(worker) {
      // Its end is announced later, perhaps after its successor.
      sessions.delete(worker);
      const done = Promise.withResolvers<void>();
      evaluated.set(worker, done);
      const message = { id: 1, method: "Runtime.evaluate", params: { expression: bug } };
      await call("NodeWorker.sendMessageToWorker", {
        sessionId: worker,
        message: JSON.stringify(message),
      });
      await done.promise;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
      socket.close();
      await closed;
    },
  };
}
