/** What the rules look up: who is a member, what is held, and who may reach it. Where ports lead is apart (`served-ports.ts`). */
import { byFamily, isOfIPv6 } from "../base/ip-address.ts";
import { ipv6Of } from "./ipv6.ts";
import { lateAnswerTypes } from "./late-answers.ts";
import type { MarkLayout } from "./mark.ts";
import { replyMark } from "./mark.ts";
import { endpointsByAddress } from "./mesh.ts";
import { overlayMAC } from "./names.ts";
import { keptLong } from "./nft/balance.ts";
import { type ElementSet, mapOf, setOf } from "./nft/ruleset.ts";
import { type MeshEndpoint, type MeshPort, type MeshView, tunnelAddressOf } from "./view.ts";

/** The sets and maps of this node's rules, by name. */
export function desiredSets(view: MeshView, mark: MarkLayout): [string, ElementSet][] {
  const { peers } = view;
  return [
    ["held", setOf("type inet_proto . inet_service", heldKeys(view))],
    ...bothFamilies("peers", ["ipv4_addr"], peers.map(tunnelAddressOf)),
    [
      "peer_zone",
      mapOf(
        "typeof ether saddr : ct zone",
        peers.map((peer) => [overlayMAC(peer.overlayAddress), `${peer.index}`]),
      ),
    ],
    [
      "zone_mark",
      mapOf(
        "typeof ct zone : meta mark",
        peers.map((peer) => [`${peer.index}`, `${replyMark(mark, peer.index)}`]),
      ),
    ],
    ...accessSets(view),
    ...bothFamilies("own_hosts", ["ipv4_addr", "ipv4_addr"], ownHosts(view)),
    ...bothFamilies("hairpin", ["ipv4_addr", "ipv4_addr"], hairpins(view)),
    ["mesh_tcp", { type: keptLong("ip"), kind: "ct timeout", elements: new Map() }],
    ["mesh_tcp6", { type: keptLong("ip6"), kind: "ct timeout", elements: new Map() }],
    ...bothFamilies("draining", ["ipv4_addr"], endpointAddresses(view, isDraining)),
    ["refusals", setOf(refusals("ipv4_addr"), [])],
    ["refusals6", setOf(refusals("ipv6_addr"), [])],
    ...[...lateAnswerTypes("ip"), ...lateAnswerTypes("ip6")].map(
      ([name, type]): [string, ElementSet] => [name, mapOf(type, [])],
    ),
  ];
}

/** Full, it takes no more, and refusals pass at once. */
function refusals(address: string): string {
  return `type ${address} . inet_service . ${address} . inet_service; flags dynamic,timeout; timeout 10s; size 65535`;
}

/** Ports with limits, and the networks of each: two sets for each kind of limit, however many services. */
function accessSets(view: MeshView): [string, ElementSet][] {
  const ports = [...view.hostPorts, ...view.services.flatMap((service) => service.ports)];
  const pair = (
    limited: string,
    allowed: string,
    networksOf: (port: MeshPort) => readonly string[] | undefined,
  ): [string, ElementSet][] => {
    const limits = ports
      .filter((port) => networksOf(port) !== undefined)
      .map((port) => ({
        key: `${port.protocol} . ${port.publishedPort}`,
        networks: networksOf(port) ?? [],
      }));
    const elements = (family: "ipv4" | "ipv6") =>
      limits.flatMap(({ key, networks }) =>
        byFamily(networks)[family].map((one) => `${key} . ${one}`),
      );
    const type = (address: string) => `type inet_proto . inet_service . ${address}; flags interval`;
    return [
      [
        limited,
        setOf(
          "type inet_proto . inet_service",
          limits.map(({ key }) => key),
        ),
      ],
      [allowed, setOf(type("ipv4_addr"), elements("ipv4"))],
      [`${allowed}6`, setOf(type("ipv6_addr"), elements("ipv6"))],
    ];
  };
  return [
    ...pair("restricted", "allowed", (port) => port.allowedSources),
    ...pair("bound", "bound_to", (port) => port.boundTo),
  ];
}

/** `heldPorts` keys are as "tcp/8080". */
function heldKeys(view: MeshView): string[] {
  return [...view.heldPorts].map((key) => key.replace("/", " . "));
}

/** Each member's own addresses beside the next hop that leads to it, of both families. */
function ownHosts({ peers, subnet, subnet6 }: MeshView): string[] {
  return peers.flatMap((peer) => {
    const { addresses, underlayAddress, overlayAddress } = peer;
    const overlay6 = subnet6 === undefined ? undefined : ipv6Of(subnet6, subnet, overlayAddress);
    const own = new Set([...addresses, underlayAddress, tunnelAddressOf(peer), overlayAddress]);
    if (overlay6 !== undefined) own.add(overlay6);
    return [...own].flatMap((address) => {
      const nextHop = isOfIPv6(address) ? overlay6 : overlayAddress;
      return nextHop === undefined ? [] : [`${address} . ${nextHop}`];
    });
  });
}

function hairpins(view: MeshView): string[] {
  return endpointAddresses(view).map((address) => `${address} . ${address}`);
}

function isDraining({ state }: MeshEndpoint): boolean {
  return state === "draining";
}

/** Of both families. */
function endpointAddresses(
  view: MeshView,
  isWanted: (endpoint: MeshEndpoint) => boolean = () => true,
): string[] {
  const { subnet, subnet6 } = view;
  return [...endpointsByAddress(view).values()]
    .filter(isWanted)
    .flatMap(({ address, ipv6Ports }) =>
      subnet6 === undefined || ipv6Ports === undefined
        ? [address]
        : [address, ipv6Of(subnet6, subnet, address)],
    );
}

/** A set of IPv4 addresses, and the like of IPv6 ones. */
function bothFamilies(
  name: string,
  types: readonly string[],
  keys: readonly string[],
): [string, ElementSet][] {
  const type = `type ${types.join(" . ")}`;
  const { ipv4, ipv6 } = byFamily(keys);
  return [
    [name, setOf(type, ipv4)],
    [`${name}6`, setOf(type.replaceAll("ipv4", "ipv6"), ipv6)],
  ];
}
