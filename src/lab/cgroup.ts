/**
 * A control-group subtree per machine, so that its Engine's containers never meet those of another
 * machine or of the real host, and so that removing it is one walk. Version 1, 2 and hybrid.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CGROUP_PREFIX } from "./places.ts";
import { untilBlocking } from "./until.ts";

interface Hierarchy {
  readonly mountPoint: string;
  readonly version: 1 | 2;
}

/** The hierarchies mounted on this machine. */
export function hierarchies(): Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [fields = "", rest = ""] = line.split(" - ");
    const mountPoint = fields.split(" ")[4] ?? "";
    const type = rest.split(" ")[0];
    if (!mountPoint.startsWith("/sys/fs/cgroup")) continue;
    if (type === "cgroup") found.push({ mountPoint, version: 1 });
    if (type === "cgroup2") found.push({ mountPoint, version: 2 });
  }
  return found;
}

/** A directory to be seen at another path inside the machine. */
export interface CgroupBind {
  readonly from: string;
  readonly at: string;
}

/** Makes a machine's subtree in every hierarchy and returns what has to be mounted where in it. */
export function makeCgroups(labId: string, machine: string): CgroupBind[] {
  return hierarchies().map(({ mountPoint, version }) => {
    const lab = join(mountPoint, `${CGROUP_PREFIX}${labId}`);
    const own = join(lab, machine);
    for (const dir of [lab, own]) {
      if (version === 2) delegateControllers(dirname(dir));
      mkdirSync(dir, { recursive: true });
      if (version === 1) inheritCpuset(dir);
    }
    return { from: own, at: mountPoint };
  });
}

/** Removes the subtrees of a lab, or of one machine of it. Their processes have ended or are ending. */
export function removeCgroups(labId: string, machine = ""): void {
  for (const { mountPoint } of hierarchies()) {
    const dir = join(mountPoint, `${CGROUP_PREFIX}${labId}`, machine);
    untilBlocking(() => removeTree(dir), `control group ${dir} to be empty`);
  }
}

/** Labs that have control groups on this machine, and whether any process is in them. */
export function labsWithCgroups(): Map<string, { readonly inUse: boolean }> {
  const found = new Map<string, { readonly inUse: boolean }>();
  for (const { mountPoint } of hierarchies()) {
    for (const name of readdirSync(mountPoint)) {
      if (!name.startsWith(CGROUP_PREFIX)) continue;
      const id = name.slice(CGROUP_PREFIX.length);
      const inUse = found.get(id)?.inUse === true || hasProcesses(join(mountPoint, name));
      found.set(id, { inUse });
    }
  }
  return found;
}

function hasProcesses(dir: string): boolean {
  try {
    if (readFileSync(join(dir, "cgroup.procs"), "utf8") !== "") return true;
    const groups = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return groups.some((group) => hasProcesses(join(dir, group.name)));
  } catch {
    return true; // it is going away, or cannot be read: somebody else's
  }
}

/** False while a killed process has not yet left its group. */
function removeTree(dir: string): boolean {
  if (!existsSync(dir)) return true;
  const groups = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (!groups.every((group) => removeTree(join(dir, group.name)))) return false;
  try {
    rmdirSync(dir);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}

/** Version 2: children may use a controller only when their parent hands it down. */
function delegateControllers(dir: string): void {
  const controllers = readFileSync(join(dir, "cgroup.controllers"), "utf8").split(/\s+/);
  for (const controller of controllers.filter(Boolean)) {
    try {
      writeFileSync(join(dir, "cgroup.subtree_control"), `+${controller}`);
    } catch {
      // The parent holds processes itself or keeps this one back; containers run without its limits.
    }
  }
}

/** Version 1: a new cpuset is empty and takes no process until it is filled from its parent. */
function inheritCpuset(dir: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const own = join(dir, file);
    if (!existsSync(own) || readFileSync(own, "utf8").trim() !== "") continue;
    writeFileSync(own, readFileSync(join(dirname(dir), file), "utf8"));
  }
}
