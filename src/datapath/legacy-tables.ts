/**
 * Whether the rules of legacy iptables are others than they were. Nobody tells of them: nftables' news leaves them out, the
 * audit log has them only where auditing is on, and their lock file is opened but never written. So the kernel is asked for
 * its tables' outlines (how many rules, how long, where the hooks begin), which is two system calls and takes no lock. A
 * rule that is put in another's place and is as long is left to the regular audit.
 */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import { FIREWALL_TOOLS, type FirewallTool, LEGACY_TABLES } from "./engine-firewall.ts";

const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
/** IPT_SO_GET_INFO, and IP6T_SO_GET_INFO: struct ipt_getinfo, of which only what comes in is set. */
const GET_INFO = 64;
const INFO_BYTES = 84;
const TABLE = "filter";
/** Address family and socket level of each. */
const FAMILIES: Readonly<Record<FirewallTool, readonly [family: number, level: number]>> = {
  iptables: [2, 0],
  ip6tables: [10, 41],
};

/** The outline of one family's filter table; undefined when legacy iptables has none. */
export type ReadLegacyTable = (family: FirewallTool) => Promise<string | undefined>;

export class LegacyTables {
  readonly #read: ReadLegacyTable;
  #known: string | undefined;

  constructor(read: ReadLegacyTable = readLegacyTable) {
    this.#read = read;
  }

  /** What is there now is what later looks are compared with. */
  async note(): Promise<void> {
    this.#known = await this.#outlines();
  }

  /** What was noted is no more, as Weft has changed it itself: the next look says so, whatever it finds. */
  distrust(): void {
    this.#known = "";
  }

  /** Whether anything has changed since it was noted; false before. */
  async haveChanged(): Promise<boolean> {
    return this.#known !== undefined && (await this.#outlines()) !== this.#known;
  }

  async #outlines(): Promise<string> {
    return (await Promise.all(FIREWALL_TOOLS.map(this.#read))).join();
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
async function readLegacyTable(tool: FirewallTool): Promise<string | undefined> {
  if (!tablesOf(tool).split("\n").includes(TABLE)) return undefined;
  const { socket, getsockopt, close } = (library ??= load());
  const [family, level] = FAMILIES[tool];
  const fd = socket(family, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return undefined;
  try {
    const info = Buffer.alloc(INFO_BYTES);
    info.write(TABLE, "latin1");
    const status = getsockopt(fd, level, GET_INFO, info, [INFO_BYTES]);
    return status === 0 ? info.toString("base64") : undefined;
  } finally {
    close(fd);
  }
}

interface Library {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly getsockopt: (
    fd: number,
    level: number,
    name: number,
    value: Buffer,
    length: number[],
  ) => number;
  readonly close: (fd: number) => number;
}

let library: Library | undefined;

function load(): Library {
  const libc = koffi.load("libc.so.6");
  return {
    socket: libc.func("int socket(int family, int type, int protocol)"),
    getsockopt: libc.func(
      "int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)",
    ),
    close: libc.func("int close(int fd)"),
  };
}
