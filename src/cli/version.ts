/** `weft version` */
import { VERSION } from "../base/version.ts";
import type { Command } from "./command.ts";

export const versionCommand: Command = {
  summary: "Print the version",
  help: "Usage: weft version\n\nPrints Weft's version and Node.js'.\n",
  async run() {
    process.stdout.write(`Weft ${VERSION}, Node.js ${process.versions.node}\n`);
    return 0;
  },
};
