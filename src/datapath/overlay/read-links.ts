/** Reads back what `ip` and `bridge` show of the overlay networks. */
import { SystemError } from "../../base/errors.ts";
import {
  BRIDGE_PREFIX,
  bridgeSettings,
  PORT_PREFIX,
  TUNNEL_PREFIX,
  vniOfLink,
} from "../../base/overlay-links.ts";
import type { JsonObject } from "../json.ts";
import { numberOf, objectOf, objectsOf, stringOf } from "../json.ts";
import type { RunTool } from "../run.ts";
import { readSysctls } from "../sysctl.ts";
import type { BridgePort, OverlayState, TunnelLink } from "./state.ts";

export async function readLinks(run: RunTool): Promise<OverlayState> {
  const { links, neighbours } = await readTables(run);
  const bridges = links.filter((link) => isNetworkLink(link, BRIDGE_PREFIX));
  const tunnels = links.filter((link) => isNetworkLink(link, TUNNEL_PREFIX));
  const ports = links.filter((link) => nameOf(link).startsWith(PORT_PREFIX));
  const isAny = bridges.length + tunnels.length > 0;
  const fdb = isAny ? await listing(run, "bridge", ["-json", "fdb", "show"]) : [];
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
      neighbours.map((one) => [
        `${stringOf(one, "dev")} ${stringOf(one, "dst")}`,
        stringOf(one, "lladdr") ?? "",
      ]),
    ),
    // A kernel without IPv6 has none of IPv6.
    sysctls: readSysctls(settings.map(([path]) => path)),
  };
}

/** One process for both listings: starting one is most of what a listing costs. A link has an index, a neighbour none. */
async function readTables(run: RunTool) {
  const input = "link show\nneighbour show nud permanent\n";
  const listed = await listing(run, "ip", ["-details", "-json", "-batch", "-"], input);
  return {
    links: listed.filter((one) => one["ifindex"] !== undefined),
    neighbours: listed.filter((one) => isNetworkName(stringOf(one, "dev"), TUNNEL_PREFIX)),
  };
}

async function listing(
  run: RunTool,
  tool: string,
  args: readonly string[],
  input = "",
): Promise<JsonObject[]> {
  const { status, stdout, stderr } = await run(tool, args, input);
  const what = `${tool} ${args.join(" ")}`;
  if (status !== 0) throw new SystemError(`${what} failed: ${stderr.trim()}`);
  const lines = stdout.split("\n").filter((line) => line.trim() !== "");
  return lines.flatMap((line) => objectsOf(JSON.parse(line), what));
}

function nameOf(link: JsonObject): string {
  return stringOf(link, "ifname") ?? "";
}

function isNetworkLink(link: JsonObject, prefix: string): boolean {
  return isNetworkName(nameOf(link), prefix);
}

function isNetworkName(name: string | undefined, prefix: string): boolean {
  return name?.startsWith(prefix) === true && vniOfLink(name) !== undefined;
}

function isUp(link: JsonObject): boolean {
  return hasFlag(link["flags"], "UP");
}

function hasFlag(flags: unknown, flag: string): boolean {
  return Array.isArray(flags) && flags.includes(flag);
}

function tunnelOf(link: JsonObject): TunnelLink {
  const data = objectOf(objectOf(link, "linkinfo") ?? {}, "info_data") ?? {};
  return {
    vni: numberOf(data, "id") ?? 0,
    port: numberOf(data, "port") ?? 0,
    local: stringOf(data, "local") ?? stringOf(data, "local6") ?? "",
    learning: data["learning"] !== false,
    proxy: data["proxy"] === true,
    mtu: numberOf(link, "mtu") ?? 0,
  };
}

/** Undefined for a link that is a port of nothing. */
function portOf(link: JsonObject): BridgePort | undefined {
  const bridge = stringOf(link, "master");
  if (bridge === undefined) return undefined;
  const data = objectOf(objectOf(link, "linkinfo") ?? {}, "info_slave_data") ?? {};
  const { learning, flood } = data;
  return { bridge, learning: learning !== false, flood: flood !== false, up: isUp(link) };
}

/** The bridge's own, not those that it has made for its ports' own addresses. */
function isEntry(entry: JsonObject): boolean {
  return (
    stringOf(entry, "state") === "static" && isNetworkName(stringOf(entry, "master"), BRIDGE_PREFIX)
  );
}

function isRemote(entry: JsonObject): boolean {
  return hasFlag(entry["flags"], "self") && isNetworkLink(entry, TUNNEL_PREFIX);
}

function keyOf(entry: JsonObject, device: "master" | "ifname"): string {
  return `${stringOf(entry, device)} ${stringOf(entry, "mac")}`;
}
