/** For the `default` of an exhaustive `switch`: a case without a branch does not compile. */
export function unreachable(value: never): never {
  throw new Error(`Reached a state that cannot exist: ${JSON.stringify(value)}`);
}
