/** The cluster's networks as `/networks` lists them (api/types/network.go). */
import type { Network } from "../../cluster/objects.ts";
import { driverOptions, ipamConfigs } from "./task.ts";

export function encodeNetwork(network: Network) {
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
    Containers: {},
    Options: driverOptions(network),
    Labels: spec.labels,
  };
}
