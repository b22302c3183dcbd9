/** Networks for tests, and a kernel in memory for their links. Imported by tests alone. */
import * as fc from "fast-check";
import { unreachable } from "../../base/assert.ts";
import { bridgeSettings } from "../../base/overlay-links.ts";
import type { OverlayCommand } from "./command.ts";
import type { LocalNetwork, OverlayPlace } from "./desired-links.ts";
import type { OverlayPlan } from "./plan.ts";
import type { OverlayState } from "./state.ts";
import { wordsOf } from "./state.ts";
import type { OverlayEndpoint, OverlayNetwork, OverlayService } from "./view.ts";

/** Node 1 of three. */
export function makePlace(overrides: Partial<OverlayPlace> = {}): OverlayPlace {
  return {
    selfIndex: 1,
    tunnelAddress: "192.168.99.100",
    dataPathPort: 4789,
    ipv6: true,
    mtu: 1450,
    peers: new Map([
      [2, "192.168.99.101"],
      [3, "192.168.99.102"],
    ]),
    ...overrides,
  };
}

export function makeEndpoint(
  byte: number,
  nodeIndex: number,
  state: OverlayEndpoint["state"] = "live",
): OverlayEndpoint {
  const addresses = [`10.0.1.${byte}`, `fd00:1::${byte.toString(16)}`];
  return { taskID: `t${byte}`, taskName: `t${byte}`, aliases: [], addresses, nodeIndex, state };
}

export function makeService(
  virtualIPs: readonly string[],
  endpoints: readonly OverlayEndpoint[],
): OverlayService {
  return { serviceID: "s", serviceName: "s", aliases: [], virtualIPs, endpoints };
}

export function makeNetwork(vni: number, overrides: Partial<OverlayNetwork> = {}): OverlayNetwork {
  return {
    networkID: `n${vni}`,
    name: `n${vni}`,
    vni,
    subnets: ["10.0.1.0/24"],
    internal: false,
    services: [],
    containers: [],
    ...overrides,
  };
}

/** As an Engine names a container's namespace. */
export function sandboxOf(byte: number): string {
  return `/run/docker/netns/${byte}`;
}

/** A network with the links of its local endpoints. */
export function local(network: OverlayNetwork, ...bytes: readonly number[]): LocalNetwork {
  const links = bytes.map((byte) => ({
    vni: network.vni,
    address: `10.0.1.${byte}`,
    link: `wo${network.vni}${byte}`,
    sandbox: sandboxOf(byte),
  }));
  return { vni: network.vni, network, links };
}

const anyEndpoint = fc
  .record({
    byte: fc.integer({ min: 10, max: 30 }),
    node: fc.integer({ min: 1, max: 4 }),
    state: fc.constantFrom("starting" as const, "live" as const, "draining" as const),
  })
  .map(({ byte, node, state }) => makeEndpoint(byte, node, state));

const anyNetwork = fc
  .record({
    vni: fc.integer({ min: 4097, max: 4100 }),
    mtu: fc.constantFrom(undefined, 1200, 1400),
    endpoints: fc.uniqueArray(anyEndpoint, { maxLength: 6, selector: ({ taskID }) => taskID }),
    isTold: fc.boolean(),
  })
  .map(({ vni, mtu, endpoints, isTold }) => {
    const services = [makeService(["10.0.1.2", "fd00:1::2"], endpoints)];
    const network = makeNetwork(vni, { services, ...(mtu === undefined ? {} : { mtu }) });
    const here = endpoints.filter(({ nodeIndex }) => nodeIndex === 1);
    const made = local(network, ...here.map(({ taskID }) => Number(taskID.slice(1))));
    return isTold ? made : { ...made, network: undefined };
  });

/** Networks, members and endpoints that come and go. */
export const anyNetworks: fc.Arbitrary<{ place: OverlayPlace; local: readonly LocalNetwork[] }> =
  fc.record({
    place: fc
      .record({ peers: fc.subarray([2, 3, 4]), dataPathPort: fc.constantFrom(4789, 7789) })
      .map(({ peers, dataPathPort }) =>
        makePlace({
          dataPathPort,
          peers: new Map(peers.map((index) => [index, `192.168.99.${99 + index}`])),
        }),
      ),
    local: fc
      .uniqueArray(anyNetwork, { maxLength: 3, selector: ({ vni }) => vni })
      .map((networks) => networks.toSorted((a, b) => a.vni - b.vni)),
  });

export class FakeLinksError extends Error {}

type Mutable = { [Key in keyof OverlayState]: Map<string, ValueOf<OverlayState[Key]>> };
type ValueOf<M> = M extends ReadonlyMap<string, infer Value> ? Value : never;

/** The state after the plan; refuses what the kernel refuses. */
export function runLinkPlan(state: OverlayState, plan: OverlayPlan): OverlayState {
  const links: Mutable = {
    bridges: new Map(state.bridges),
    tunnels: new Map(state.tunnels),
    ports: new Map(state.ports),
    entries: new Map(state.entries),
    remotes: new Map(state.remotes),
    neighbours: new Map(state.neighbours),
    sysctls: new Map(state.sysctls),
  };
  for (const command of [...plan.additions, ...plan.removals]) runCommand(links, command);
  return links;
}

function runCommand(links: Mutable, command: OverlayCommand): void {
  switch (command.kind) {
    case "bridge.add":
      if (links.bridges.has(command.name)) throw new FakeLinksError(`${command.name} exists`);
      links.bridges.set(command.name, true);
      return;
    case "bridge.up":
      links.bridges.set(command.name, true);
      return;
    case "tunnel.add":
      if (links.tunnels.has(command.name)) throw new FakeLinksError(`${command.name} exists`);
      links.tunnels.set(command.name, command.tunnel);
      return;
    case "tunnel.set":
      links.tunnels.set(command.name, command.tunnel);
      return;
    case "port.set":
      must(links.bridges.has(command.port.bridge), command.port.bridge);
      for (const [key, port] of links.entries) {
        const isElsewhere = wordsOf(key)[0] !== command.port.bridge;
        if (port === command.name && isElsewhere) links.entries.delete(key);
      }
      links.ports.set(command.name, command.port);
      return;
    case "link.delete":
      return deleteLink(links, command.name);
    case "sysctl.set":
      links.sysctls.set(command.path, command.value);
      return;
    case "entry.replace":
      must(links.ports.get(command.value)?.bridge === wordsOf(command.key)[0], command.value);
      links.entries.set(command.key, command.value);
      return;
    case "remote.replace":
    case "neighbour.replace":
      must(links.tunnels.has(wordsOf(command.key)[0]), command.key);
      mapOf(links, command.kind).set(command.key, command.value);
      return;
    case "entry.delete":
    case "remote.delete":
    case "neighbour.delete":
      must(mapOf(links, command.kind).delete(command.key), command.key);
      return;
    default:
      unreachable(command);
  }
}

function mapOf(links: Mutable, kind: string): Map<string, string> {
  if (kind.startsWith("entry.")) return links.entries;
  return kind.startsWith("remote.") ? links.remotes : links.neighbours;
}

/** A link takes along what hangs on it; a bridge lets go of its ports. */
function deleteLink(links: Mutable, name: string): void {
  const { bridges, tunnels, ports, entries, remotes, neighbours, sysctls } = links;
  must(bridges.delete(name) || tunnels.delete(name), name);
  ports.delete(name);
  for (const [port, { bridge }] of ports) if (bridge === name) ports.delete(port);
  for (const [key, port] of entries) {
    if (port === name || wordsOf(key)[0] === name) entries.delete(key);
  }
  for (const map of [remotes, neighbours]) {
    for (const key of map.keys()) if (wordsOf(key)[0] === name) map.delete(key);
  }
  for (const [path] of bridgeSettings(name)) sysctls.delete(path);
}

function must(condition: boolean, what: string): void {
  if (!condition) throw new FakeLinksError(`no ${what}`);
}
