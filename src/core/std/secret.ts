/**
 * A value that must not reach a log, an error text or a snapshot by accident: JSON, string conversion and Node's
 * inspect all print `[redacted]`. `reveal()` is the only way to the value, so a review can search for it.
 */
const redacted = "[redacted]";

export class Secret<T = string> {
  static {
    // The registered symbol by which Node's `util.inspect` asks a value; core knows its name, not its module.
    const inspect = Symbol.for("nodejs.util.inspect.custom");
    Object.defineProperty(Secret.prototype, inspect, { value: () => redacted });
  }

  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toJSON(): string {
    return redacted;
  }

  toString(): string {
    return redacted;
  }
}
