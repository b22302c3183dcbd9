/** What the published ports have carried, by the endpoint that answered: sums by address, put to the names that the view has. Pure. */
import { flowKey } from "./conntrack/flow-counts.ts";
import type { FlowTotals } from "./conntrack/flow-ledger.ts";
import { ipv6Of } from "./ipv6.ts";
import type { MeshPort, MeshView } from "./view.ts";

export interface PortTraffic {
  readonly ports: readonly EndpointTraffic[];
  /** How often the kernel had more to tell than could be read: then some flows are missing. */
  readonly losses: number;
}

/** What clients of this node have sent to a port and received from it, as one endpoint served them. */
export interface EndpointTraffic extends Pick<MeshPort, "protocol" | "publishedPort"> {
  /** Undefined of host-mode ports. */
  readonly serviceName?: string;
  readonly taskID: string;
  readonly totals: FlowTotals;
}

/** Endpoints that nobody was led to are left out. */
export function portTraffic(
  view: MeshView,
  totals: ReadonlyMap<string, FlowTotals>,
): readonly EndpointTraffic[] {
  const found: EndpointTraffic[] = [];
  const add = (
    { protocol, publishedPort }: MeshPort,
    { taskID, address }: { readonly taskID: string; readonly address: string },
    named: { readonly serviceName?: string } = {},
  ) => {
    const sums = addressesOf(view, address).flatMap(
      (one) => totals.get(flowKey(protocol, publishedPort, one)) ?? [],
    );
    const [first, ...others] = sums;
    if (first === undefined) return;
    found.push({ protocol, publishedPort, ...named, taskID, totals: others.reduce(sum, first) });
  };
  for (const port of view.hostPorts) add(port, port);
  for (const { serviceName, ports, endpoints } of view.services) {
    for (const port of ports) {
      for (const endpoint of endpoints) add(port, endpoint, { serviceName });
    }
  }
  return found;
}

function addressesOf({ subnet, subnet6 }: MeshView, address: string): readonly string[] {
  return subnet6 === undefined ? [address] : [address, ipv6Of(subnet6, subnet, address)];
}

function sum(a: FlowTotals, b: FlowTotals): FlowTotals {
  return {
    connections: a.connections + b.connections,
    receivedPackets: a.receivedPackets + b.receivedPackets,
    receivedBytes: a.receivedBytes + b.receivedBytes,
    sentPackets: a.sentPackets + b.sentPackets,
    sentBytes: a.sentBytes + b.sentBytes,
  };
}
