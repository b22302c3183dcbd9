/** Opens nftables: in process where libnftables loads, else by spawning `nft` for each transaction. */
import { SystemError } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { RunTool } from "../run.ts";
import { openLibnftables } from "./libnftables.ts";
import type { Nft } from "./nft.ts";
import { isAbsent, NftError } from "./nft.ts";

/** libnftables where it loads, else `nft`, once and for the life of the process. */
export async function openNft(log: Logger, run: RunTool): Promise<Nft> {
  try {
    const nft = await openLibnftables();
    log.info("nftables in process", { version: nft.version });
    return nft;
  } catch (error) {
    const nft = await openSpawned(run);
    log.warn("libnftables cannot be loaded, spawning nft instead", { error, version: nft.version });
    return nft;
  }
}

/** `nft -f -` for each transaction. */
export async function openSpawned(run: RunTool): Promise<Nft> {
  const probe = await run("nft", ["--version"]);
  if (probe.status !== 0) throw new SystemError(`nft --version failed: ${probe.stderr.trim()}`);
  const version = /v(\d[\d.]*)/.exec(probe.stdout)?.[1] ?? "of unknown version";
  return spawnedNft(run, `nft ${version} (spawned)`);
}

/** Without asking for its version. */
export function spawnedNft(run: RunTool, version = "nft (spawned)"): Nft {
  return {
    version,
    async run(transaction) {
      const { status, stderr } = await run("nft", ["-f", "-"], transaction);
      if (status !== 0) throw new NftError(transaction, stderr);
    },
    async list(what) {
      const { status, stdout, stderr } = await run("nft", ["-j", "list", ...what.split(" ")]);
      if (status !== 0 && isAbsent(stderr)) return undefined;
      if (status !== 0) throw new NftError(`list ${what}`, stderr);
      return JSON.parse(stdout);
    },
    async close() {},
  };
}
