/** Two transcripts side by side, and the page that says what came of it. Pure. */
import type { Answer } from "./transcript.ts";

export interface Recorded {
  /** Versions of the Engine that answered and of the CLI that asked. */
  readonly engine: string;
  readonly cli: string;
  readonly answers: readonly Answer[];
}

export interface Compared {
  readonly command: string;
  readonly engine: Answer;
  readonly weft: Answer;
  readonly matches: boolean;
}

export function compare(recorded: Recorded, played: readonly Answer[]): readonly Compared[] {
  if (recorded.answers.length !== played.length) throw new Error("record the steps again");
  return recorded.answers.map((engine, index) => {
    const weft = played[index];
    if (weft?.command !== engine.command) throw new Error("record the steps again");
    const matches = engine.code === weft.code && engine.output === weft.output;
    return { command: engine.command, engine, weft, matches };
  });
}

/** docs/COMPATIBILITY.md. */
export function documentOf(
  recorded: Recorded,
  compared: readonly Compared[],
  differences: Readonly<Record<string, string>>,
): string {
  const matching = compared.filter(({ matches }) => matches);
  const differing = compared.filter(({ matches }) => !matches);
  return `# What is as with Docker, and what is not

The same ${compared.length} commands were typed with Docker's CLI ${recorded.cli} at a Docker Engine ${recorded.engine} in swarm mode and at Weft, each on a
fresh host. Output, exit status and, of JSON, fields and their types were compared; ids, times, addresses and the widths of columns
were not. ${matching.length} answers are the same, ${differing.length} differ on purpose.

## What differs, and why

${differing.map((each) => differenceOf(each, differences[each.command] ?? "")).join("\n\n")}

Not seen by commands: a task's container shows its secrets and configs as read-only mounts from \`/run/weft/secrets\`, and a stop timeout for
whoever stops it by hand; security options of stack files (\`credential_spec\`, SELinux labels) and \`autolock\` are refused.

Docker's SDK for Python works a cluster in \`test/e2e/sdk/cluster.py\`: services, secrets, configs, networks, nodes, logs, events, attached
containers.

## What is the same

${[...new Set(matching.map(({ command }) => command))].map((command) => `- ${code(command)}`).join("\n")}

This page is made from a run by \`node test/compat/write.ts\`; \`node test/compat/record.ts\` records the Engine's answers again.
`;
}

function differenceOf({ command, engine, weft }: Compared, why: string): string {
  const [ours, theirs] = [linesOf(weft), linesOf(engine)];
  const only = (lines: readonly string[], others: readonly string[]) =>
    lines.filter((line) => !others.includes(line)).map((line) => `  ${line}`);
  return [
    `- ${code(command)}: ${why}.`,
    "",
    "  ```text",
    ...only(theirs, ours).map((line) => `  Docker:${line.slice(1)}`),
    ...only(ours, theirs).map((line) => `  Weft:  ${line.slice(1)}`),
    "  ```",
  ].join("\n");
}

function linesOf({ code: status, output }: Answer): readonly string[] {
  return [...(output === "" ? [] : output.split("\n")), `exit status ${status}`];
}

function code(command: string): string {
  return `\`${command}\``;
}
