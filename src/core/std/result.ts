/** What is wrong with an input: where (a JSON path such as `spec.rules[0].matches`), and why. */
export type Fault = {
  readonly path: string;
  readonly reason: string;
};

/** The answer of every `parse*`: a value, or all the faults that were found (never only the first). */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly faults: readonly Fault[] };

export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

export function fail<T>(...faults: readonly Fault[]): Result<T> {
  return { ok: false, faults };
}

export function fault(path: string, reason: string): Fault {
  return { path, reason };
}

/** One line for people: `spec.port: must be 1 to 65535; spec.name: is required`. */
export function describeFaults(faults: readonly Fault[]): string {
  return faults.map(({ path, reason }) => (path === "" ? reason : `${path}: ${reason}`)).join("; ");
}
