/** Weft as an upgrade brings it: the same program of a newer version, in a directory of its own. */
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REPOSITORY } from "../../src/lab/places.ts";

const COPIED = ["bin", "dist", "src"];
/** Packages are of the same versions. */
const SHARED = ["node_modules"];

export interface Release {
  readonly version: string;
  /** What runs it, as bin/weft. */
  readonly program: string;
}

export class NewerVersions implements AsyncDisposable {
  readonly #directory: string;
  #count = 0;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async create(): Promise<NewerVersions> {
    const directory = await mkdtemp(join(tmpdir(), "weft-newer-"));
    const present = COPIED.filter((name) => existsSync(join(REPOSITORY, name)));
    // Compiled code that seems older than its sources would not be used.
    const options = { recursive: true, preserveTimestamps: true };
    await Promise.all([
      ...present.map((name) => cp(join(REPOSITORY, name), join(directory, name), options)),
      ...SHARED.map((name) => symlink(join(REPOSITORY, name), join(directory, name))),
    ]);
    return new NewerVersions(directory);
  }

  /** Newer than all before; what runs already stays what it is. */
  async next(): Promise<Release> {
    const manifest: unknown = JSON.parse(await readFile(join(REPOSITORY, "package.json"), "utf8"));
    const version = `1000.0.${++this.#count}`;
    const newer = JSON.stringify({ ...(manifest as object), version });
    await writeFile(join(this.#directory, "package.json"), newer);
    return { version, program: join(this.#directory, "bin/weft") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
