/** Makes the kernel forget connections; here through the `conntrack` tool, one run for all, however many they are. */
import { SystemError } from "../../base/errors.ts";
import type { RunTool, ToolResult } from "../run.ts";
import type { Forget } from "./forget.ts";
import { deletionsOf, listingsOf } from "./forget.ts";
import type { Flow } from "./listed-flows.ts";

/** What makes the kernel forget. */
export interface Conntrack {
  /** Forgets all of it; resolves when the kernel has. */
  forget(forget: readonly Forget[]): Promise<void>;
  /**
   * Has the clients of TCP connections to these tasks, which are gone, ask whether their connection is still there:
   * the rules' answer is a reset. Without it each finds out with what it sends next. Resolves with how many.
   */
  wake(addresses: readonly string[]): Promise<number>;
  /** UDP flows that were led to these tasks, so many at most. */
  flows(addresses: readonly string[], max: number): Promise<readonly Flow[]>;
  close(): Promise<void>;
}

/** A flow may end between being listed and being deleted, and the tool then stops: look again, so often. */
const ATTEMPTS_MAX = 5;
const HAS_ENDED = "such conntrack doesn't exist";

/** Forgets all of it; resolves when the kernel has. */
export async function forgetConnections(run: RunTool, forget: readonly Forget[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { status, stderr } = await forgetListed(run, forget);
    if (status === 0) return;
    if (attempt === ATTEMPTS_MAX || !stderr.includes(HAS_ENDED)) throw failure(stderr);
  }
}

async function forgetListed(run: RunTool, forget: readonly Forget[]): Promise<ToolResult> {
  const deletions = await Promise.all(
    listingsOf(forget).map(async (listing) => {
      const { status, stdout, stderr } = await run("conntrack", ["-L", ...listing, "-o", "save"]);
      if (status !== 0) throw failure(stderr);
      return deletionsOf(forget, listing, stdout);
    }),
  );
  const lines = deletions.flat().map((words) => words.join(" "));
  if (lines.length === 0) return NOTHING_TO_DO;
  return await run("conntrack", ["-R", "-"], `${lines.join("\n")}\n`);
}

const NOTHING_TO_DO: ToolResult = { status: 0, stdout: "", stderr: "" };

function failure(stderr: string): SystemError {
  return new SystemError(`conntrack failed: ${stderr.trim().replaceAll("\n", "; ")}`);
}
