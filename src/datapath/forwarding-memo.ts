/** Remembers, across restarts but not across boots, that it was Weft who turned IPv4 forwarding on. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

export class ForwardingMemo {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async leave(): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    await writeFile(this.#path, `${JSON.stringify({ turnedOn: ["net.ipv4.ip_forward"] })}\n`);
  }

  /** Whether there was one; afterwards there is none. */
  async take(): Promise<boolean> {
    try {
      await rm(this.#path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }
}
