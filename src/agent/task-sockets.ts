/**
 * What a task's processes have open, from its network namespace's own tables: which ports are served, and how
 * many connections from outside there are. The server's sockets say it more exactly than conntrack does.
 *
 * To make a table of TCP's the kernel walks over the connections of all namespaces: some 5 ms for each, be it
 * empty. How many sockets a namespace has, it says at once.
 */
import { readFile } from "node:fs/promises";

export interface TaskSockets {
  /** As "tcp/80": what another host could reach. */
  readonly served: ReadonlySet<string>;
  /** Those of them that IPv6 clients reach. */
  readonly served6: ReadonlySet<string>;
  /** The namespace's IPv6 addresses, each as 32 hexadecimal digits. */
  readonly addresses6: ReadonlySet<string>;
  /** Connections from outside whose other end may still be there, by the task's own port; 0 is left out. */
  readonly connections: ReadonlyMap<number, number>;
  /** UDP ports with datagrams that the task has not read yet. */
  readonly unread: ReadonlySet<number>;
}

/** The sockets of a process' network namespace. */
export interface TaskSocketReader {
  /** Undefined when they cannot be read: the process has ended, or is not seen from here. */
  sockets(pid: number): Promise<TaskSockets | undefined>;
  /** How many there are by kind, in the kernel's words; undefined when nobody can tell. Cheap, unlike the sockets themselves. */
  counts(pid: number): Promise<string | undefined>;
}

const TABLES = ["tcp", "tcp6", "udp", "udp6"] as const;
const ADDRESS_TABLE = "if_inet6";
export type SocketTables = Readonly<Record<(typeof TABLES)[number] | typeof ADDRESS_TABLE, string>>;

/** From /proc. */
export const taskSockets: TaskSocketReader = {
  sockets: async (pid) => {
    try {
      const counts = await taskSockets.counts(pid);
      const tables = await Promise.all(
        [...TABLES, ADDRESS_TABLE].map(async (table) => {
          const isEmpty = counts !== undefined && hasNone(counts, table);
          return [table, isEmpty ? "" : await read(pid, table)] as const;
        }),
      );
      return decodeSockets(Object.fromEntries(tables) as SocketTables);
    } catch {
      return undefined;
    }
  },
  counts: async (pid) => {
    try {
      return socketCounts((await read(pid, "sockstat")) + (await read(pid, "sockstat6")));
    } catch {
      return undefined;
    }
  },
};

/** Whether there is no socket of that table's kind, by those counts. */
function hasNone(counts: string, table: string): boolean {
  return counts.split(", ").includes(`${table.toUpperCase()}: inuse 0`);
}

/** Of the words of sockstat those that are of the namespace alone: "TCP: inuse 2", "TCP6: inuse 1". */
export function socketCounts(stat: string): string {
  return (stat.match(/^\w+: inuse \d+/gm) ?? []).join(", ");
}

/** A host without IPv6 has no tables of it. */
async function read(pid: number, table: string): Promise<string> {
  const path = `/proc/${pid}/net/${table}`;
  return await readFile(path, "latin1").catch((error: unknown) => {
    if (table.endsWith("6")) return "";
    throw error;
  });
}

/** From the tables as proc(5) has them. */
export function decodeSockets(tables: SocketTables): TaskSockets {
  const served = new Set<string>();
  const served6 = new Set<string>();
  const connections = new Map<number, number>();
  const unread = new Set<number>();
  for (const table of TABLES) {
    const protocol = table.startsWith("tcp") ? "tcp" : "udp";
    for (const line of tables[table].split("\n").slice(1)) {
      const socket = decodeLine(line);
      if (socket === undefined) continue;
      const { state, localPort } = socket;
      const isServer = protocol === "tcp" ? state === LISTEN : state === UNCONNECTED;
      if (isServer && !isLoopback(socket.localAddress)) {
        served.add(`${protocol}/${localPort}`);
        if (table.endsWith("6") && !isMapped(socket.localAddress)) {
          served6.add(`${protocol}/${localPort}`);
        }
      }
      if (protocol === "udp" && socket.unreadBytes > 0) unread.add(localPort);
      if (protocol === "tcp" && isConnection(socket) && !isLoopback(socket.remoteAddress)) {
        connections.set(localPort, (connections.get(localPort) ?? 0) + 1);
      }
    }
  }
  const addresses6 = new Set(
    tables[ADDRESS_TABLE].split("\n").map((line) => line.split(" ")[0] ?? ""),
  );
  return { served, served6, addresses6, connections, unread };
}

interface SocketLine {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly state: number;
  readonly unreadBytes: number;
  /** How often running the same bytes were sent in vain. */
  readonly repeats: number;
  /** 0 when no process has it any more. */
  readonly inode: number;
}

/** States of include/net/tcp_states.h; UDP uses two of them. */
const ESTABLISHED = 0x01;
const SYN_RECV = 0x03;
const FIN_WAIT1 = 0x04;
const FIN_WAIT2 = 0x05;
const UNCONNECTED = 0x07;
const CLOSE_WAIT = 0x08;
const LAST_ACK = 0x09;
const LISTEN = 0x0a;
const CLOSING = 0x0b;
/** Something may still come or has still to be delivered. */
const OPEN = new Set([ESTABLISHED, SYN_RECV, FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING]);

/** Of its timers, the one that runs while bytes are not acknowledged. */
const TIMER_REPEAT = "01";
/**
 * Sent more often in vain, for six seconds and more, a connection has no other end: its host has failed, or this one was
 * cut off and the others have forgotten it. At 5 % loss that is one in three million.
 */
const REPEATS_MAX = 4;

const HEX = 16;

function decodeLine(line: string): SocketLine | undefined {
  const [, local, remote, state, queues, timer, repeats, , , inode] = line.trim().split(/\s+/);
  if (local === undefined || remote === undefined || inode === undefined) return undefined;
  const [localAddress = "", port = ""] = local.split(":");
  return {
    localAddress,
    localPort: Number.parseInt(port, HEX),
    remoteAddress: remote.split(":")[0] ?? "",
    state: Number.parseInt(state ?? "", HEX),
    unreadBytes: Number.parseInt(queues?.split(":")[1] ?? "", HEX),
    repeats: timer?.startsWith(`${TIMER_REPEAT}:`) ? Number.parseInt(repeats ?? "", HEX) : 0,
    inode: Number(inode),
  };
}

/** One that the server has half closed lives as long as the server still reads. */
function isConnection({ state, inode, repeats }: SocketLine): boolean {
  if (repeats > REPEATS_MAX) return false;
  return OPEN.has(state) || (state === FIN_WAIT2 && inode !== 0);
}

/** An IPv4 address in IPv6's clothes, ::ffff:0:0/96, as words in the machine's byte order. */
function isMapped(address: string): boolean {
  return /^0{16}FFFF0000/.test(address);
}

/** 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104, as words in the machine's byte order. */
function isLoopback(address: string): boolean {
  return (
    /^(0{16}FFFF0000)?[0-9A-F]{6}7F$/.test(address) ||
    address === "00000000000000000000000001000000"
  );
}
