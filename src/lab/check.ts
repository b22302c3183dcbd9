/** Says whether this machine can run labs: `node src/lab/check.ts`, for `make setup`. */
import { labUnavailable } from "./requirements.ts";

const reason = await labUnavailable();
if (reason === undefined) {
  process.stdout.write("This machine can run hosts of the lab.\n");
} else {
  process.stderr.write(`This machine cannot run hosts of the lab: ${reason}\n`);
  process.exitCode = 1;
}
