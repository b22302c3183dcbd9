/**
 * The host's ends of the tasks' veth pairs. The far end is moved into the container by the Engine; the
 * near one stays, answers for the gateway, and carries the route to the task.
 */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { Logger } from "../base/logger.ts";
import {
  bridgeCommands,
  bridgeName,
  bridgeSettings,
  forgetWayCommand,
  portCommands,
  portEntryCommand,
} from "../base/overlay-links.ts";
import { bridgeBatch, ip, ipBatch, nftBatch } from "./ip.ts";
import { type LinkEffect, peerOf } from "./plugin/driver.ts";
import { GATEWAY_ADDRESS, GATEWAY_ADDRESS6 } from "./plugin/ipam.ts";
import type { EndpointRecord } from "./state.ts";
import { tunnelMTU } from "./uplink.ts";

const SYSCTL = "/proc/sys";
const CONF = `${SYSCTL}/net/ipv4/conf`;

/** Read from /proc, which shows the network namespace of the reader; /sys shows that of whoever mounted it. */
export function linkExists(link: string): boolean {
  return existsSync(`${CONF}/${link}`);
}

export async function applyLinkEffect(effect: LinkEffect): Promise<void> {
  if (effect.kind === "link.create") return createLink(effect);
  if (effect.kind === "port.create") return createPort(effect);
  if (linkExists(effect.link)) await deleteLink(effect.link);
}

/**
 * The gateway's address has scope link, so that it is never chosen as a source for other destinations;
 * the route has scope global, so that the host itself speaks to its tasks from an address of its own. It
 * names the task as its own next hop, as the datapath does, which says why.
 * Loose reverse-path filtering and route_localnet are this link's alone: a task's packet may answer a
 * client that the host's main table would look for elsewhere, or one at 127.0.0.1.
 */
async function createLink(effect: Extract<LinkEffect, { kind: "link.create" }>): Promise<void> {
  const { link, address, addressIPv6 } = effect;
  const ipv6 = addressIPv6 === undefined ? [] : ipv6Commands(link, addressIPv6);
  // A run of `ip` is most of what a command costs; only a host that begins links without IPv6 takes another.
  const isAtOnce = !linkExists(link) && (await beginsWithIPv6());
  const commands = [
    ...(await pairCommands(effect)),
    `addr replace ${GATEWAY_ADDRESS}/32 dev ${link} scope link`,
    `link set ${link} up`,
    `route replace ${address}/32 via ${address} dev ${link} onlink`,
    ...(isAtOnce ? ipv6 : []),
  ];
  await ipBatch(commands);
  // No packet has passed yet: the far end is down until the Engine has its answer.
  await writeFile(`${CONF}/${link}/rp_filter`, "2");
  await writeFile(`${CONF}/${link}/route_localnet`, "1");
  if (isAtOnce || ipv6.length === 0) return;
  await writeSetting(`net/ipv6/conf/${link}/disable_ipv6`, "0");
  await ipBatch(ipv6);
}

/** Not in doubt as a duplicate for a second: the task is reached at once. */
function ipv6Commands(link: string, address: string): readonly string[] {
  return [
    `addr replace ${GATEWAY_ADDRESS6}/64 dev ${link} nodad`,
    `route replace ${address}/128 dev ${link}`,
  ];
}

/** Whether a link that is made has IPv6 from the start. */
async function beginsWithIPv6(): Promise<boolean> {
  const setting = `${SYSCTL}/net/ipv6/conf/default/disable_ipv6`;
  return (await readFile(setting, "utf8").catch(() => "")).trim() === "0";
}

/**
 * The bridge is made when its first container comes. Its tunnel to the other nodes is the datapath's; until that is
 * there, containers of this host reach one another.
 */
async function createPort(
  effect: Extract<LinkEffect, { kind: "port.create" }>,
  attempt = 1,
): Promise<void> {
  const { link, vni, mac } = effect;
  const bridge = bridgeName(vni);
  const isNew = !linkExists(bridge);
  try {
    if (isNew) await ipBatch(bridgeCommands(bridge));
    for (const [path, value] of isNew ? bridgeSettings(bridge) : [])
      await writeSetting(path, value);
    const made = [...(await pairCommands(effect)), ...portCommands(link, bridge)];
    await Promise.all([ipBatch(made), forgetWay(bridge, mac)]);
    await bridgeBatch([portEntryCommand(link, mac)]);
  } catch (error) {
    // The datapath may have taken an idle bridge away, or made it, at this very moment.
    if (attempt === ATTEMPTS_MAX) throw error;
    await createPort(effect, attempt + 1);
  }
}

/**
 * The fast way would lead to the link that had the address before, and nobody but this process may be there to make the
 * new one. Mostly there is none: then that is what `nft` says.
 */
async function forgetWay(bridge: string, mac: string): Promise<void> {
  await nftBatch([forgetWayCommand(bridge, mac)]).catch(() => {});
}

/** A bridge is made, or goes, in one step; whoever lost that race once finds it as it is now. */
const ATTEMPTS_MAX = 3;

/** A kernel without IPv6 lacks the settings of IPv6, and needs none. */
async function writeSetting(path: string, value: string): Promise<void> {
  if (existsSync(`${SYSCTL}/${path}`)) await writeFile(`${SYSCTL}/${path}`, value);
}

/** Nothing when the pair is there, as when the Engine asks again. */
async function pairCommands({
  link,
  peer,
  mtu,
}: Exclude<LinkEffect, { kind: "link.delete" }>): Promise<readonly string[]> {
  if (linkExists(link) && linkExists(peer)) return [];
  if (linkExists(link)) await deleteLink(link);
  const bytes = mtu ?? (await tunnelMTU());
  return [`link add ${link} mtu ${bytes} type veth peer name ${peer} mtu ${bytes}`];
}

async function deleteLink(link: string): Promise<void> {
  try {
    await ip(["link", "delete", link]);
  } catch (error) {
    // The kernel takes the pair away by itself when the container's namespace ends.
    if (linkExists(link)) throw error;
  }
}

/**
 * What a dead keeper left half-done, given what its state knows: pairs that no container ever got are
 * deleted; the endpoints whose link is gone are returned, to be forgotten. A link that the state does
 * not know but whose far end is in some container is that container's network, and stays.
 */
export async function cleanLinks(
  endpoints: ReadonlyMap<string, EndpointRecord>,
  log: Logger,
): Promise<readonly EndpointRecord[]> {
  const known = new Map([...endpoints.values()].map((endpoint) => [endpoint.link, endpoint]));
  for (const link of await ownLinks()) {
    if (known.get(link)?.state === "joined") continue;
    if (linkExists(peerOf(link) ?? "")) {
      await deleteLink(link);
      log.info("deleted a link that no container got", { link });
    } else {
      log.warn("kept a link that the state does not know", { link });
    }
  }
  return [...endpoints.values()].filter(
    (endpoint) => endpoint.state === "joined" && !linkExists(endpoint.link),
  );
}

async function ownLinks(): Promise<readonly string[]> {
  const table = await readFile("/proc/net/dev", "utf8");
  const names = table.split("\n").map((line) => line.split(":", 1)[0]?.trim() ?? "");
  return names.filter((name) => peerOf(name) !== undefined);
}
