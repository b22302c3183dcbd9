/**
 * A bridged network over VXLAN between two hosts without Weft, made by hand: a container with a port of the bridge at
 * each end. What no overlay network can be faster than; nothing filters or tracks its frames.
 */
import type { Host } from "../../src/lab/host.ts";
import type { Place } from "../../src/lab/place.ts";
import { startServers } from "../paths/servers.ts";

const BRIDGE = "bb0";
const TUNNEL = "bx0";
const PORT = "bp0";
/** Not Weft's and not the default of any other overlay that may run here. */
const TUNNEL_PORT = 8474;
const TUNNEL_VNI = 78;
const MTU = 1450;
const CONTAINER = "bench-bare";

interface End {
  readonly host: Host;
  readonly address: string;
  readonly mac: string;
}

export interface BareNetwork {
  readonly client: Place;
  /** Of the container that serves. */
  readonly address: string;
}

/** The first host has the client, the second the servers. */
export async function makeBareNetwork(entry: Host, server: Host): Promise<BareNetwork> {
  const near: End = { host: entry, address: "10.78.0.1", mac: "02:78:00:00:00:01" };
  const far: End = { host: server, address: "10.78.0.2", mac: "02:78:00:00:00:02" };
  const [client, task] = await Promise.all([makeEnd(near, far), makeEnd(far, near)]);
  await startServers(server, task);
  return { client, address: far.address };
}

async function makeEnd(own: End, other: End): Promise<Place> {
  const { host } = own;
  // The Engine has bridged frames filtered as if they were routed.
  await host.exec(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0"]);
  const flags = ["run", "--detach", "--network", "none", "--name", CONTAINER];
  await host.engineOk([...flags, "busybox", "sleep", "1000000"]);
  const pid = await host.engineOk(["inspect", "--format", "{{.State.Pid}}", CONTAINER]);
  const vxlan = `type vxlan id ${TUNNEL_VNI} dstport ${TUNNEL_PORT} local ${host.ip} nolearning`;
  await batch(host, "ip", [
    `link add ${BRIDGE} mtu ${MTU} type bridge`,
    `link add ${TUNNEL} mtu ${MTU} ${vxlan}`,
    `link add ${PORT} mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${pid.trim()}`,
    ...[TUNNEL, PORT].map((link) => `link set ${link} master ${BRIDGE}`),
    ...[TUNNEL, PORT, BRIDGE].map((link) => `link set ${link} up`),
  ]);
  await batch(host, "bridge", [
    `fdb append ${other.mac} dev ${TUNNEL} dst ${other.host.ip} self permanent`,
    `fdb add ${other.mac} dev ${TUNNEL} master static`,
  ]);
  const place = await host.container(CONTAINER);
  await batch(place, "ip", [
    `link set eth0 address ${own.mac}`,
    `address add ${own.address}/24 dev eth0`,
    "link set eth0 up",
    `neighbour add ${other.address} lladdr ${other.mac} dev eth0 nud permanent`,
  ]);
  return place;
}

async function batch(place: Place, tool: "ip" | "bridge", lines: readonly string[]): Promise<void> {
  const { code, stderr } = await place.exec([tool, "-batch", "-"], { stdin: lines.join("\n") });
  if (code !== 0) throw new Error(`${tool} on ${place.name}: ${stderr}`);
}
