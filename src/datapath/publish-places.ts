/**
 * Ports that are answered at an interface: its name stands for the addresses that it has now, so that whoever gives
 * it another is not asked to change a label. Pure; the addresses are the host's facts.
 */
import { isLinkName } from "../base/link-name.ts";
import { isWithin } from "./nft/interpret.ts";
import type { MeshPort, MeshView } from "./view.ts";

/** Addresses by the name of the interface that has them; a name that is not there is no interface of the host. */
export type InterfaceAddresses = ReadonlyMap<string, readonly string[]>;

/** The names of interfaces that ports of this view are answered at. */
export function publishedInterfaces(view: MeshView): ReadonlySet<string> {
  const names = interfacesNamed(view.hostPorts);
  // One by one, as there may be ten thousand services, and hardly any has such a limit.
  for (const { ports } of view.services) for (const name of interfacesNamed(ports)) names.add(name);
  return names;
}

/** The names of interfaces that these ports are answered at. */
export function interfacesNamed(ports: readonly MeshPort[]): Set<string> {
  const names = new Set<string>();
  for (const { boundTo } of ports) {
    for (const word of boundTo ?? []) if (isLinkName(word)) names.add(word);
  }
  return names;
}

/** The view with addresses in place of names; the same one where no interface is named. */
export function atAddresses(view: MeshView, interfaces: InterfaceAddresses): MeshView {
  if (publishedInterfaces(view).size === 0) return view;
  return {
    ...view,
    services: view.services.map((service) =>
      isAnyNamed(service.ports)
        ? { ...service, ports: service.ports.map((port) => placed(port, interfaces)) }
        : service,
    ),
    hostPorts: view.hostPorts.map((port) => placed(port, interfaces)),
  };
}

/** Networks, and the addresses of interfaces, none of them within another. Empty where the host has none of those. */
export function addressesAt(
  words: readonly string[],
  interfaces: InterfaceAddresses,
): readonly string[] {
  const networks = words.filter((word) => !isLinkName(word));
  const addresses = words.filter(isLinkName).flatMap((name) => interfaces.get(name) ?? []);
  const isCovered = (address: string) => networks.some((network) => isWithin(address, network));
  return [...networks, ...new Set(addresses.filter((address) => !isCovered(address)))];
}

/** Why a port is answered nowhere on this host; undefined where it may be. */
export function whyNowhere(
  { boundTo }: Pick<MeshPort, "boundTo">,
  interfaces: InterfaceAddresses,
): string | undefined {
  if (boundTo === undefined || addressesAt(boundTo, interfaces).length > 0) return undefined;
  const reasons = boundTo.map((name) =>
    interfaces.has(name) ? `interface ${name} has no address` : `no interface ${name}`,
  );
  return reasons.join(", ");
}

function isAnyNamed(ports: readonly MeshPort[]): boolean {
  return ports.some(({ boundTo }) => boundTo?.some(isLinkName));
}

function placed<Port extends MeshPort>(port: Port, interfaces: InterfaceAddresses): Port {
  const { boundTo } = port;
  if (boundTo?.some(isLinkName) !== true) return port;
  return { ...port, boundTo: addressesAt(boundTo, interfaces) };
}
