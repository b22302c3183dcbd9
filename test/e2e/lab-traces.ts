/** What of a lab is on this machine, however it is held: for tests that nothing of it stays. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { labsWithCgroups } from "../../src/lab/cgroup.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { ALL_ROOTS, isAlive, markOf, type ProcessMark } from "../../src/lab/places.ts";

/** A lab's id and the processes in it. */
export interface LabMarks {
  readonly id: string;
  /** By number and start: the kernel gives the numbers of namespaces and processes out again. */
  readonly processes: readonly ProcessMark[];
}

/** To be taken while the lab is up: what has entered a machine, and what descends from that. */
export function marksOf(lab: Lab): LabMarks {
  const machines = [...lab.hosts, ...lab.clients].map((machine) => String(machine.pid));
  const namespaces = machines.map(pidNamespaceOf);
  const entered = new Set(
    allProcesses().filter((pid) => namespaces.includes(pidNamespaceOf(pid) ?? "")),
  );
  const inside = allProcesses().filter((pid) => ancestorsOf(pid).some((up) => entered.has(up)));
  return { id: lab.id, processes: inside.map((pid) => markOf(Number(pid))) };
}

/** One line per process, mount, directory or control group that belongs to the lab. */
export function tracesOf({ id, processes }: LabMarks): string[] {
  const alive = processes.filter(isAlive).map(({ pid }) => `process ${pid}`);
  const mounts = allProcesses().flatMap((pid) => {
    const lines = contentOf(`/proc/${pid}/mountinfo`).split("\n");
    return lines.filter((line) => line.includes(id)).map((line) => `mount of ${pid}: ${line}`);
  });
  const dirs = ALL_ROOTS.map((root) => join(root, id)).filter((dir) => existsSync(dir));
  const cgroups = labsWithCgroups().has(id) ? [`control groups of ${id}`] : [];
  return [...alive, ...mounts, ...dirs, ...cgroups];
}

function allProcesses(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

/** A process and its parents: containers, with a PID namespace of their own, are found by them. */
function ancestorsOf(pid: string): string[] {
  const found: string[] = [];
  for (let at = pid; at !== "" && at !== "0"; ) {
    found.push(at);
    at = /^PPid:\t(\d+)$/m.exec(contentOf(`/proc/${at}/status`))?.[1] ?? "";
  }
  return found;
}

function pidNamespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined; // it has ended
  }
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // its process has ended
  }
}
