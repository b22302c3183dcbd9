/** Programmer errors end the process, in production too: a daemon that lost an invariant must not go on deciding. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFault(message);
}

/** The `default` of a switch over a closed union. */
export function unreachable(value: never): never {
  throw new AssertionFault(`unreachable: ${JSON.stringify(value)}`);
}

/** Never caught on purpose; what catches errors in general rethrows it. */
export class AssertionFault extends Error {
  override readonly name = "AssertionFault";
}
