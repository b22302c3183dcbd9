/** What every file of this room exports: one command, its help, and what it does. */
export interface Command {
  /** One line for `weft help`. */
  readonly summary: string;
  /** The whole help text, with examples. */
  readonly help: string;
  /** Runs with the words after the command's name; resolves with the exit code. */
  run(words: readonly string[]): Promise<number>;
}

/** The user called it wrongly: said on one line, with the way to the help text. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
