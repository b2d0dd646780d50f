/**
 * Conflation: a reader that is slower than the changes gets the newest state when it is ready again, and none of those in
 * between. So a slow reader costs one value, however many changes it misses.
 */
type Drainable = {
  readonly ready: boolean;
  onDrain(callback: () => void): void;
};

/** `write` is called while the stream is ready, each time with the newest value given. */
export function keepNewest<V>(stream: Drainable, write: (value: V) => void): (value: V) => void {
  let waiting: { readonly value: V } | undefined;
  stream.onDrain(() => {
    if (waiting === undefined) return;
    const { value } = waiting;
    waiting = undefined;
    write(value);
  });
  return (value) => {
    if (stream.ready) write(value);
    else waiting = { value };
  };
}
