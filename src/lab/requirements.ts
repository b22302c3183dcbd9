/** What the lab needs of the machine, said in plain words when it is missing. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { UnavailableError } from "../base/errors.ts";
import { hierarchies } from "./cgroup.ts";
import { labEnvironment, run } from "./process.ts";

/** Program and the Debian package that has it. */
const PROGRAMS: Readonly<Record<string, string>> = {
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  unshare: "util-linux",
  setpriv: "util-linux",
  curl: "curl",
};
const ENGINE_PROGRAMS: Readonly<Record<string, string>> = {
  dockerd: "docker.io",
  docker: "docker.io",
  iptables: "iptables",
};

/** Why no lab can be made here, for `skip` in tests; undefined when one can. */
export async function labUnavailable({ engine = true } = {}): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "the lab makes network namespaces and needs root";
  const programs = { ...PROGRAMS, ...(engine ? ENGINE_PROGRAMS : {}) };
  const missing = Object.entries(programs).filter(([program]) => !isOnPath(program));
  if (missing.length > 0) {
    const list = missing.map(([program, pkg]) => `${program} (Debian package ${pkg})`);
    return `the lab needs ${list.join(", ")}; 'make setup' installs what is missing`;
  }
  if (engine && hierarchies().length === 0) {
    return "a Docker Engine needs control groups, and none are mounted on /sys/fs/cgroup (Debian package cgroupfs-mount)";
  }
  return kernelLacks();
}

export async function requireLab(options: { readonly engine: boolean }): Promise<void> {
  const reason = await labUnavailable(options);
  if (reason !== undefined) throw new UnavailableError(reason);
}

function isOnPath(program: string): boolean {
  const path = labEnvironment()["PATH"] ?? "";
  return path.split(":").some((dir) => existsSync(join(dir, program)));
}

/** Tried for real, in namespaces that are thrown away: what a kernel says it has may be a module that is not there. */
const KERNEL_CHECKS: readonly (readonly [string, readonly string[]])[] = [
  ["mount namespaces", ["true"]],
  ["overlay", ["mount", "-t", "overlay", "-o", "lowerdir=/etc:/opt", "weft-check", "/mnt"]],
  ["nftables", ["nft", "add", "table", "inet", "weft-check"]],
  ["veth links", ["ip", "link", "add", "weft0", "type", "veth", "peer", "name", "weft1"]],
  ["bridges", ["ip", "link", "add", "weft0", "type", "bridge"]],
  ["VXLAN links", ["ip", "link", "add", "weft0", "type", "vxlan", "id", "1", "dstport", "4789"]],
];

async function kernelLacks(): Promise<string | undefined> {
  const checks = KERNEL_CHECKS.map(async ([feature, argv]) => {
    const { code, stderr } = await run(["unshare", "--net", "--mount", ...argv]);
    return code === 0 ? undefined : `${feature} (${stderr.trim()})`;
  });
  const lacking = (await Promise.all(checks)).filter((reason) => reason !== undefined);
  if (lacking.length === 0) return undefined;
  return `this kernel, or what this process may do with it, lacks ${lacking.join(", ")}`;
}
