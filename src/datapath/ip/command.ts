/** One change of the network's state as data, and as the line that `ip -batch` or `bridge -batch` takes. */

import { unreachable } from "../../base/assert.ts";
import { isOfIPv6 } from "../../base/ip-address.ts";
import { LINK, ROUTE_PROTOCOL, TASK_GATEWAY, TASK_GATEWAY6, VXLAN_TTL } from "../names.ts";
import { type Batch, joined, type Tool } from "./batch.ts";
import type { Route, RoutingRule, TaskLink, VxlanLink } from "./state.ts";

export type NetworkCommand =
  | { readonly kind: "link.add"; readonly name: string; readonly link: VxlanLink }
  | {
      readonly kind: "link.set";
      readonly name: string;
      readonly link: VxlanLink;
      readonly from: VxlanLink;
    }
  | { readonly kind: "link.up"; readonly name: string }
  | { readonly kind: "link.delete"; readonly name: string }
  /** `from` is undefined when nobody has looked: doing it to a link that is well changes nothing. */
  | {
      readonly kind: "task-link.ready";
      readonly name: string;
      readonly link: TaskLink;
      readonly from?: TaskLink;
    }
  | { readonly kind: "address.add"; readonly key: string }
  | { readonly kind: "address.delete"; readonly key: string }
  | { readonly kind: "route.replace"; readonly route: Route; readonly from?: Route }
  | { readonly kind: "route.delete"; readonly route: Route }
  | { readonly kind: "rule.add"; readonly rule: RoutingRule }
  | { readonly kind: "rule.delete"; readonly rule: RoutingRule }
  | { readonly kind: "neighbour.replace"; readonly address: string; readonly mac: string }
  | { readonly kind: "neighbour.delete"; readonly address: string }
  | { readonly kind: "fdb.replace"; readonly mac: string; readonly to: string }
  | { readonly kind: "fdb.delete"; readonly mac: string; readonly to: string }
  | SettingCommand;

interface SettingCommand {
  readonly kind: "sysctl.set";
  readonly path: string;
  readonly value: string;
  readonly from?: string;
}

/** Consecutive commands of one tool share one run of it. */
export function batches(commands: readonly NetworkCommand[]): Batch[] {
  return joined(commands.map(batchOf));
}

function batchOf(command: NetworkCommand): Batch {
  if (command.kind === "sysctl.set") {
    return { tool: "sysctl", path: command.path, value: command.value };
  }
  return { tool: toolOf(command), lines: linesOf(command) };
}

function toolOf(command: NetworkCommand): Tool {
  if (command.kind === "fdb.replace" || command.kind === "fdb.delete") return "bridge";
  const isRule = command.kind === "rule.add" || command.kind === "rule.delete";
  return isRule && isOfIPv6(command.rule.from) ? "ip -6" : "ip";
}

function linesOf(command: Exclude<NetworkCommand, SettingCommand>): string[] {
  switch (command.kind) {
    case "link.add":
      return [addLink(command.name, command.link)];
    case "link.set":
      return setLink(command.name, command.from, command.link);
    case "link.up":
      return [`link set ${command.name} up`];
    case "link.delete":
      return [`link delete ${command.name}`];
    case "task-link.ready":
      return [
        `link set ${command.name} up`,
        `address replace ${TASK_GATEWAY}/32 dev ${command.name} scope link`,
        ...(command.link.gateway6
          ? [`address replace ${TASK_GATEWAY6}/64 dev ${command.name} nodad`]
          : []),
      ];
    case "address.add":
      return [`address add ${addressOf(command.key)}${isOfIPv6(command.key) ? " nodad" : ""}`];
    case "address.delete":
      return [`address delete ${addressOf(command.key)}`];
    case "route.replace":
      return [`route replace ${routeOf(command.route)}`];
    case "route.delete":
      return [`route delete ${routeOf(command.route)}`];
    case "rule.add":
      return [`rule add ${ruleOf(command.rule)}`];
    case "rule.delete":
      return [`rule delete ${ruleOf(command.rule)}`];
    case "neighbour.replace":
      return [
        `neighbour replace ${command.address} lladdr ${command.mac} dev ${LINK} nud permanent`,
      ];
    case "neighbour.delete":
      return [`neighbour delete ${command.address} dev ${LINK}`];
    case "fdb.replace":
      return [`fdb replace ${command.mac} dev ${LINK} dst ${command.to} self permanent`];
    case "fdb.delete":
      return [`fdb delete ${command.mac} dev ${LINK} dst ${command.to} self`];
    default:
      return unreachable(command);
  }
}

function addLink(name: string, link: VxlanLink): string {
  const learning = link.learning ? "learning" : "nolearning";
  const tunnel = `type vxlan id ${link.vni} dstport ${link.port} local ${link.local}`;
  return `link add ${name} address ${link.mac} mtu ${link.mtu} ${tunnel} ${learning} ttl ${VXLAN_TTL}`;
}

/** VNI and port cannot be changed; the plan makes such a link anew. */
function setLink(name: string, from: VxlanLink, to: VxlanLink): string[] {
  const lines: string[] = [];
  if (from.mac !== to.mac) lines.push(`link set ${name} address ${to.mac}`);
  if (from.mtu !== to.mtu) lines.push(`link set ${name} mtu ${to.mtu}`);
  if (from.local !== to.local) {
    lines.push(`link set ${name} type vxlan id ${to.vni} local ${to.local}`);
  }
  return lines;
}

function addressOf(key: string): string {
  const [device, address] = key.split(" ");
  return `${address} dev ${device}`;
}

/** Without a next hop a route has scope link unless told: the host would speak from the link's own address. */
function routeOf(route: Route): string {
  const { table, destination, device, via } = route;
  const hop = via === undefined ? `dev ${device} scope global` : `via ${via} dev ${device} onlink`;
  return `${destination} ${hop} table ${table} proto ${ROUTE_PROTOCOL}`;
}

function ruleOf({ priority, from, mark, mask, table }: RoutingRule): string {
  return `priority ${priority} from ${from} fwmark ${mark}/${mask} lookup ${table} protocol ${ROUTE_PROTOCOL}`;
}
