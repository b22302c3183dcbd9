/**
 * Images in an Engine's data directory before it starts: unpacking the same archives in every Engine is most of what a
 * lab's start costs. What the first Engine has made of them is copied, as it lies on the disk, to those after it.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { REPOSITORY } from "./places.ts";
import { labEnvironment, runOk } from "./process.ts";

/** Of the overlay2 storage driver; an Engine that keeps images in another way has none, and loads them. */
const DIRECTORIES = ["image", "overlay2"];
const COMPLETE = join("image", "overlay2", "repositories.json");
const CACHE_DIR = join(REPOSITORY, ".weft-lab", "engines");

/** Fills the data directory of an Engine that was never started; without a stock of these archives it stays empty. */
export async function takeStock(dataDir: string, archives: readonly string[]): Promise<void> {
  const stock = stockOf(archives);
  if (existsSync(stock)) await copy(stock, dataDir);
}

/** Keeps what an Engine that has run nothing yet has made of these archives. */
export async function keepStock(dataDir: string, archives: readonly string[]): Promise<void> {
  const stock = stockOf(archives);
  if (existsSync(stock) || !existsSync(join(dataDir, COMPLETE))) return;
  mkdirSync(CACHE_DIR, { recursive: true });
  const fresh = mkdtempSync(join(CACHE_DIR, ".new-"));
  try {
    await copy(dataDir, fresh);
    renameSync(fresh, stock);
  } catch (error) {
    // Another Engine's was there first.
    if (!existsSync(stock)) throw error;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function copy(from: string, to: string): Promise<void> {
  const sources = DIRECTORIES.map((name) => join(from, name));
  await runOk(["cp", "-a", "-t", to, ...sources]);
}

/** Named after the archives and the Engine's program: an upgrade of either makes another. */
function stockOf(archives: readonly string[]): string {
  const names = archives.map((archive) => basename(archive)).sort();
  const hash = createHash("sha256").update(JSON.stringify([names, engineProgram()]));
  return join(CACHE_DIR, hash.digest("hex").slice(0, 12));
}

function engineProgram(): readonly unknown[] {
  const path = labEnvironment()["PATH"] ?? "";
  const candidates = path.split(":").map((dir) => join(dir, "dockerd"));
  const file = candidates.find((candidate) => existsSync(candidate));
  if (file === undefined) return [];
  const { size, mtimeMs } = statSync(file);
  return [file, size, mtimeMs];
}
