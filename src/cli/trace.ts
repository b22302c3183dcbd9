/** `weft trace` */
import type { TraceAnswer } from "../api/trace.ts";
import { askDaemon } from "./ask-daemon.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { MANAGER_HOST_OPTION } from "./common-options.ts";
import { describeOptions, type OptionTable, readOptions, splitWords } from "./options.ts";
import { describeTrace } from "./trace-text.ts";

const OPTIONS = {
  host: MANAGER_HOST_OPTION,
  protocol: { kind: "string", value: "tcp|udp", default: "tcp", help: "of the packet" },
  "client-port": {
    kind: "string",
    value: "PORT",
    help: "the client's own: connections that it has are told too",
  },
  format: { kind: "string", value: "text|json", default: "text", help: "how it is printed" },
} as const satisfies OptionTable;

/** Somewhere the packet does not end at a task, or nobody can tell. */
const NOT_ALL_SERVED = 1;

export const traceCommand: Command = {
  summary: "Say hop by hop what becomes of a packet, and why",
  help: `Usage: weft trace CLIENT NODE:PORT [OPTIONS]

Says what the nodes' kernels, as they are now, do with the first packet of a new connection: who holds the port, which
service it is, each endpoint that it may be led to and with what chance, through which node, as whom the task sees the
client, and by which node its answer goes back; or why it is refused. Where a kernel does not do what it should, both
are shown. A connection that is there already goes on as it began, whatever the rules say now: --client-port finds it.

CLIENT is an address, a task's address in the mesh, or a node's name, ID or address, for its own processes.
NODE is a node's name, ID or any of its addresses, those of IPv6 in brackets; 127.0.0.1 or ::1 where CLIENT is a
node. Names mean IPv4 addresses unless the other is an IPv6 one. To be asked on a manager.

Options:
${describeOptions(OPTIONS)}

Exit status: 0 when each way ends at a task, 1 when one does not or it cannot be told, 2 when it is called wrongly.

Examples:
  weft trace 192.168.99.200 n1:8080
  weft trace n1 127.0.0.1:8080
  weft trace fd00:99::200 [fd00:99::101]:8080
  weft trace 192.168.99.200 192.168.99.101:53 --protocol udp
  weft trace 192.168.99.200 n1:8080 --client-port 40712
  weft trace 192.168.99.200 n1:8080 --format json | jq '.Ways[].End'
`,
  async run(words) {
    const { operands, flags } = splitWords(OPTIONS, words);
    const [client, target, ...more] = operands;
    if (client === undefined || target === undefined || more.length > 0) {
      throw new UsageError("expected a client, and a node with a port: 192.168.99.200 n1:8080");
    }
    const options = readOptions(OPTIONS, { words: flags, env: process.env });
    const { format, protocol, host, "client-port": clientPort } = options;
    if (format !== "text" && format !== "json") throw new UsageError(`no format '${format}'`);
    const { node, port } = targetOf(target);
    const query = new URLSearchParams({ client, to: node, port, protocol });
    if (clientPort !== undefined) query.set("clientPort", clientPort);
    const answer = (await askDaemon(host, `/weft/trace?${query.toString()}`)) as TraceAnswer;
    const text =
      format === "json" ? JSON.stringify(answer, undefined, 2) : describeTrace(answer).join("\n");
    process.stdout.write(`${text}\n`);
    return answer.Ways.every(({ End }) => End.Kind === "task") ? 0 : NOT_ALL_SERVED;
  },
};

function targetOf(word: string): { readonly node: string; readonly port: string } {
  const found = /^(.+):(\d+)$/.exec(word);
  if (found === null) throw new UsageError(`'${word}' is not as n1:8080`);
  return { node: (found[1] ?? "").replace(/^\[(.*)\]$/, "$1"), port: found[2] ?? "" };
}
