/** `weft gossip` */
import type { GossipAnswer } from "../api/gossip.ts";
import { askDaemon } from "./ask-daemon.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { DAEMON_HOST_OPTION, TABLE_FORMAT_OPTION } from "./common-options.ts";
import { describeGossip } from "./gossip-table.ts";
import { describeOptions, type OptionTable, readOptions, splitWords } from "./options.ts";

const OPTIONS = {
  host: DAEMON_HOST_OPTION,
  format: TABLE_FORMAT_OPTION,
} as const satisfies OptionTable;

export const gossipCommand: Command = {
  summary: "Show the other nodes as this one sees them, or change the gossip's key",
  help: `Usage: weft gossip [rotate-key] [OPTIONS]

Shows who is alive as this node sees it, without asking a manager: each member's state, how many of its words
about its endpoints have not arrived here, when it last answered, and what was refused. On any member.

With rotate-key, on a manager: makes a new key. All nodes open with it at once and seal with it a minute later;
the two before it still open. Without it that happens every 12 hours.

Options:
${describeOptions(OPTIONS)}

Examples:
  weft gossip
  weft gossip rotate-key
  weft gossip --format json | jq '.Members[] | select(.State != "alive")'
`,
  async run(words) {
    const { operands, flags } = splitWords(OPTIONS, words);
    const options = readOptions(OPTIONS, { words: flags, env: process.env });
    const { format, host } = options;
    if (format !== "table" && format !== "json") throw new UsageError(`no format '${format}'`);
    const [action, ...more] = operands;
    if (more.length > 0 || (action !== undefined && action !== "rotate-key")) {
      throw new UsageError(`no action '${operands.join(" ")}'`);
    }
    if (action === "rotate-key") {
      await askDaemon(host, "/weft/gossip/rotate-key", "POST");
      process.stdout.write("a new key spreads; all seal with it in a minute\n");
      return 0;
    }
    const answer = (await askDaemon(host, "/weft/gossip")) as GossipAnswer;
    const text =
      format === "json" ? JSON.stringify(answer, undefined, 2) : describeGossip(answer).join("\n");
    process.stdout.write(`${text}\n`);
    return 0;
  },
};
