/**
 * The gossip's keys as this node was told them last, in memory only: a daemon that is started while no manager
 * is there goes on gossiping, and a host that boots asks a manager.
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "../base/logger.ts";
import { KEY_LENGTHS } from "../gossip/keyring.ts";

/** On a tmpfs, as the secrets of tasks. */
export const GOSSIP_KEYS_FILE = "/run/weft/gossip-keys.json";
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export class GossipKeysFile {
  readonly #nodeID: string;
  readonly #path: string;
  readonly #log: Logger;
  #turn: Promise<void> = Promise.resolve();

  /** `nodeID`: whose keys they are. Another membership's are nobody's. */
  constructor(init: { nodeID: string; path: string; log: Logger }) {
    this.#nodeID = init.nodeID;
    this.#path = init.path;
    this.#log = init.log;
  }

  /** The first seals; none when there is no file, or one that is not ours. */
  async read(): Promise<readonly Uint8Array[]> {
    try {
      const kept = JSON.parse(await readFile(this.#path, "utf8")) as {
        readonly nodeID?: unknown;
        readonly keys?: unknown;
      } | null;
      if (kept?.nodeID !== this.#nodeID || !Array.isArray(kept.keys)) return [];
      return kept.keys
        .map((key) => Buffer.from(String(key), "base64"))
        .filter(({ length }) => KEY_LENGTHS.includes(length));
    } catch (error) {
      const isAbsent = (error as NodeJS.ErrnoException).code === "ENOENT";
      if (!isAbsent) this.#log.warn("the gossip's keys cannot be read", { error });
      return [];
    }
  }

  /** Never rejects: without the file a manager tells them again. */
  write(keys: readonly Uint8Array[]): Promise<void> {
    const text = JSON.stringify({
      nodeID: this.#nodeID,
      keys: keys.map((key) => Buffer.from(key).toString("base64")),
    });
    return this.#next(async () => {
      await mkdir(dirname(this.#path), { recursive: true, mode: DIRECTORY_MODE });
      await writeFile(`${this.#path}.new`, text, { mode: FILE_MODE });
      await rename(`${this.#path}.new`, this.#path);
    });
  }

  /** The node is no member any more. */
  forget(): Promise<void> {
    return this.#next(() => rm(this.#path, { force: true }));
  }

  #next(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work).catch((error: unknown) => {
      this.#log.warn("the gossip's keys are not kept", { error });
    });
    return this.#turn;
  }
}
