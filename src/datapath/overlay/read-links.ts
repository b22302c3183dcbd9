/** Reads back what `ip` and `bridge` show of the overlay networks. */
import {
  BRIDGE_PREFIX,
  bridgeSettings,
  PORT_PREFIX,
  TUNNEL_PREFIX,
  vniOfLink,
} from "../../base/overlay-links.ts";
import { type HostListing, listHost } from "../ip/host-listing.ts";
import { detailsOf, hasWord, isUp, nameOf, vxlanOf } from "../ip/listing.ts";
import type { JsonObject } from "../json.ts";
import { stringOf } from "../json.ts";
import type { RunTool } from "../run.ts";
import { readSysctls } from "../sysctl.ts";
import type { BridgePort, OverlayState, TunnelLink } from "./state.ts";

export async function readLinks(run: RunTool): Promise<OverlayState> {
  return decodeLinks(await listHost(run));
}

export function decodeLinks({ links, neighbours, fdb }: HostListing): OverlayState {
  const bridges = links.filter((link) => isNetworkLink(link, BRIDGE_PREFIX));
  const tunnels = links.filter((link) => isNetworkLink(link, TUNNEL_PREFIX));
  const ports = links.filter((link) => nameOf(link).startsWith(PORT_PREFIX));
  const settings = bridges.flatMap((bridge) => bridgeSettings(nameOf(bridge)));
  return {
    bridges: new Map(bridges.map((link) => [nameOf(link), isUp(link)])),
    tunnels: new Map(tunnels.map((link) => [nameOf(link), tunnelOf(link)])),
    ports: new Map(
      [...tunnels, ...ports].flatMap((link) => {
        const port = portOf(link);
        return port === undefined ? [] : [[nameOf(link), port] as const];
      }),
    ),
    entries: new Map(fdb.filter(isEntry).map((one) => [keyOf(one, "master"), nameOf(one)])),
    remotes: new Map(
      fdb.filter(isRemote).map((one) => [keyOf(one, "ifname"), stringOf(one, "dst") ?? ""]),
    ),
    neighbours: new Map(
      neighbours
        .filter((one) => isNetworkName(stringOf(one, "dev"), TUNNEL_PREFIX))
        .map((one) => [
          `${stringOf(one, "dev")} ${stringOf(one, "dst")}`,
          stringOf(one, "lladdr") ?? "",
        ]),
    ),
    // A kernel without IPv6 has none of IPv6.
    sysctls: readSysctls(settings.map(([path]) => path)),
  };
}

function isNetworkLink(link: JsonObject, prefix: string): boolean {
  return isNetworkName(nameOf(link), prefix);
}

function isNetworkName(name: string | undefined, prefix: string): boolean {
  return name?.startsWith(prefix) === true && vniOfLink(name) !== undefined;
}

function tunnelOf(link: JsonObject): TunnelLink {
  return { ...vxlanOf(link), proxy: detailsOf(link, "info_data")["proxy"] === true };
}

/** Undefined for a link that is a port of nothing. */
function portOf(link: JsonObject): BridgePort | undefined {
  const bridge = stringOf(link, "master");
  if (bridge === undefined) return undefined;
  const { learning, flood } = detailsOf(link, "info_slave_data");
  return { bridge, learning: learning !== false, flood: flood !== false, up: isUp(link) };
}

/** The bridge's own, not those that it has made for its ports' own addresses. */
function isEntry(entry: JsonObject): boolean {
  return (
    stringOf(entry, "state") === "static" && isNetworkName(stringOf(entry, "master"), BRIDGE_PREFIX)
  );
}

function isRemote(entry: JsonObject): boolean {
  return hasWord(entry["flags"], "self") && isNetworkLink(entry, TUNNEL_PREFIX);
}

function keyOf(entry: JsonObject, device: "master" | "ifname"): string {
  return `${stringOf(entry, device)} ${stringOf(entry, "mac")}`;
}
