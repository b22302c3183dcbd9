/**
 * The host's ends of the tasks' veth pairs. The far end is moved into the container by the Engine; the
 * near one stays, answers for the gateway, and carries the route to the task.
 */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { Logger } from "../base/logger.ts";
import { ip, ipBatch } from "./ip.ts";
import { type LinkEffect, linkNames } from "./plugin/driver.ts";
import { GATEWAY_ADDRESS } from "./plugin/ipam.ts";
import type { EndpointRecord } from "./state.ts";
import { TUNNEL_OVERHEAD, uplinkMTU } from "./uplink.ts";

const OWN_LINK = /^wv[0-9a-f]{12}$/;
const CONF = "/proc/sys/net/ipv4/conf";

/** Read from /proc, which shows the network namespace of the reader; /sys shows that of whoever mounted it. */
export function linkExists(link: string): boolean {
  return existsSync(`${CONF}/${link}`);
}

export async function applyLinkEffect(effect: LinkEffect): Promise<void> {
  if (effect.kind === "link.create") return createLink(effect);
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
  const { link, peer, address } = effect;
  const mtu = effect.mtu ?? (await uplinkMTU()) - TUNNEL_OVERHEAD;
  const commands = [
    `addr replace ${GATEWAY_ADDRESS}/32 dev ${link} scope link`,
    `link set ${link} up`,
    `route replace ${address}/32 via ${address} dev ${link} onlink`,
  ];
  if (!(linkExists(link) && linkExists(peer))) {
    if (linkExists(link)) await deleteLink(link);
    commands.unshift(`link add ${link} mtu ${mtu} type veth peer name ${peer} mtu ${mtu}`);
  }
  await ipBatch(commands);
  // No packet has passed yet: the far end is down until the Engine has its answer.
  await writeFile(`${CONF}/${link}/rp_filter`, "2");
  await writeFile(`${CONF}/${link}/route_localnet`, "1");
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
    const { peer } = linkNames(link.slice(2));
    if (linkExists(peer)) {
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
  return names.filter((name) => OWN_LINK.test(name));
}
