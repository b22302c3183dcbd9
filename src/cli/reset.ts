/** `weft reset` */
import { createLogger } from "../base/logger.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { EXECUTABLE } from "./common-options.ts";
import { DAEMON_OPTIONS, readHostOptions } from "./daemon-options.ts";
import { describeOptions, type OptionTable } from "./options.ts";

const OPTIONS = {
  config: DAEMON_OPTIONS.config,
  host: DAEMON_OPTIONS.host,
  "data-dir": DAEMON_OPTIONS["data-dir"],
  "docker-host": DAEMON_OPTIONS["docker-host"],
  force: { kind: "boolean", help: "do it; without this flag nothing is done" },
} as const satisfies OptionTable;

export const resetCommand: Command = {
  summary: "Take every trace of Weft off this host",
  help: `Usage: weft reset --force [OPTIONS]

Removes the tasks' containers, Weft's networks, its keeper, links, routes, rules and state from
this host, and nothing of anybody else's: a container of your own in such a network goes on
without it. A manager's cluster is gone with it. The daemon must
not run. Exit status 0 only if nothing is left.

Options:
${describeOptions(OPTIONS)}
`,
  async run(words) {
    const options = readHostOptions(OPTIONS, words);
    if (!options.force)
      throw new UsageError(
        "this removes the tasks, the mesh and, on a manager, the cluster from this host; add --force to do it",
      );
    if (process.getuid?.() !== 0) throw new Error("needs root");
    const { resetHost } = await import("../node/reset.ts");
    const failures = await resetHost({
      dataDir: options["data-dir"],
      engineSocket: options["docker-host"].replace(/^unix:\/\//, ""),
      apiSockets: options.host.flatMap((host) => /^unix:\/\/(.*)$/.exec(host)?.[1] ?? []),
      executable: [EXECUTABLE],
      log: createLogger({ level: "warn" }),
      say: (text) => void process.stdout.write(`${text}\n`),
    });
    for (const failure of failures) process.stderr.write(`weft reset: ${failure}\n`);
    if (failures.length === 0) process.stdout.write("nothing of Weft is left on this host\n");
    return failures.length === 0 ? 0 : 1;
  },
};
