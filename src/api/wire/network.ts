/** The cluster's networks as `/networks` lists them (api/types/network.go). */
import { isOfIPv6 } from "../../base/ip-address.ts";
import type { Network } from "../../cluster/objects.ts";
import { driverOptions, ipamConfigs } from "./task.ts";

/** `containers`: this host's, as its Engine describes them; null where it has none of the network. */
export function encodeNetwork(network: Network, containers: unknown = null) {
  const { spec, ipam } = network;
  return {
    Name: spec.name,
    Id: network.id,
    Created: network.createdAt,
    Scope: "swarm",
    Driver: spec.driver,
    EnableIPv6: spec.ipv6Enabled,
    IPAM: { Driver: ipam.driver, Options: null, Config: ipamConfigs(network) },
    Internal: spec.internal,
    Attachable: spec.attachable,
    Ingress: spec.ingress,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: withPrefixLengths(containers, network),
    Options: driverOptions(network),
    Labels: Object.keys(spec.labels).length === 0 && !spec.ingress ? null : spec.labels,
  };
}

/** On the host an address stands alone (/32); users know it with its subnet's length. */
function withPrefixLengths(containers: unknown, { ipam }: Network): unknown {
  if (typeof containers !== "object" || containers === null) return null;
  const lengthOf = (isWanted: (subnet: string) => boolean) =>
    ipam.config.find(({ subnet }) => isWanted(subnet))?.subnet.split("/")[1];
  const lengths = {
    IPv4Address: lengthOf((subnet) => !isOfIPv6(subnet)),
    IPv6Address: lengthOf(isOfIPv6),
  };
  const described = Object.entries(containers).map(([id, container]) => {
    const shown = { ...(container as Record<string, unknown>) };
    for (const [key, length] of Object.entries(lengths)) {
      const given = shown[key];
      const address = typeof given === "string" ? given.split("/")[0] : undefined;
      if (address && length !== undefined) shown[key] = `${address}/${length}`;
    }
    return [id, shown] as const;
  });
  return Object.fromEntries(described);
}
