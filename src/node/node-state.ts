/**
 * What a node must remember to be itself again after a restart: `<data-dir>/node.json`, written whole and
 * renamed into place. No secret is in it; those are in certificates/ and in the store.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { SystemError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import type { NodeRole } from "../cluster/objects.ts";

export interface NodeState {
  readonly nodeID: string;
  readonly role: NodeRole;
  /** `address:port` of the managers, the one to try first in front. */
  readonly managers: readonly string[];
  /** `address:port` that a manager listens on. */
  readonly listenAddr: string;
  /** `address:port` that the others reach this node at. Empty on a worker that gave none: its managers see it. */
  readonly advertiseAddr: string;
  /** Where its tunnels end, when that is named; else they do where the others reach it. */
  readonly dataPathAddr?: string;
}

/** Addresses of managers beyond these are forgotten, the oldest first; a cluster has three or five. */
const MANAGERS_MAX = 16;

/** What managers advertise comes first; what this node found them at stays, since the other may not be reachable from here. */
export function rememberedManagers(
  advertised: readonly string[],
  known: readonly string[],
): readonly string[] {
  return [...new Set([...advertised, ...known])].slice(0, MANAGERS_MAX);
}

export class NodeStateFile {
  readonly #path: string;

  constructor(dataDir: string) {
    this.#path = join(dataDir, "node.json");
  }

  /** Undefined where this node is part of no cluster. */
  read(): NodeState | undefined {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
    return decodeNodeState(text, this.#path);
  }

  write(state: NodeState): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    writeFileAtomic(this.#path, `${JSON.stringify(state, undefined, 2)}\n`);
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}

function decodeNodeState(text: string, path: string): NodeState {
  try {
    const value: unknown = JSON.parse(text);
    if (isNodeState(value)) return value;
  } catch {
    // The message below says all there is to say.
  }
  throw new SystemError(
    `${path} is damaged; restore it, or take this node out of its cluster with 'weft reset --force'`,
  );
}

function isNodeState(value: unknown): value is NodeState {
  if (value === null || typeof value !== "object") return false;
  const fields = value as Record<string, unknown>;
  return (
    ["nodeID", "listenAddr", "advertiseAddr"].every((key) => typeof fields[key] === "string") &&
    ["undefined", "string"].includes(typeof fields["dataPathAddr"]) &&
    (fields["role"] === "worker" || fields["role"] === "manager") &&
    Array.isArray(fields["managers"]) &&
    fields["managers"].every((item) => typeof item === "string")
  );
}
