/**
 * The way into containers' network namespaces. For nftables one `nsenter` for each transaction: libnftables opens its
 * socket anew by itself when a listing was disturbed, and would then be in the host's namespace with a container's rules.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { Conntrack } from "../conntrack/conntrack.ts";
import { openConntrackIn } from "../conntrack/open.ts";
import type { Nft } from "../nft/nft.ts";
import { spawnedNft } from "../nft/open.ts";
import type { RunTool } from "../run.ts";

export interface SandboxEntrance {
  /** Whether the namespace is there: the Engine makes an empty file first and mounts the namespace on it. */
  isThere(path: string): boolean;
  nft(path: string): Nft;
  /** To be closed when done with. */
  conntrack(path: string): Promise<Conntrack>;
}

export function sandboxEntrance(run: RunTool): SandboxEntrance {
  const runIn =
    (path: string): RunTool =>
    (tool, args, stdin) =>
      run("nsenter", [`--net=${path}`, "--", tool, ...args], stdin);
  return {
    isThere,
    nft: (path) => spawnedNft(runIn(path)),
    conntrack: (path) => openConntrackIn(path, runIn(path)),
  };
}

function isThere(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  const directory = statSync(dirname(path), { throwIfNoEntry: false });
  return file !== undefined && directory !== undefined && file.dev !== directory.dev;
}
