/**
 * The namespaces of a machine, held by one process: network, mount, UTS, IPC, cgroup and PID. The PID
 * namespace is what makes cleaning up certain: when the holder is killed, the kernel kills every
 * process in it, containers included, and with the last of them go mounts and links. The holder
 * itself is killed with the process that made the lab, however that one ends.
 */
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { LabError } from "./errors.ts";
import { Service } from "./process.ts";
import { until } from "./until.ts";

/** What kills a program together with the process that started it. */
const TIED = ["setpriv", "--pdeathsig", "KILL", "--"];

/**
 * What the holder does, in two halves. Outside: it joins the machine's control groups, so that the
 * cgroup namespace made next begins there. Its arguments: pairs of a cgroup directory and
 * where it is mounted, then "--", then the command that goes on inside.
 */
const JOIN_CGROUPS = `
set -eu
while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift 2; done
shift; exec "$@"
`;

/**
 * Inside the new namespaces. Its arguments: host name, the machine's run, docker and weft
 * directories, a directory for the copy-on-write layers, then the pairs as above.
 * What a machine writes to /etc, /opt, /var/lib and /var/log stays in a layer of its own.
 */
const SET_UP = `
set -eu
hostname "$1"; run=$2 docker=$3 weft=$4 layers=$5; shift 5
mount -t tmpfs -o mode=755 lab "$layers"
mkdir "$layers/docker" "$layers/weft" "$layers/cgroup"
mount --bind "$docker" "$layers/docker"
mount --bind "$weft" "$layers/weft"
i=0
while [ "$#" -gt 0 ]; do
  # Version 2 lets no process stay in a group that hands controllers down: the holder steps aside.
  if [ -e "$1/cgroup.controllers" ]; then mkdir -p "$1/init"; echo 0 > "$1/init/cgroup.procs"; fi
  i=$((i + 1)); mkdir "$layers/cgroup/$i"; mount --bind "$1" "$layers/cgroup/$i"
  echo "$2" > "$layers/cgroup/$i.at"; shift 2
done
mount -t sysfs lab /sys
if [ ! -e "$layers/cgroup/1.at" ] || [ "$(cat "$layers/cgroup/1.at")" != /sys/fs/cgroup ]; then
  mount -t tmpfs -o mode=755 lab /sys/fs/cgroup
fi
while [ "$i" -gt 0 ]; do
  at=$(cat "$layers/cgroup/$i.at"); mkdir -p "$at"; mount --move "$layers/cgroup/$i" "$at"
  i=$((i - 1))
done
for path in /etc /opt /var/lib /var/log; do
  i=$((i + 1)); mkdir "$layers/$i" "$layers/$i.work"
  mount -t overlay -o "lowerdir=$path,upperdir=$layers/$i,workdir=$layers/$i.work" lab "$path"
done
mkdir -p /var/lib/docker /var/lib/weft
mount --move "$layers/docker" /var/lib/docker
mount --move "$layers/weft" /var/lib/weft
umount -l "$layers"
umount -l /proc; mount -t proc proc /proc
mount --bind "$run" /run
echo ready
while :; do sleep 86400 & wait $!; done
`;

export interface NamespacesInit {
  readonly hostname: string;
  readonly runDir: string;
  readonly dockerDir: string;
  readonly weftDir: string;
  readonly layersDir: string;
  readonly cgroups: readonly { readonly from: string; readonly at: string }[];
  readonly logFile: string;
}

/** A machine's namespaces: how to enter them and how to end everything inside. */
export class Namespaces {
  readonly #holder: Service;

  private constructor(holder: Service) {
    this.#holder = holder;
  }

  /** All namespaces of a host or client; resolves when its file systems are in place. */
  static async create(init: NamespacesInit): Promise<Namespaces> {
    const unshare = ["unshare", "--fork", "--kill-child=KILL"];
    const kinds = ["--net", "--mount", "--uts", "--ipc", "--cgroup", "--pid"];
    const binds = init.cgroups.flatMap(({ from, at }) => [from, at]);
    const joining = ["sh", "-c", JOIN_CGROUPS, "join-cgroups", ...binds, "--"];
    const dirs = [init.runDir, init.dockerDir, init.weftDir, init.layersDir];
    const file = join(dirname(init.logFile), "set-up.sh");
    writeFileSync(file, SET_UP);
    const script = ["sh", file, init.hostname, ...dirs, ...binds];
    const argv = [...TIED, ...joining, ...unshare, ...kinds, ...script];
    return Namespaces.#hold(argv, init.logFile, true);
  }

  /** A network namespace alone, for the LAN. */
  static async createNetwork(name: string, logFile: string): Promise<Namespaces> {
    const argv = [...TIED, "unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity", name];
    return Namespaces.#hold(argv, logFile, false);
  }

  static async #hold(argv: string[], logFile: string, forks: boolean): Promise<Namespaces> {
    rmSync(logFile, { force: true }); // an earlier boot of the same machine was ready too
    const holder = await Service.start(argv, { logFile, forks });
    const isSettled = () => /^ready$/m.test(holder.output()) || !holder.running;
    await until(isSettled, { what: `"ready" in ${logFile}`, intervalMs: 5 });
    if (!holder.running) {
      throw new LabError(`the namespaces of a machine cannot be set up: ${holder.output().trim()}`);
    }
    return new Namespaces(holder);
  }

  /** The process that holds them, as seen from outside. */
  get pid(): number {
    return this.#holder.pid;
  }

  get alive(): boolean {
    return this.#holder.running;
  }

  /** The command line that runs `argv` inside all of them. */
  enter(argv: readonly string[]): string[] {
    const kinds = ["-m", "-r", "-u", "-i", "-n", "-C", "-p"];
    return ["nsenter", "-t", String(this.pid), ...kinds, "--", ...argv];
  }

  /** The command line that runs `argv` in the network namespace only. */
  enterNetwork(argv: readonly string[]): string[] {
    return ["nsenter", "-t", String(this.pid), "-n", "--", ...argv];
  }

  /** Kills all that runs inside, at once; resolves when the kernel has ended it. */
  async destroy(): Promise<void> {
    await this.#holder.end("SIGKILL");
  }
}
