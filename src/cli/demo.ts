/** `weft demo`: the tour on a lab of this machine. */
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";

export const demoCommand: Command = {
  summary: "Show a cluster of three hosts on this machine, with real Engines",
  help: `Usage: weft demo

Makes three hosts on this machine (network namespaces on a LAN of their own, each with a
Docker Engine and a Weft daemon), forms a cluster, publishes a service, and shows that every
host answers, also while a task and a daemon are killed.

On a terminal the hosts stay up at the end until Ctrl-C; else it ends by itself. Either way
nothing is left behind. Exit status 0 only if every step was right. Needs root.
`,
  async run(words) {
    if (words.length > 0) throw new UsageError(`unexpected argument '${words[0]}'`);
    const { presentDemo } = await import("../lab/demo/present.ts");
    return await presentDemo(process.stdout);
  },
};
