/**
 * Remembers, across restarts but not across boots, the host's settings that Weft has changed and what they were: what
 * a reset puts back.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { isObject } from "./json.ts";

export class SettingsMemo {
  readonly #path: string;
  /** By path below /proc/sys; undefined until it was read. */
  #found: Map<string, string> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** What settings were before Weft changed them, in the order in which it did. */
  async found(): Promise<ReadonlyMap<string, string>> {
    this.#found ??= decode(await readText(this.#path));
    return this.#found;
  }

  /** Before they are changed. What is remembered of a setting already is older, and stays. */
  async remember(settings: Iterable<readonly [path: string, value: string]>): Promise<void> {
    const found = new Map(await this.found());
    for (const [path, value] of settings) if (!found.has(path)) found.set(path, value);
    if (found.size === this.#found?.size) return;
    await mkdir(dirname(this.#path), { recursive: true });
    await writeFile(this.#path, `${JSON.stringify({ found: Object.fromEntries(found) })}\n`);
    this.#found = found;
  }

  async forget(): Promise<void> {
    await rm(this.#path, { force: true });
    this.#found = undefined;
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "{}";
    throw error;
  }
}

/** A file that cannot be read as one is none: then nothing is put back that is not known. */
function decode(text: string): Map<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return new Map();
  }
  const found = isObject(value) ? value["found"] : undefined;
  const entries = isObject(found) ? Object.entries(found) : [];
  return new Map(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
