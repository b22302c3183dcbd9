/** The lab's own failure: which step on which machine, with the tool's evidence. */
import { SystemError } from "../base/errors.ts";

export class LabError extends SystemError {}

/** A command that ended otherwise than expected, with what it said. */
export class CommandError extends LabError {
  readonly argv: readonly string[];
  readonly exitCode: number | undefined;
  readonly stderr: string;

  constructor(argv: readonly string[], exitCode: number | undefined, stderr: string, why = "") {
    const ending = why === "" ? `exit status ${exitCode ?? "none"}` : why;
    super(`${argv.join(" ")}: ${ending}\n${stderr.trimEnd()}`.trimEnd());
    this.argv = argv;
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}
