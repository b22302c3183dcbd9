/** The part "paths": what a packet's way through the mesh costs beside its limits and its rivals. */
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import type { Progress } from "../progress.ts";
import { type LoadResult, measureLoads } from "./measure.ts";
import type { Path } from "./path.ts";
import { routedPath, routedVXLANPath, setUpPlainHosts } from "./plain-hosts.ts";
import { haproxyPath, iptablesPath, nginxStreamPath } from "./rivals.ts";
import { setUpWeftHosts, weftLocalPath, weftRemotePath } from "./weft-hosts.ts";

const ROUNDS = 7;
const ROUNDS_QUICK = 2;
const PATHS = 7;

export interface PathsReport {
  readonly rounds: number;
  readonly loads: readonly LoadResult[];
  /** What is not in it, and why. */
  readonly notes: readonly string[];
}

export async function benchPaths(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<PathsReport> {
  progress.part("Paths: four hosts, a client for each path");
  const rounds = options.isQuick ? ROUNDS_QUICK : ROUNDS;
  await using lab = await Lab.create({ hosts: 4, clients: PATHS, images: ["busybox"] });
  await Promise.all([...lab.clients, ...lab.hosts].map(manyConnections));
  progress.step("forming a cluster, starting the rivals");
  const paths = await makePaths(lab);
  const loads = await measureLoads(paths, rounds, progress);
  const notes =
    paths.length === PATHS ? [] : ["nginx stream: Debian's libnginx-mod-stream is not installed"];
  return { rounds, loads, notes };
}

async function makePaths(lab: Lab): Promise<Path[]> {
  const [weft, plain] = [
    { entry: lab.host(1), server: lab.host(2) },
    { entry: lab.host(3), server: lab.host(4) },
  ];
  await Promise.all([setUpWeftHosts(weft.entry, weft.server), setUpPlainHosts(plain)]);
  const paths = [
    await routedPath(lab.client(1), plain),
    weftLocalPath(lab.client(2), weft.server),
    await routedVXLANPath(lab.client(3), plain),
    weftRemotePath(lab.client(4), weft.entry),
    await iptablesPath(lab.client(5), plain.entry),
    await haproxyPath(lab.client(6), plain.entry),
    await nginxStreamPath(lab.client(7), plain.entry),
  ];
  return paths.filter((path) => path !== undefined);
}

/**
 * A connection for each request, thousands a second from one address to another: every port is free to
 * use, and one in TIME_WAIT may be used again. It is the proxies that need it most.
 */
async function manyConnections(machine: Host | Machine): Promise<void> {
  const settings = ["net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1"];
  for (const setting of settings) await machine.execOk(["sysctl", "-qw", setting]);
}
