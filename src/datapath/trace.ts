/**
 * Walks a packet through the desired states of a mesh, host by host: what would become of it if every
 * kernel held what it should? For tests, and for whoever asks why a port answers as it does.
 */

import { assert } from "../base/assert.ts";
import { withPort } from "../base/host-port.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import type { KernelState } from "./desired.ts";
import type { Route } from "./ip/state.ts";
import { hex } from "./mark.ts";
import { LINK, overlayMAC, TASK_LINK_PREFIX } from "./names.ts";
import type { Hook, Packet, Surroundings, Verdict } from "./nft/interpret.ts";
import { isWithin, runHook } from "./nft/interpret.ts";
import { type MeshNode, type MeshProtocol, tunnelAddressOf } from "./view.ts";

export interface TracedHost {
  readonly node: MeshNode;
  readonly state: KernelState;
}

/** A connection's first packet. */
export interface Probe {
  /** A host's node ID when one of its processes sends it; the link it comes in by otherwise. */
  readonly from:
    | { readonly process: string }
    /** `etherSource`: of what comes by the tunnel. */
    | { readonly host: string; readonly link: string; readonly etherSource?: string };
  readonly source: string;
  readonly destination: string;
  readonly protocol: MeshProtocol;
  readonly port: number;
}

export type Outcome =
  /** `replyThrough`: the node that the task's answer goes to first; its own when it needs no other. */
  | {
      readonly kind: "task";
      readonly at: string;
      readonly to: string;
      readonly seenAs: string;
      readonly replyThrough: string;
    }
  /** On to a member whose kernel is not known here: as this packet, by the tunnel. */
  | { readonly kind: "tunnel"; readonly at: string; readonly to: string; readonly packet: Probe }
  /** To a process of that host: no mesh. */
  | { readonly kind: "process"; readonly at: string }
  | { readonly kind: "refused"; readonly at: string }
  | { readonly kind: "dropped"; readonly at: string; readonly in: Hook }
  /** Left by a link that is not the mesh's. */
  | { readonly kind: "gone"; readonly at: string; readonly source: string };

export interface Trace {
  /** "n1: led to 10.255.0.9:80", "n1: to n2 by weft0", …; for people. */
  readonly steps: readonly string[];
  readonly outcome: Outcome;
}

/** A packet that meets more hosts than this goes round in circles. */
const HOPS_MAX = 4;
const UPLINK = "uplink";

/** `others`: members whose kernels are not known; the walk ends where it comes to one. */
export function trace(
  hosts: readonly TracedHost[],
  probe: Probe,
  pick: (n: number) => number = () => 0,
  others: readonly MeshNode[] = [],
): Trace {
  const walk = new PacketWalk(hosts, pick, others);
  const { from, ...rest } = probe;
  const packet: Packet = { ...NO_PACKET, ...rest };
  if ("process" in from) return walk.send(walk.hostOf(from.process), packet);
  const { host, link, etherSource = "" } = from;
  return walk.receive(walk.hostOf(host), { ...packet, iif: link, etherSource });
}

const NO_PACKET: Omit<Packet, "source" | "destination" | "protocol" | "port"> = {
  iif: "",
  oif: "",
  nextHop: "",
  etherSource: "",
  etherDestination: "",
  mark: 0,
  zone: 0,
  direction: "original",
  isDNATed: false,
  isSNATed: false,
};

class PacketWalk {
  readonly #hosts: readonly TracedHost[];
  readonly #pick: (n: number) => number;
  readonly #others: readonly MeshNode[];
  readonly #steps: string[] = [];
  #hops = 0;

  constructor(
    hosts: readonly TracedHost[],
    pick: (n: number) => number,
    others: readonly MeshNode[],
  ) {
    this.#hosts = hosts;
    this.#pick = pick;
    this.#others = others;
  }

  hostOf(nodeID: string): TracedHost {
    const host = this.#hosts.find((one) => one.node.nodeID === nodeID);
    assert(host !== undefined, `no host ${nodeID}`);
    return host;
  }

  /** From a process of the host. */
  send(host: TracedHost, packet: Packet): Trace {
    // Output hooks keep seeing the link that was chosen before DNAT, which for a local address is lo.
    const local = isLocal(host, packet.destination);
    packet.oif = local ? "lo" : (routeOf(host, packet)?.device ?? UPLINK);
    const verdict = this.#hook(host, "output", packet);
    if (verdict !== "accept") return this.#end(stopped(host, verdict, "output"));
    return this.#route(host, packet);
  }

  receive(host: TracedHost, packet: Packet): Trace {
    assert(this.#hops++ < HOPS_MAX, `the packet goes round: ${this.#steps.join("; ")}`);
    const verdict = this.#hook(host, "prerouting", packet);
    if (verdict !== "accept") return this.#end(stopped(host, verdict, "prerouting"));
    if (packet.zone !== 0) {
      this.#say(host, `conntrack zone ${packet.zone}, by the sender's MAC ${packet.etherSource}`);
    }
    return this.#route(host, packet);
  }

  #route(host: TracedHost, packet: Packet): Trace {
    if (isLocal(host, packet.destination)) return this.#deliver(host, packet);
    const route = routeOf(host, packet);
    packet.oif = route?.device ?? UPLINK;
    packet.nextHop = route?.via ?? packet.destination;
    const hooks: Hook[] = packet.iif === "" ? ["postrouting"] : ["forward", "postrouting"];
    for (const hook of hooks) {
      const verdict = this.#hook(host, hook, packet);
      if (verdict !== "accept") return this.#end(stopped(host, verdict, hook));
    }
    if (packet.oif === LINK) return this.#throughTunnel(host, packet);
    if (packet.oif.startsWith(TASK_LINK_PREFIX)) return this.#toTask(host, packet);
    return this.#end({ kind: "gone", at: host.node.nodeID, source: packet.source });
  }

  #deliver(host: TracedHost, packet: Packet): Trace {
    const verdict = this.#hook(host, "input", packet);
    if (verdict !== "accept") return this.#end(stopped(host, verdict, "input"));
    return this.#end({ kind: "process", at: host.node.nodeID });
  }

  #throughTunnel(host: TracedHost, packet: Packet): Trace {
    const next = this.#nextNode(host, packet);
    if (next === undefined)
      return this.#end({ kind: "dropped", at: host.node.nodeID, in: "egress" });
    this.#say(host, `to ${next.nodeID} by ${LINK}`);
    const arriving = {
      ...packet,
      iif: LINK,
      oif: "",
      mark: 0,
      zone: 0,
      isDNATed: false,
      isSNATed: false,
    };
    const etherSource = overlayMAC(host.node.overlayAddress);
    const known = this.#hosts.find(({ node }) => node === next);
    if (known !== undefined) return this.receive(known, { ...arriving, etherSource });
    const { source, destination, protocol, port } = packet;
    const from = { host: next.nodeID, link: LINK, etherSource };
    const packetThere: Probe = { from, source, destination, protocol, port };
    return this.#end({
      kind: "tunnel",
      at: host.node.nodeID,
      to: next.nodeID,
      packet: packetThere,
    });
  }

  /** By the MAC address that the neighbour table gives, unless the egress hook puts another. */
  #nextNode(host: TracedHost, packet: Packet): MeshNode | undefined {
    packet.etherDestination = host.state.network.neighbours.get(packet.nextHop) ?? "";
    this.#hook(host, "egress", packet);
    const underlay = host.state.network.fdb.get(packet.etherDestination);
    const members = [...this.#hosts.map(({ node }) => node), ...this.#others];
    return members.find((one) => tunnelAddressOf(one) === underlay);
  }

  #toTask(host: TracedHost, packet: Packet): Trace {
    const to = withPort(packet.destination, packet.port);
    this.#say(host, `to task ${to} by ${packet.oif}, from ${packet.source}`);
    const replyThrough = this.#replyThrough(host, packet);
    return this.#end({
      kind: "task",
      at: host.node.nodeID,
      to,
      seenAs: packet.source,
      replyThrough,
    });
  }

  #replyThrough(host: TracedHost, request: Packet): string {
    const reply: Packet = {
      ...request,
      ...{ iif: request.oif, oif: "", mark: 0, direction: "reply" },
      ...{ source: request.destination, destination: request.source },
    };
    this.#hook(host, "prerouting", reply);
    const route = isLocal(host, reply.destination) ? undefined : routeOf(host, reply);
    if (route?.device !== LINK) return host.node.nodeID;
    reply.nextHop = route.via ?? reply.destination;
    const { mark } = reply;
    const through = this.#nextNode(host, reply)?.nodeID ?? "nobody";
    this.#say(host, `its reply is marked ${hex(mark)} and goes back to ${through} by ${LINK}`);
    return through;
  }

  #hook(host: TracedHost, hook: Hook, packet: Packet): Verdict {
    const { destination, source } = packet;
    const verdict = runHook(host.state.ruleset, hook, packet, this.#around(host));
    if (packet.destination !== destination) {
      this.#say(host, `led to ${withPort(packet.destination, packet.port)}`);
    }
    if (packet.source !== source) this.#say(host, `from ${packet.source} instead of ${source}`);
    return verdict;
  }

  #around(host: TracedHost): Surroundings {
    return {
      isLocal: (address) => isLocal(host, address),
      masqueradeAs: () => host.node.underlayAddress,
      pick: this.#pick,
    };
  }

  #say(host: TracedHost, what: string): void {
    this.#steps.push(`${host.node.nodeID}: ${what}`);
  }

  #end(outcome: Outcome): Trace {
    return { steps: this.#steps, outcome };
  }
}

function stopped(host: TracedHost, verdict: Verdict, hook: Hook): Outcome {
  const at = host.node.nodeID;
  return verdict === "reject" ? { kind: "refused", at } : { kind: "dropped", at, in: hook };
}

function isLocal({ node, state }: TracedHost, address: string): boolean {
  if (address.startsWith("127.") || address === "::1") return true;
  const own = [...state.network.addresses.keys()].map((key) => key.split(/[ /]/)[1]);
  const known = [node.underlayAddress, tunnelAddressOf(node), ...node.addresses];
  return [...known, ...own].includes(address);
}

/** Marked packets by the reply table, all others by the main one. Undefined: by whatever route the host has. */
function routeOf(host: TracedHost, packet: Packet): Route | undefined {
  const { rules, routes } = host.state.network;
  const isIPv6 = isOfIPv6(packet.destination);
  for (const { mark, mask, table, from } of rules.values()) {
    if ((packet.mark & mask) !== mark || !isWithin(packet.source, from)) continue;
    return routes.get(`${table} ${isIPv6 ? "::/0" : "default"}`);
  }
  return routes.get(`main ${packet.destination}`) ?? subnetRoute(routes.values(), packet);
}

/** Of Weft's routes one is for all of the mesh's addresses. */
function subnetRoute(routes: Iterable<Route>, { destination }: Packet): Route | undefined {
  return [...routes].find(
    (route) => route.table === "main" && isWithin(destination, route.destination),
  );
}
