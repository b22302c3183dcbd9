/**
 * Whether the rules of legacy iptables are others than they were. Nobody tells of them: nftables' news leaves them out, the
 * audit log has them only where auditing is on, and their lock file is opened but never written. So the kernel is asked for
 * its tables' outlines (how many rules, how long, where the hooks begin), which is two system calls and takes no lock. A
 * rule that is put in another's place and is as long is left to the regular audit.
 */
import { readFileSync } from "node:fs";
import { libc } from "../base/libc.ts";
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM } from "../base/sockets.ts";
import { FIREWALL_TOOLS, type FirewallTool, LEGACY_TABLES } from "./engine-firewall.ts";

/** IPT_SO_GET_INFO, and IP6T_SO_GET_INFO: struct ipt_getinfo, of which only what comes in is set. */
const GET_INFO = 64;
const INFO_BYTES = 84;
const TABLE = "filter";
/** Address family and socket level of each. */
const FAMILIES: Readonly<Record<FirewallTool, readonly [family: number, level: number]>> = {
  iptables: [AF_INET, 0],
  ip6tables: [AF_INET6, 41],
};

/** The outline of one family's filter table; undefined when legacy iptables has none. */
export type ReadLegacyTable = (family: FirewallTool) => string | undefined;

export class LegacyTables {
  readonly #read: ReadLegacyTable;
  #known: string | undefined;

  constructor(read: ReadLegacyTable = readLegacyTable) {
    this.#read = read;
  }

  /** What is there now. */
  outlines(): string {
    return FIREWALL_TOOLS.map(this.#read).join();
  }

  /** What later looks are compared with. */
  note(outlines: string): void {
    this.#known = outlines;
  }

  /** What was noted is no more, as Weft has changed it itself: the next look says so, whatever it finds. */
  distrust(): void {
    this.#known = "";
  }

  /** Whether anything has changed since it was noted; false before. */
  haveChanged(): boolean {
    return this.#known !== undefined && this.outlines() !== this.#known;
  }
}

/** Empty where the kernel has no such tables. */
function tablesOf(tool: FirewallTool): string {
  try {
    return readFileSync(LEGACY_TABLES[tool], "latin1");
  } catch {
    return "";
  }
}

/** Only of a table that is there: asking the kernel for one that is not would make it. */
function readLegacyTable(tool: FirewallTool): string | undefined {
  if (!tablesOf(tool).split("\n").includes(TABLE)) return undefined;
  const { socket, getsockopt, close } = libc();
  const [family, level] = FAMILIES[tool];
  const fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return undefined;
  try {
    const info = Buffer.alloc(INFO_BYTES);
    info.write(TABLE, "latin1");
    const isThere = getsockopt(fd, level, GET_INFO, info) === 0;
    return isThere ? info.toString("base64") : undefined;
  } finally {
    close(fd);
  }
}
