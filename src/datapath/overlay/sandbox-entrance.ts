/**
 * The way into containers' network namespaces. nftables is changed in process, where that is quick and the library is free;
 * else by one `nsenter` for each transaction.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import { inNetworkNamespace } from "../../base/netns.ts";
import type { Conntrack } from "../conntrack/conntrack.ts";
import { openConntrackIn } from "../conntrack/open.ts";
import { CLOSE_AFTER_MS, EnteredNft } from "../nft/entered-nft.ts";
import { isLibnftablesBusy, libnftables } from "../nft/libnftables.ts";
import type { Nft } from "../nft/nft.ts";
import { spawnedNft } from "../nft/open.ts";
import type { RunTool } from "../run.ts";

export interface SandboxEntrance {
  /** Whether the namespace is there: the Engine makes an empty file first and mounts the namespace on it. */
  isThere(path: string): boolean;
  /** To be closed when done with. `isLarge`: what is in there takes so long to list that nobody may wait for it. */
  nft(path: string, isLarge: boolean): Nft;
  /** To be closed when done with. */
  conntrack(path: string): Promise<Conntrack>;
}

/** A longer transaction keeps the event loop for more than some milliseconds, and is a process's. */
const IN_PROCESS_MAX = 32_768;

export function sandboxEntrance(run: RunTool, clock: Clock): SandboxEntrance {
  const runIn =
    (path: string): RunTool =>
    (tool, args, stdin) =>
      run("nsenter", [`--net=${path}`, "--", tool, ...args], stdin);
  return {
    isThere,
    nft: (path, isLarge) => {
      const spawned = spawnedNft(runIn(path));
      const entered = enteredNft(path, clock);
      return entered === undefined ? spawned : eitherNft(entered, spawned, isLarge);
    },
    conntrack: async (path) => closedLater(await openConntrackIn(path, runIn(path)), clock),
  };
}

/** It comes right after a transaction. */
function closedLater(conntrack: Conntrack, clock: Clock): Conntrack {
  return {
    forget: (forget) => conntrack.forget(forget),
    wake: (addresses) => conntrack.wake(addresses),
    flows: (addresses, max) => conntrack.flows(addresses, max),
    close: async () => {
      clock.timer("conntrack socket", CLOSE_AFTER_MS, () => void conntrack.close());
    },
  };
}

/** Undefined where the library cannot be loaded. */
function enteredNft(path: string, clock: Clock): Nft | undefined {
  try {
    const within = inNetworkNamespace;
    const isBusy = isLibnftablesBusy;
    return new EnteredNft({ library: libnftables(), within, clock, isBusy }, path);
  } catch {
    // Said once, when the host's own was opened.
    return undefined;
  }
}

/** One command in each turn of the event loop: those of thousands of containers keep nobody else waiting. */
function eitherNft(entered: Nft, spawned: Nft, isLarge: boolean): Nft {
  const free = async (isShort: boolean) => {
    await setImmediate();
    return isShort && !isLibnftablesBusy() ? entered : spawned;
  };
  return {
    version: entered.version,
    run: async (transaction) =>
      await (await free(transaction.length <= IN_PROCESS_MAX)).run(transaction),
    list: async (what) => await (await free(!isLarge)).list(what),
    close: async () => await entered.close(),
  };
}

function isThere(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  const directory = statSync(dirname(path), { throwIfNoEntry: false });
  return file !== undefined && directory !== undefined && file.dev !== directory.dev;
}
