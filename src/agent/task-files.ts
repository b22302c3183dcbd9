/**
 * Secrets and configs as files for tasks: in memory-backed storage of the host, a directory for each task, bound
 * read-only into its container. The data itself comes from managers and is kept nowhere else. Files outlive the
 * daemon, so a task that runs goes on without it; they go with the task.
 */
import { execFile } from "node:child_process";
import { mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { join, posix } from "node:path";
import { promisify } from "node:util";
import { InvalidParameterError, SystemError, UnavailableError } from "../base/errors.ts";
import type { FileTarget, Mount, Task } from "../cluster/objects.ts";
import type { Payloads } from "../dispatcher/assignment.ts";

/** Root's alone, on a file system that is never on a disk. */
export const SECRETS_DIRECTORY = "/run/weft/secrets";

const DIRECTORY_MODE = 0o700;
const PERMISSIONS = 0o777;
/** A directory that is being written; with its final name it is whole. */
const UNFINISHED = ".next";
/** statfs(2)'s numbers for file systems in memory: tmpfs and ramfs. */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

const run = promisify(execFile);

export interface TaskFilesInit {
  readonly directory: string;
  /** Makes sure that the directory is in memory; the system's own way when absent. */
  readonly ensureInMemory?: (directory: string) => Promise<void>;
}

/** One file of a task's. */
interface TaskFile {
  readonly kind: "secret" | "config";
  readonly id: string;
  readonly name: string;
  /** Its name in the task's directory on the host. */
  readonly entry: string;
  readonly target: FileTarget;
}

export class TaskFiles {
  readonly #directory: string;
  readonly #ensureInMemory: (directory: string) => Promise<void>;
  #payloads: Payloads | undefined;

  constructor(init: TaskFilesInit) {
    this.#directory = init.directory;
    this.#ensureInMemory = init.ensureInMemory ?? ensureInMemory;
  }

  /** What managers say that this node's tasks need, whole. */
  learn(payloads: Payloads): void {
    this.#payloads = payloads;
  }

  /** Writes what the task reads, once; resolves with the mounts that bring it into the container. */
  async provide(task: Task): Promise<readonly Mount[]> {
    const files = filesOf(task);
    if (files.length === 0) return [];
    const directory = join(this.#directory, task.id);
    if (!(await exists(directory))) await this.#write(directory, files);
    return files.map(({ kind, entry, target }) => ({
      type: "bind",
      source: join(directory, entry),
      target: posix.resolve(kind === "secret" ? "/run/secrets" : "/", target.name),
      readOnly: true,
    }));
  }

  /** The task has ended: nothing of its files is left. */
  async release(taskID: string): Promise<void> {
    const directory = join(this.#directory, taskID);
    for (const path of [directory, `${directory}${UNFINISHED}`]) {
      await rm(path, { recursive: true, force: true });
    }
  }

  /** Removes what belongs to none of these tasks: left by a daemon that did not come to it. */
  async sweep(taskIDs: ReadonlySet<string>): Promise<void> {
    for (const entry of await entriesOf(this.#directory)) {
      const taskID = entry.endsWith(UNFINISHED) ? entry.slice(0, -UNFINISHED.length) : entry;
      if (!taskIDs.has(taskID)) await this.release(taskID);
    }
  }

  async #write(directory: string, files: readonly TaskFile[]): Promise<void> {
    const contents = files.map((file) => this.#contentOf(file));
    await mkdir(this.#directory, { recursive: true, mode: DIRECTORY_MODE });
    await this.#ensureInMemory(this.#directory);
    const unfinished = `${directory}${UNFINISHED}`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: DIRECTORY_MODE });
    for (const [index, file] of files.entries()) {
      await writeOne(join(unfinished, file.entry), file.target, contents[index] as Uint8Array);
    }
    await rename(unfinished, directory);
  }

  #contentOf({ kind, id, name }: TaskFile): Uint8Array {
    const known = kind === "secret" ? this.#payloads?.secrets : this.#payloads?.configs;
    const data = known?.get(id);
    if (data === undefined) throw new UnavailableError(`${kind} ${name} is not known here yet`);
    return data;
  }
}

/** Takes the directory away, and the file system that was mounted for it. */
export async function removeTaskFiles(directory: string): Promise<void> {
  if (!(await exists(directory))) return;
  for (const entry of await entriesOf(directory)) {
    await rm(join(directory, entry), { recursive: true, force: true });
  }
  const [own, parent] = await Promise.all([stat(directory), stat(join(directory, ".."))]);
  if (own.dev !== parent.dev) await run("umount", [directory]);
  await rm(directory, { recursive: true, force: true });
}

function filesOf(task: Task): readonly TaskFile[] {
  const { secrets = [], configs = [] } = task.spec.containerSpec;
  return [
    ...secrets.map(({ secretID: id, secretName: name, file }) => ({
      kind: "secret" as const,
      id,
      name,
      target: file,
    })),
    ...configs.map(({ configID: id, configName: name, file }) => ({
      kind: "config" as const,
      id,
      name,
      target: file,
    })),
  ].flatMap(({ target, ...file }, index) =>
    target === undefined ? [] : [{ ...file, target, entry: `${file.kind}-${index}` }],
  );
}

async function writeOne(path: string, target: FileTarget, content: Uint8Array): Promise<void> {
  const [uid, gid] = [ownerOf(target.uid), ownerOf(target.gid)];
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.chown(uid, gid);
    await file.chmod(target.mode & PERMISSIONS);
  } finally {
    await file.close();
  }
}

/** A number, as Go's strconv.Atoi takes it; an empty one is root. */
function ownerOf(text: string): number {
  if (text === "") return 0;
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1) return Number(text);
  throw new InvalidParameterError(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** /run is in memory on every host that systemd boots; elsewhere the directory becomes a mount of its own. */
async function ensureInMemory(directory: string): Promise<void> {
  if (MEMORY_FILE_SYSTEMS.has((await statfs(directory)).type)) return;
  const options = `mode=0${DIRECTORY_MODE.toString(8)},nosuid,nodev`;
  try {
    await run("mount", ["-t", "tmpfs", "-o", options, "weft-secrets", directory]);
  } catch (cause) {
    throw new SystemError(
      `secrets are kept in memory only, and no tmpfs can be mounted on ${directory}`,
      { cause },
    );
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

async function entriesOf(directory: string): Promise<readonly string[]> {
  return (await exists(directory)) ? readdir(directory) : [];
}
