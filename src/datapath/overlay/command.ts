/** One change of the overlay networks' links as data, and as the line that `ip -batch` or `bridge -batch` takes. */
import { unreachable } from "../../base/assert.ts";
import { bridgeCommands } from "../../base/overlay-links.ts";
import { type Batch, joined } from "../ip/batch.ts";
import { VXLAN_TTL } from "../names.ts";
import type { BridgePort, TunnelLink } from "./state.ts";
import { wordsOf } from "./state.ts";

export type OverlayCommand =
  | { readonly kind: "bridge.add"; readonly name: string }
  | { readonly kind: "bridge.up"; readonly name: string }
  | { readonly kind: "tunnel.add"; readonly name: string; readonly tunnel: TunnelLink }
  | { readonly kind: "tunnel.set"; readonly name: string; readonly tunnel: TunnelLink }
  | { readonly kind: "port.set"; readonly name: string; readonly port: BridgePort }
  | { readonly kind: "link.delete"; readonly name: string }
  /** `key` and `value` are as in OverlayState. */
  | EntryCommand
  | SettingCommand;

interface SettingCommand {
  readonly kind: "sysctl.set";
  readonly path: string;
  readonly value: string;
}

interface EntryCommand {
  readonly kind:
    | "entry.replace"
    | "entry.delete"
    | "remote.replace"
    | "remote.delete"
    | "neighbour.replace"
    | "neighbour.delete";
  readonly key: string;
  readonly value: string;
}

/** Consecutive commands of one tool share one run of it. */
export function overlayBatches(commands: readonly OverlayCommand[]): Batch[] {
  return joined(commands.map(batchOf));
}

function batchOf(command: OverlayCommand): Batch {
  if (command.kind === "sysctl.set") {
    return { tool: "sysctl", path: command.path, value: command.value };
  }
  return { tool: toolOf(command), lines: linesOf(command) };
}

function toolOf({ kind }: OverlayCommand): "ip" | "bridge" {
  return kind.startsWith("entry.") || kind.startsWith("remote.") ? "bridge" : "ip";
}

function linesOf(command: Exclude<OverlayCommand, SettingCommand>): readonly string[] {
  switch (command.kind) {
    case "bridge.add":
      return bridgeCommands(command.name);
    case "bridge.up":
      return [`link set ${command.name} up`];
    case "tunnel.add":
      return addTunnel(command.name, command.tunnel);
    case "tunnel.set":
      return setTunnel(command.name, command.tunnel);
    case "port.set":
      return setPort(command.name, command.port);
    case "link.delete":
      return [`link delete ${command.name}`];
    case "entry.replace":
    case "entry.delete":
    case "remote.replace":
    case "remote.delete":
    case "neighbour.replace":
    case "neighbour.delete":
      return [entryLine(command)];
    default:
      return unreachable(command);
  }
}

function entryLine({ kind, key, value }: EntryCommand): string {
  const [device, what] = wordsOf(key);
  switch (kind) {
    case "entry.replace":
      return `fdb replace ${what} dev ${value} master static`;
    case "entry.delete":
      return `fdb delete ${what} dev ${value} master`;
    case "remote.replace":
      return `fdb replace ${what} dev ${device} dst ${value} self permanent`;
    case "remote.delete":
      return `fdb delete ${what} dev ${device} dst ${value} self`;
    case "neighbour.replace":
      return `neighbour replace ${what} lladdr ${value} dev ${device} nud permanent`;
    case "neighbour.delete":
      return `neighbour delete ${what} dev ${device}`;
    default:
      return unreachable(kind);
  }
}

/** Its IPv6 stays on, without any address: the device answers for IPv6 neighbours only then. */
function addTunnel(name: string, tunnel: TunnelLink): readonly string[] {
  const { mtu, vni, port, local } = tunnel;
  const words = ["nolearning", "proxy", `ttl ${VXLAN_TTL}`].join(" ");
  return [
    `link add ${name} mtu ${mtu} type vxlan id ${vni} dstport ${port} local ${local} ${words}`,
    `link set ${name} addrgenmode none`,
  ];
}

/** VNI, port and what it does with neighbours cannot be changed; the plan makes such a tunnel anew. */
function setTunnel(name: string, { mtu, vni, local }: TunnelLink): readonly string[] {
  return [`link set ${name} mtu ${mtu}`, `link set ${name} type vxlan id ${vni} local ${local}`];
}

function setPort(name: string, { bridge, flood }: BridgePort): readonly string[] {
  return [
    `link set ${name} addrgenmode none`,
    `link set ${name} master ${bridge}`,
    `link set ${name} type bridge_slave learning off flood ${flood ? "on" : "off"}`,
    `link set ${name} up`,
  ];
}
