/** Changes as the runs of tools that make them: many lines to a run, as starting a tool is most of what a line costs. */

/** `ip -6`: only what does not say its family by itself, the routing rules. */
export type Tool = "ip" | "ip -6" | "bridge";

/** The lines of one tool, in order. */
export interface ToolBatch {
  readonly tool: Tool;
  readonly lines: readonly string[];
}

/** One setting, which is a file and needs no tool. */
export interface SettingBatch {
  readonly tool: "sysctl";
  readonly path: string;
  readonly value: string;
}

export type Batch = ToolBatch | SettingBatch;

/** The same changes in the same order, consecutive ones of one tool in one run of it. */
export function joined(batches: Iterable<Batch>): Batch[] {
  const made: Batch[] = [];
  let lines: string[] = [];
  for (const batch of batches) {
    if (batch.tool === "sysctl") {
      made.push(batch);
      continue;
    }
    if (made.at(-1)?.tool !== batch.tool) {
      lines = [];
      made.push({ tool: batch.tool, lines });
    }
    lines.push(...batch.lines);
  }
  return made;
}
