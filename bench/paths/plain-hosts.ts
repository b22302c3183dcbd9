/**
 * Two hosts without Weft, each with its Engine as users have it: a task on the second one, reached by
 * routing alone. The limits of what any mesh can do here, and the ground that the rivals stand on.
 * The task has two addresses: what asks the second is answered through the first host, as in a mesh.
 */
import type { Host } from "../../src/lab/host.ts";
import type { Machine } from "../../src/lab/machine.ts";
import type { Place } from "../../src/lab/place.ts";
import { SERVED, type Served, type Target } from "../loads/load.ts";
import { type Path, ROUTED, ROUTED_VXLAN } from "./path.ts";
import { SERVED_PORTS, startServers } from "./servers.ts";

const DIRECT_ADDRESS = "10.77.0.2";
/** The task's address for whoever comes by way of the entry host. */
export const REMOTE_TASK = "10.77.0.3";
const GATEWAY = "169.254.1.1";
const TASK_LINK = "bv0";
const TUNNEL = "bare0";
/** Not Weft's and not the default of any other overlay that may run here. */
const TUNNEL_PORT = 8473;
const TUNNEL_VNI = 77;
const TUNNEL_MTU = 1450;
const REPLY_TABLE = 77;
const CONTAINER = "bench-task";

interface Ends {
  readonly entry: Host;
  readonly server: Host;
}

interface TunnelEnd {
  readonly address: string;
  readonly mac: string;
}

const ENTRY_END: TunnelEnd = { address: "10.77.1.1", mac: "02:77:00:00:00:01" };
const SERVER_END: TunnelEnd = { address: "10.77.1.2", mac: "02:77:00:00:00:02" };

/** Makes the tunnel, the task and its servers; the two hosts are booted and their Engines up. */
export async function setUpPlainHosts({ entry, server }: Ends): Promise<void> {
  await Promise.all([
    makeTunnel(entry, server, ENTRY_END, SERVER_END),
    makeTunnel(server, entry, SERVER_END, ENTRY_END),
  ]);
  const task = await makeTask(server);
  await ip(entry, [
    `route add ${REMOTE_TASK}/32 via ${SERVER_END.address} dev ${TUNNEL} onlink src ${ENTRY_END.address}`,
  ]);
  await ip(server, [
    `rule add from ${REMOTE_TASK} iif ${TASK_LINK} lookup ${REPLY_TABLE}`,
    `route add default via ${ENTRY_END.address} dev ${TUNNEL} onlink table ${REPLY_TABLE}`,
  ]);
  await startServers(server, task);
}

/** Routed straight to the task's host: the limit of a local endpoint. */
export async function routedPath(client: Machine, { server }: Ends): Promise<Path> {
  await ip(client, [`route add ${DIRECT_ADDRESS} via ${server.ip}`]);
  return { name: ROUTED, limit: undefined, client, targets: targetsAt(DIRECT_ADDRESS) };
}

/** Routed to the entry host and from there over the tunnel, both ways: the limit of a remote endpoint. */
export async function routedVXLANPath(client: Machine, { entry }: Ends): Promise<Path> {
  await ip(client, [`route add ${REMOTE_TASK} via ${entry.ip}`]);
  return { name: ROUTED_VXLAN, limit: undefined, client, targets: targetsAt(REMOTE_TASK) };
}

function targetsAt(address: string): Record<Served, Target> {
  const target = (served: Served) => [served, { address, port: SERVED_PORTS[served] }] as const;
  return Object.fromEntries(SERVED.map(target)) as Record<Served, Target>;
}

/** As Weft's: nothing learned, one entry and one neighbour for the other end. */
async function makeTunnel(host: Host, peer: Host, own: TunnelEnd, other: TunnelEnd): Promise<void> {
  const vxlan = `type vxlan id ${TUNNEL_VNI} dstport ${TUNNEL_PORT} local ${host.ip} nolearning`;
  await ip(host, [
    `link add ${TUNNEL} address ${own.mac} mtu ${TUNNEL_MTU} ${vxlan}`,
    `address add ${own.address}/32 dev ${TUNNEL}`,
    `link set ${TUNNEL} up`,
    `neighbour add ${other.address} lladdr ${other.mac} dev ${TUNNEL} nud permanent`,
    `route add ${other.address} dev ${TUNNEL}`,
  ]);
  const entry = ["bridge", "fdb", "add", other.mac, "dev", TUNNEL, "dst", peer.ip, "self"];
  await host.execOk([...entry, "permanent"]);
  await host.execOk(["sysctl", "-qw", `net.ipv4.conf.${TUNNEL}.rp_filter=2`]);
  await acceptForwarded(host, TUNNEL);
}

/** A container with an interface and no more, routed to without a bridge, as Weft's are. */
async function makeTask(server: Host): Promise<Place> {
  const flags = ["run", "--detach", "--network", "none", "--name", CONTAINER];
  await server.engineOk([...flags, "busybox", "sleep", "1000000"]);
  const pid = await server.engineOk(["inspect", "--format", "{{.State.Pid}}", CONTAINER]);
  const task = await server.container(CONTAINER);
  await ip(server, [
    `link add ${TASK_LINK} type veth peer name eth0 netns ${pid.trim()}`,
    `address add ${GATEWAY}/32 dev ${TASK_LINK}`,
    `link set ${TASK_LINK} up`,
    ...[DIRECT_ADDRESS, REMOTE_TASK].map((address) => `route add ${address} dev ${TASK_LINK}`),
  ]);
  await ip(task, [
    ...[DIRECT_ADDRESS, REMOTE_TASK].map((address) => `address add ${address}/32 dev eth0`),
    "link set eth0 up",
    `route add ${GATEWAY} dev eth0`,
    `route add default via ${GATEWAY} dev eth0`,
  ]);
  await acceptForwarded(server, TASK_LINK);
  return task;
}

/** The Engine's firewall drops what it does not know. */
async function acceptForwarded(host: Host, link: string): Promise<void> {
  for (const direction of ["-i", "-o"]) {
    await host.execOk(["iptables", "-w", "-I", "DOCKER-USER", direction, link, "-j", "ACCEPT"]);
  }
}

async function ip(place: Place, lines: readonly string[]): Promise<void> {
  const { code, stderr } = await place.exec(["ip", "-batch", "-"], { stdin: lines.join("\n") });
  if (code !== 0) throw new Error(`ip on ${place.name}: ${stderr}`);
}
