/**
 * The entry of `bin/weft`: finds the command, runs it, turns what it throws into one line and an exit code.
 * Commands are loaded when they are called, so that the keeper never carries the daemon's modules in memory.
 */

import { AssertionFault } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import { type Command, UsageError } from "./command.ts";

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  daemon: async () => (await import("./daemon.ts")).daemonCommand,
  keeper: async () => (await import("./keeper.ts")).keeperCommand,
  doctor: async () => (await import("./doctor.ts")).doctorCommand,
  reset: async () => (await import("./reset.ts")).resetCommand,
  mesh: async () => (await import("./mesh.ts")).meshCommand,
  trace: async () => (await import("./trace.ts")).traceCommand,
  gossip: async () => (await import("./gossip.ts")).gossipCommand,
  lb: async () => (await import("./lb.ts")).lbCommand,
  demo: async () => (await import("./demo.ts")).demoCommand,
  version: async () => (await import("./version.ts")).versionCommand,
};

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  const [first = "help", ...rest] = argv;
  const isHelp = first === "help" || first === "--help" || first === "-h";
  const [asked] = rest;
  if (isHelp && asked === undefined) {
    process.stdout.write(await overview());
    return 0;
  }
  // 'weft help trace' is 'weft trace --help'.
  const [name = "", words] = isHelp ? [asked, ["--help"]] : [first, rest];
  const load = COMMANDS[name === "--version" ? "version" : name];
  if (load === undefined) {
    process.stderr.write(`weft: '${name}' is not a weft command\nSee 'weft help'\n`);
    return 2;
  }
  const command = await load();
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(command.help);
    return 0;
  }
  try {
    return await command.run(words);
  } catch (error) {
    if (error instanceof AssertionFault) throw error;
    const hint = error instanceof UsageError ? `\nSee 'weft ${name} --help'` : "";
    process.stderr.write(`weft ${name}: ${messageOf(error)}${hint}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function overview(): Promise<string> {
  const rows = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => {
      const { summary } = await load();
      return `  ${name.padEnd(10)}${summary}\n`;
    }),
  );
  return `Weft: a published port, answered on every node of the cluster.

Usage: weft COMMAND [OPTIONS]

${rows.join("")}
Everything else is done with Docker's own CLI:
  docker -H unix:///run/weft.sock swarm init
  docker -H unix:///run/weft.sock service create --name my-web -p 8080:80 nginx

'weft COMMAND --help' says more of each.
`;
}
