/**
 * What the agent was last told, on disk: a daemon that starts while no manager answers goes on with it. Written
 * whole and renamed, so that it is the old or the new, and without registry credentials.
 */
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFailure } from "../base/files.ts";
import { Reconciler } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Task, TaskStatus } from "../cluster/objects.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";

const FORMAT = 1;
/** Environment variables of tasks are in it. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export interface AgentMemory {
  readonly tasks: readonly Task[];
  /** By task id. */
  readonly statuses: Readonly<Record<string, TaskStatus>>;
  readonly mesh?: MeshConfig;
}

export class MemoryFile {
  readonly #nodeID: string;
  readonly #path: string;
  readonly #log: Logger;
  readonly #loop: Reconciler;

  /** `nodeID`: whose memory it is. What another membership of this host has left is nobody's. */
  constructor(init: { nodeID: string; path: string; log: Logger; snapshot: () => AgentMemory }) {
    this.#nodeID = init.nodeID;
    this.#path = init.path;
    this.#log = init.log;
    this.#loop = new Reconciler({
      pass: () => write(init.path, init.nodeID, init.snapshot()),
      onError: (error) => init.log.error("the agent's memory is not written", { error }),
    });
  }

  /** What was remembered; nothing when there is no file, or one that is not ours. */
  async read(): Promise<AgentMemory | undefined> {
    try {
      const memory = decode(JSON.parse(await readFile(this.#path, "utf8")), this.#nodeID);
      if (memory === undefined)
        this.#log.warn("the agent's memory is of another format, or another node's");
      return memory;
    } catch (error) {
      const isAbsent = (error as NodeJS.ErrnoException).code === "ENOENT";
      if (!isAbsent) this.#log.warn("the agent's memory cannot be read", { error });
      return undefined;
    }
  }

  /** Something to remember changed. */
  markDirty(): void {
    this.#loop.markDirty();
  }

  idle(): Promise<void> {
    return this.#loop.idle();
  }

  async stop(): Promise<void> {
    await this.idle();
    await this.#loop.stop();
  }

  /** The node is no member any more. */
  async forget(): Promise<void> {
    await this.idle();
    await rm(this.#path, { force: true });
  }
}

function decode(value: unknown, nodeID: string): AgentMemory | undefined {
  const memory = value as Partial<AgentMemory & { format: number; nodeID: string }> | null;
  const isOurs = memory?.format === FORMAT && memory.nodeID === nodeID;
  if (!isOurs || !Array.isArray(memory.tasks) || !memory.statuses) return undefined;
  const { mesh, ...rest } = memory as AgentMemory;
  // An older daemon knew no networks beside the ingress network.
  return mesh === undefined ? rest : { ...rest, mesh: { ...mesh, networks: mesh.networks ?? [] } };
}

async function write(path: string, nodeID: string, memory: AgentMemory): Promise<void> {
  try {
    await replace(path, nodeID, memory);
  } catch (error) {
    throw writeFailure(path, error);
  }
}

async function replace(path: string, nodeID: string, memory: AgentMemory): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  const next = `${path}.next`;
  const file = await open(next, "w", FILE_MODE);
  try {
    await file.writeFile(textOf(nodeID, memory));
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(next, path);
}

/** As JSON.stringify would make it. A mesh may have ten thousand services, and one of them changes. */
function textOf(nodeID: string, { mesh, ...rest }: AgentMemory): string {
  const own = JSON.stringify({ format: FORMAT, nodeID, ...rest });
  if (mesh === undefined) return own;
  const { nodes, services, networks, ...head } = mesh;
  const lists = Object.entries({ nodes, services, networks }).map(
    ([name, list]) => `"${name}":[${list.map(knownText).join(",")}]`,
  );
  return `${own.slice(0, -1)},"mesh":${JSON.stringify(head).slice(0, -1)},${lists.join(",")}}}`;
}

const texts = new WeakMap<object, string>();

/** What managers have told is never changed in place. */
function knownText(value: object): string {
  const known = texts.get(value) ?? JSON.stringify(value);
  texts.set(value, known);
  return known;
}
