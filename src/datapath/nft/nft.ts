/** The seam to nftables: one transaction in, or a listing out. In process by libnftables, or by spawning `nft`. */
import { SystemError } from "../../base/errors.ts";

export interface Nft {
  /** "libnftables 1.0.6" or "nft 1.0.6 (spawned)": for logs and reports. */
  readonly version: string;
  /** Hands over one transaction. The kernel takes all of it or none. */
  run(transaction: string): Promise<void>;
  /** What a `list` command prints, as JSON; undefined when the thing does not exist. */
  list(what: string): Promise<unknown>;
  close(): Promise<void>;
}

/** nft refused a transaction; nothing of it was taken. */
export class NftError extends SystemError {
  readonly transaction: string;
  readonly stderr: string;
  constructor(transaction: string, stderr: string) {
    super(`nft refused: ${firstLine(stderr)}`);
    this.transaction = transaction;
    this.stderr = stderr;
  }
}

/** Whether a listing failed only because the thing is not there. */
export function isAbsent(stderr: string): boolean {
  return stderr.includes("No such file or directory");
}

function firstLine(stderr: string): string {
  return stderr.trim().split("\n")[0] ?? "";
}
