/** The lines that a program has added to its log since they were last asked for: a long log is read once. */
import { closeSync, openSync, readSync } from "node:fs";

const CHUNK_BYTES = 64 * 1024;

export class NewLines {
  readonly #file: string;
  #offset = 0;
  /** Bytes of a line that is not complete yet. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(file: string) {
    this.#file = file;
  }

  /** Complete lines only, without their ends. */
  take(): string[] {
    const bytes = Buffer.concat([this.#rest, ...this.#added()]);
    const end = bytes.lastIndexOf("\n") + 1;
    this.#rest = bytes.subarray(end);
    return end === 0
      ? []
      : bytes
          .subarray(0, end - 1)
          .toString("utf8")
          .split("\n");
  }

  #added(): Buffer[] {
    const chunks: Buffer[] = [];
    const file = openSync(this.#file, "r");
    try {
      for (;;) {
        const chunk = Buffer.alloc(CHUNK_BYTES);
        const length = readSync(file, chunk, 0, CHUNK_BYTES, this.#offset);
        if (length === 0) return chunks;
        this.#offset += length;
        chunks.push(chunk.subarray(0, length));
      }
    } finally {
      closeSync(file);
    }
  }
}
