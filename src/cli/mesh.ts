/** `weft mesh` */
import { setTimeout as pause } from "node:timers/promises";
import type { MeshAnswer } from "../api/mesh.ts";
import { askDaemon } from "./ask-daemon.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { MANAGER_HOST_OPTION, TABLE_FORMAT_OPTION } from "./common-options.ts";
import { describeMesh, describeService } from "./mesh-table.ts";
import { describeOptions, type OptionTable, readOptions, splitWords } from "./options.ts";

const OPTIONS = {
  host: MANAGER_HOST_OPTION,
  format: TABLE_FORMAT_OPTION,
  watch: { kind: "boolean", help: "print it anew every second, until Ctrl-C" },
} as const satisfies OptionTable;

const WATCH_MS = 1_000;
const HOME_AND_CLEAR = "\x1b[H\x1b[2J";

export const meshCommand: Command = {
  summary: "Show where each node's kernel leads connections",
  help: `Usage: weft mesh [SERVICE] [OPTIONS]

Shows for each published port, and for each node, how many endpoints its kernel gives new connections (live),
keeps for those that they have (draining), or keeps though their node is silent (hidden), the connections it
knows, and whether it has the newest revision. Every node's kernel is read back for it. With a service's name or
ID, each endpoint by itself. To be asked on a manager.

Options:
${describeOptions(OPTIONS)}

Examples:
  weft mesh
  weft mesh web --watch
  weft mesh --format json | jq '.Services[].Ports[].Endpoints[].Kernels'
`,
  async run(words) {
    const { operands, flags } = splitWords(OPTIONS, words);
    if (operands.length > 1) throw new UsageError("expected at most one service");
    const options = readOptions(OPTIONS, { words: flags, env: process.env });
    const { format } = options;
    if (format !== "table" && format !== "json") throw new UsageError(`no format '${format}'`);
    const [service = ""] = operands;
    for (;;) {
      const text = await look(options.host, service, format);
      process.stdout.write(
        options.watch && process.stdout.isTTY ? `${HOME_AND_CLEAR}${text}` : text,
      );
      if (!options.watch) return 0;
      await pause(WATCH_MS);
    }
  },
};

async function look(host: string, service: string, format: "table" | "json"): Promise<string> {
  const query = service === "" ? "" : `?service=${encodeURIComponent(service)}`;
  const answer = (await askDaemon(host, `/weft/mesh${query}`)) as MeshAnswer;
  if (format === "json") return `${JSON.stringify(answer, undefined, 2)}\n`;
  const lines = service === "" ? describeMesh(answer) : describeService(answer);
  return `${lines.join("\n")}\n`;
}
