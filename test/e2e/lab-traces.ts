/** What of a lab is on this machine, however it is held: for tests that nothing of it stays. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { labsWithCgroups } from "../../src/lab/cgroup.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { ALL_ROOTS } from "../../src/lab/places.ts";

const NAMESPACE_KINDS = ["net", "mnt", "pid", "uts"] as const;

/** A lab's id and the namespaces it has, as far as they can be told from outside. */
export interface LabMarks {
  readonly id: string;
  readonly namespaces: ReadonlySet<string>;
}

/** To be taken while the lab is up. */
export function marksOf(lab: Lab): LabMarks {
  const pids = [...lab.hosts, ...lab.clients].map((machine) => machine.pid);
  const namespaces = pids.flatMap((pid) => NAMESPACE_KINDS.map((kind) => namespaceOf(pid, kind)));
  return { id: lab.id, namespaces: new Set(namespaces) };
}

/** One line per process, mount, directory or control group that belongs to the lab. */
export function tracesOf({ id, namespaces }: LabMarks): string[] {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const held = processes.flatMap((pid) => {
    if (/^State:\tZ/m.test(contentOf(`/proc/${pid}/status`))) return []; // dead, if not yet reaped
    const own = NAMESPACE_KINDS.map((kind) => namespaceOf(Number(pid), kind));
    const mounts = contentOf(`/proc/${pid}/mountinfo`).split("\n");
    return [
      ...own.filter((name) => namespaces.has(name)).map((name) => `process ${pid} in ${name}`),
      ...mounts.filter((line) => line.includes(id)).map((line) => `mount of ${pid}: ${line}`),
    ];
  });
  const dirs = ALL_ROOTS.map((root) => join(root, id)).filter((dir) => existsSync(dir));
  return [...held, ...dirs, ...(labsWithCgroups().has(id) ? [`control groups of ${id}`] : [])];
}

function namespaceOf(pid: number, kind: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return ""; // it has ended
  }
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
