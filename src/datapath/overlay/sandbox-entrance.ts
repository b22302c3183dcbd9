/**
 * The way into containers' network namespaces: in process where libnftables is, for what is small; else one `nsenter`
 * for each tool that runs there.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { Conntrack } from "../conntrack/conntrack.ts";
import { openConntrackIn } from "../conntrack/open.ts";
import { inNetworkNamespace } from "../netns.ts";
import type { Nft } from "../nft/nft.ts";
import { spawnedNft } from "../nft/open.ts";
import type { RunTool } from "../run.ts";

export interface SandboxEntrance {
  /** Whether the namespace is there: the Engine makes an empty file first and mounts the namespace on it. */
  isThere(path: string): boolean;
  nft(path: string): Pick<Nft, "run" | "list">;
  /** To be closed when done with. */
  conntrack(path: string): Promise<Pick<Conntrack, "forget" | "close">>;
}

/** A longer transaction would keep the event loop waiting for more than some milliseconds: a process does it. */
const IN_PROCESS_CHARACTERS_MAX = 16_384;

/** `nft`: the host's own. */
export function sandboxEntrance(run: RunTool, nft: Nft): SandboxEntrance {
  const runIn =
    (path: string): RunTool =>
    (tool, args, stdin) =>
      run("nsenter", [`--net=${path}`, "--", tool, ...args], stdin);
  return {
    isThere,
    nft: (path) => {
      const spawned = spawnedNft(runIn(path));
      const inside = nft.within?.((work) => inNetworkNamespace(path, work));
      if (inside === undefined) return spawned;
      const isShort = (text: string) => text.length <= IN_PROCESS_CHARACTERS_MAX;
      return {
        run: (transaction) => (isShort(transaction) ? inside : spawned).run(transaction),
        // How long it is, is known once it is there; it is read now and then only.
        list: (what) => spawned.list(what),
      };
    },
    conntrack: (path) => openConntrackIn(path, runIn(path)),
  };
}

function isThere(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  const directory = statSync(dirname(path), { throwIfNoEntry: false });
  return file !== undefined && directory !== undefined && file.dev !== directory.dev;
}
