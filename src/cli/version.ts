/** `weft version` */
import { VERSION } from "../base/version.ts";
import { type Command, UsageError } from "./command.ts";

export const versionCommand: Command = {
  summary: "Print the version",
  help: "Usage: weft version\n\nPrints Weft's version and Node.js'.\n",
  async run([word]) {
    if (word !== undefined) throw new UsageError(`unexpected argument '${word}'`);
    process.stdout.write(`Weft ${VERSION}, Node.js ${process.versions.node}\n`);
    return 0;
  },
};
