/** The keeper's state on disk: one small file, replaced whole, so that a crash leaves the old one or the new one. */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFailure } from "../base/files.ts";
import type { Logger } from "../base/logger.ts";
import { decodeState, EMPTY_STATE, encodeState, type KeeperState } from "./state.ts";

/**
 * What was saved last; the empty state when nothing was. A file that cannot be read as state is set
 * aside and named in the log, because a keeper that does not answer costs the Engine far more than
 * one that forgot: endpoints are adopted as the Engine speaks of them, ports as the daemon does.
 */
export async function loadState(path: string, log: Logger): Promise<KeeperState> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return EMPTY_STATE;
    throw error;
  }
  try {
    return decodeState(text);
  } catch (error) {
    const aside = `${path}.unreadable`;
    await rename(path, aside);
    log.error("the keeper's state cannot be read and was set aside", { aside, error });
    return EMPTY_STATE;
  }
}

/** Durable when it resolves: written beside, synced, renamed, and the directory synced. A DiskRefusedError says that the disk takes nothing. */
export async function saveState(path: string, state: KeeperState): Promise<void> {
  try {
    await replaceState(path, state);
  } catch (error) {
    throw writeFailure(path, error);
  }
}

async function replaceState(path: string, state: KeeperState): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const beside = `${path}.new`;
  const file = await open(beside, "w", 0o600);
  try {
    await file.writeFile(encodeState(state));
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
