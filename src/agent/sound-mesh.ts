/**
 * What managers tell of the mesh, looked at once more on the node: addresses, networks and ports become text of
 * `nft` and `ip`, whose transactions are taken whole or not at all. What is not what it claims to be is left out,
 * so that one bad value costs its own endpoint, port or node and never the rest.
 */
import { isIP, isIPv4 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { contains, formatCidr, parseCidr } from "../cluster/cidr.ts";
import { formatCidr6, parseCidr6, reachableAddress } from "../cluster/cidr6.ts";
import { parseNetworks, parsePlaces } from "../cluster/publish-labels.ts";
import type { OverlayEndpoint, OverlayNetwork, OverlayService } from "../datapath/overlay/view.ts";
import { type MeshNode, type MeshPort, tunnelAddressOf } from "../datapath/view.ts";
import type { MeshConfig, ToldService } from "../dispatcher/assignment.ts";

export interface SiftedMesh {
  readonly mesh: MeshConfig;
  /** What was left out and has not been told before, as "endpoint t1 of web: address 10.0.0.300". */
  readonly refused: readonly string[];
}

type Network = NonNullable<MeshConfig["network"]>;

const PORT_MAX = 65_535;
/** A conntrack zone, and fourteen bits of a mark. */
const NODE_INDEX_MAX = 16_383;
const VNI_MAX = 16_777_215;
/** 4096 is the ingress network's. */
const OVERLAY_VNI_MIN = 4_097;
const MTU_MIN = 68;
const MTU_MAX = 65_535;
const STATES: ReadonlySet<string> = new Set<OverlayEndpoint["state"]>([
  "starting",
  "live",
  "draining",
]);
/** So many things that are wrong are remembered as told; when there are more, all are told anew. */
const TOLD_MAX = 1_000;
/** A word of a manager's is repeated to this length. */
const TEXT_LENGTH_MAX = 64;

/** Remembers what it has looked at: of ten thousand services only those that changed are looked at again. */
export class MeshSieve {
  #subnet: string | undefined;
  #services = new WeakMap<ToldService, ToldService>();
  #nodes = new WeakMap<MeshNode, MeshNode | "bad">();
  #networks = new WeakMap<OverlayNetwork, OverlayNetwork | "bad">();
  /** Services' parts in networks that are sound: a network of thousands is another object whenever one of them changes. */
  #parts = new WeakSet<OverlayService>();
  /** Of networks, which are looked at whenever something in them changes. */
  #told = new Set<string>();

  sift(mesh: MeshConfig): SiftedMesh {
    const refused: string[] = [];
    const network = isSoundNetwork(mesh.network, refused) ? mesh.network : undefined;
    if (network?.subnet !== this.#subnet) this.#services = new WeakMap();
    this.#subnet = network?.subnet;
    const { network: _told, ...rest } = mesh;
    const inNetworks: string[] = [];
    return {
      mesh: {
        ...rest,
        ...(network === undefined ? {} : { network }),
        nodes: mesh.nodes.flatMap((node) => known(this.#nodes, node, siftNode, refused)),
        services: mesh.services.map((service) => this.#sifted(service, network, refused)),
        networks: mesh.networks.flatMap((one) =>
          known(this.#networks, one, (told, found) => this.#siftOverlay(told, found), inNetworks),
        ),
      },
      refused: [...refused, ...this.#untold(inNetworks)],
    };
  }

  #siftOverlay(network: OverlayNetwork, refused: string[]): OverlayNetwork | undefined {
    const what = `network ${text(network.name)}`;
    if (!isSoundOverlay(network, what, refused)) return undefined;
    const services = network.services.map((service) => {
      const sound = this.#parts.has(service) ? service : siftPart(service, what, refused);
      if (sound === service) this.#parts.add(service);
      return sound;
    });
    return { ...network, services, containers: soundOnes(network.containers, what, refused) };
  }

  #untold(refused: readonly string[]): readonly string[] {
    const untold = [...new Set(refused)].filter((one) => !this.#told.has(one));
    if (this.#told.size + untold.length > TOLD_MAX) this.#told.clear();
    for (const one of untold.slice(0, TOLD_MAX)) this.#told.add(one);
    return untold;
  }

  #sifted(service: ToldService, network: Network | undefined, refused: string[]): ToldService {
    const before = this.#services.get(service);
    if (before !== undefined) return before;
    const sifted = siftService(service, network, refused);
    this.#services.set(service, sifted);
    return sifted;
  }
}

function known<T extends object>(
  memo: WeakMap<T, T | "bad">,
  value: T,
  sift: (value: T, refused: string[]) => T | undefined,
  refused: string[],
): T[] {
  const sifted = memo.get(value) ?? sift(value, refused) ?? "bad";
  memo.set(value, sifted);
  return sifted === "bad" ? [] : [sifted];
}

function isSoundNetwork(network: MeshConfig["network"], refused: string[]): boolean {
  if (network === undefined) return true;
  const { name, subnet, subnet6, vni, dataPathPort, mtu } = network;
  return (
    all(isNetwork(subnet), refused, `network ${text(name)}: subnet`, subnet) &&
    all(
      subnet6 === undefined || isNetwork6(subnet6),
      ...([refused, `network ${text(name)}: subnet`, subnet6] as const),
    ) &&
    all(isWithin(vni, VNI_MAX), refused, `network ${text(name)}: VNI`, vni) &&
    all(isMTU(mtu), refused, `network ${text(name)}: MTU`, mtu) &&
    all(isWithin(dataPathPort, PORT_MAX), refused, `network ${text(name)}: port`, dataPathPort)
  );
}

function siftNode(node: MeshNode, refused: string[]): MeshNode | undefined {
  const what = `node ${text(node.nodeID)}`;
  const { index, underlayAddress, overlayAddress } = node;
  if (!all(isWithin(index, NODE_INDEX_MAX), refused, `${what}: index`, index)) return undefined;
  for (const outer of [underlayAddress, tunnelAddressOf(node)]) {
    const isSound = reachableAddress(outer) === outer;
    if (!all(isSound, refused, `${what}: address`, outer)) return undefined;
  }
  if (!all(isIPv4(overlayAddress), refused, `${what}: overlay address`, overlayAddress))
    return undefined;
  const addresses = node.addresses.filter((one) =>
    all(isAddress(one), refused, `${what}: address`, one),
  );
  const { publishDefault = [], interfaces = [] } = node;
  const isPlaced =
    all(
      isAsParsed(parsePlaces, publishDefault),
      refused,
      `${what}: networks`,
      publishDefault.join(" "),
    ) &&
    interfaces.every(({ name, addresses: own }) =>
      all(own.every(isAddress), refused, `${what}: addresses of ${text(name)}`, own.join(" ")),
    );
  if (isPlaced && addresses.length === node.addresses.length) return node;
  const { publishDefault: _default, interfaces: _interfaces, ...bare } = node;
  return { ...(isPlaced ? node : bare), addresses };
}

function siftService(
  service: ToldService,
  network: Network | undefined,
  refused: string[],
): ToldService {
  const what = text(service.serviceName);
  const subnet = network === undefined ? undefined : parseCidr(network.subnet);
  const ports = service.ports.filter((port) => isSoundPort(port, what, refused));
  const endpoints = service.endpoints.filter((endpoint) => {
    const { taskID, address, nodeIndex, ipv6Ports = [] } = endpoint;
    const of = `endpoint ${text(taskID)} of ${what}`;
    const isOfMesh =
      isIPv4(address) && (subnet === undefined || contains(subnet, parseCidr(`${address}/32`)));
    const areKeys = ipv6Ports.every((key) => /^(tcp|udp)\/\d{1,5}$/.test(key));
    return (
      all(isOfMesh, refused, `${of}: address`, address) &&
      all(areKeys, refused, `${of}: IPv6 ports`, ipv6Ports.join(" ")) &&
      all(isWithin(nodeIndex, NODE_INDEX_MAX), refused, `${of}: node`, nodeIndex)
    );
  });
  const published = service.published?.filter(({ taskID, boundTo = [] }) => {
    const of = `host port of task ${text(taskID)} of ${what}`;
    return all(isAsParsed(parsePlaces, boundTo), refused, `${of}: networks`, boundTo.join(" "));
  });
  const isWhole =
    ports.length === service.ports.length &&
    endpoints.length === service.endpoints.length &&
    published?.length === service.published?.length;
  if (isWhole) return service;
  return { ...service, ports, endpoints, ...(published === undefined ? {} : { published }) };
}

/** A port with a bad list of networks goes whole: without that network it might be answered to everybody. */
function isSoundPort(port: MeshPort, what: string, refused: string[]): boolean {
  const { protocol, publishedPort, targetPort, allowedSources = [], boundTo = [] } = port;
  const of = `port ${text(publishedPort)} of ${what}`;
  const isProtocol = protocol === "tcp" || protocol === "udp";
  return (
    all(isProtocol, refused, `${of}: protocol`, protocol) &&
    all(isWithin(publishedPort, PORT_MAX), refused, `${of}: port`, publishedPort) &&
    all(isWithin(targetPort, PORT_MAX), refused, `${of}: target port`, targetPort) &&
    all(
      isAsParsed(parseNetworks, allowedSources),
      refused,
      `${of}: networks`,
      allowedSources.join(" "),
    ) &&
    all(isAsParsed(parsePlaces, boundTo), refused, `${of}: networks`, boundTo.join(" "))
  );
}

function isSoundOverlay({ subnets, vni, mtu }: OverlayNetwork, what: string, refused: string[]) {
  const areNetworks = subnets
    .map((one) => all(isAnyNetwork(one), refused, `${what}: subnet`, one))
    .every(Boolean);
  const isVNI = isWithin(vni, VNI_MAX) && vni >= OVERLAY_VNI_MIN;
  return (
    areNetworks &&
    all(isVNI, refused, `${what}: VNI`, vni) &&
    all(isMTU(mtu), refused, `${what}: MTU`, mtu)
  );
}

/** The very same where nothing of it is wrong. */
function siftPart(service: OverlayService, what: string, refused: string[]): OverlayService {
  const virtualIPs = service.virtualIPs.filter((one) =>
    all(isAddress(one), refused, `${text(service.serviceName)} in ${what}: address`, one),
  );
  const endpoints = soundOnes(service.endpoints, what, refused);
  const isWhole =
    virtualIPs.length === service.virtualIPs.length && endpoints === service.endpoints;
  return isWhole ? service : { ...service, virtualIPs, endpoints };
}

/** The very same list where nothing of it is wrong. */
function soundOnes(
  endpoints: readonly OverlayEndpoint[],
  what: string,
  refused: string[],
): readonly OverlayEndpoint[] {
  const sound = endpoints.filter(({ taskID, addresses, nodeIndex, state }) => {
    const of = `endpoint ${text(taskID)} of ${what}`;
    return (
      all(areAddresses(addresses), refused, `${of}: addresses`, addresses.join(" ")) &&
      all(STATES.has(state), refused, `${of}: state`, state) &&
      all(isWithin(nodeIndex, NODE_INDEX_MAX), refused, `${of}: node`, nodeIndex)
    );
  });
  return sound.length === endpoints.length ? endpoints : sound;
}

function all(isSound: boolean, refused: string[], what: string, value: unknown): boolean {
  if (!isSound) refused.push(`${what} ${text(value)}`);
  return isSound;
}

function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= max;
}

function isMTU(value: number | undefined): boolean {
  return value === undefined || (isWithin(value, MTU_MAX) && value >= MTU_MIN);
}

function isAddress(value: string): boolean {
  return isIP(value) !== 0 && !value.includes("%");
}

/** IPv4 first: the MAC address is made of it. */
function areAddresses(values: readonly string[]): boolean {
  return isIPv4(values[0] ?? "") && values.every(isAddress);
}

/** Written as `ip` and `nft` want it, without bits of a host. */
function isNetwork(value: string): boolean {
  try {
    return formatCidr(parseCidr(value)) === value;
  } catch {
    return false;
  }
}

function isNetwork6(value: string): boolean {
  try {
    return formatCidr6(parseCidr6(value)) === value;
  } catch {
    return false;
  }
}

/** Of either family; the kernel does not care for host bits here. */
function isAnyNetwork(value: string): boolean {
  const [address = "", length = "", ...rest] = value.split("/");
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return rest.length === 0 && /^\d{1,3}$/.test(length) && Number(length) <= bits;
}

/** Networks, and addresses alone, as one set has them: an interval set takes none within another. */
function isAsParsed(parse: typeof parseNetworks, values: readonly string[]): boolean {
  if (values.length === 0) return true;
  try {
    return isDeepStrictEqual(parse("networks", values.join()), values);
  } catch {
    return false;
  }
}

function text(value: unknown): string {
  return JSON.stringify(String(value).slice(0, TEXT_LENGTH_MAX));
}
