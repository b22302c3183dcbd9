/** `weft keeper`: started by the daemon, or by its own unit. */
import { createLogger } from "../base/logger.ts";
import { VERSION } from "../base/version.ts";
import type { Command } from "./command.ts";
import { EXECUTABLE, logLevelOf } from "./common-options.ts";
import { DAEMON_OPTIONS, readHostOptions } from "./daemon-options.ts";
import { describeOptions, type OptionTable } from "./options.ts";

const OPTIONS = {
  config: DAEMON_OPTIONS.config,
  "data-dir": DAEMON_OPTIONS["data-dir"],
  "log-level": DAEMON_OPTIONS["log-level"],
  detach: {
    kind: "boolean",
    help: "start one in the background unless one runs, and end when it answers",
  },
} as const satisfies OptionTable;

export const keeperCommand: Command = {
  summary: "Hold published ports and answer the Engine's plugin calls",
  help: `Usage: weft keeper [OPTIONS]

The small process that outlives the daemon. 'weft daemon' starts one where none runs, so this
is for a unit that comes before the Docker Engine's at boot: the Engine waits for its plugins.

Options:
${describeOptions(OPTIONS)}
`,
  async run(words) {
    const options = readHostOptions(OPTIONS, words);
    const dataDir = options["data-dir"];
    const logLevel = logLevelOf(options["log-level"]);
    if (options.detach) {
      const { ensureKeeper } = await import("../keeper/launch.ts");
      const log = createLogger({ level: logLevel });
      await ensureKeeper({ dataDir, version: VERSION, executable: [EXECUTABLE], log, logLevel });
      return 0;
    }
    const { runKeeper } = await import("../keeper/main.ts");
    await runKeeper({ dataDir, version: VERSION, logLevel });
    return 0;
  },
};
