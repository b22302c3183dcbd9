/**
 * The rules this node should have. README.md walks a packet through them; the order of the chains here is
 * the order in which a packet meets them. What they look up is in desired-sets.ts, where ports lead in served-ports.ts.
 */

import { BRIDGE_PREFIX } from "../base/overlay-links.ts";
import { desiredSets } from "./desired-sets.ts";
import { ipv6Of } from "./ipv6.ts";
import { LATE_ANSWER, PASS_BY, TO_LATE_ANSWER } from "./late-answers.ts";
import type { MarkLayout } from "./mark.ts";
import { hex, INDEX_BITS } from "./mark.ts";
import type { Ways } from "./mesh.ts";
import { EGRESS_TABLE, LINK, NOWHERE6, overlayMAC, TABLE, TASK_LINKS } from "./names.ts";
import { IS_REFUSAL } from "./nft/balance.ts";
import type { Chain, Ruleset, Table } from "./nft/ruleset.ts";
import { baseChain, chain, mapOf } from "./nft/ruleset.ts";
import { KEPT_LONG, servedPorts } from "./served-ports.ts";
import type { MeshView } from "./view.ts";

/** A little before Docker's and the user's own NAT chains: a published port of the mesh is the mesh's. */
const PRIORITY_DSTNAT = -110;
const PRIORITY_SRCNAT = 90;
const PRIORITY_RAW = -300;
const PRIORITY_MANGLE = -150;
const PRIORITY_FILTER = 0;

export interface RulesetInit {
  readonly mark: MarkLayout;
  /** Whether the host forwards IPv6 for others than the mesh. */
  readonly isRouter6: boolean;
  /** Whether another's rules want a way back to an IPv6 packet's source by the link that it came by. */
  readonly filtersPaths6: boolean;
}

/** The rules this node should have. Same view, same ruleset, in the same order. */
export function desiredRuleset(view: MeshView, ways: Ways, init: RulesetInit): Ruleset {
  const { mark } = init;
  const ports = servedPorts(view, ways);
  const main: Table = {
    sets: new Map([...desiredSets(view, mark), ...ports.sets]),
    chains: new Map([...chains(view, init), ...ports.chains]),
  };
  return new Map([
    [TABLE, main],
    [EGRESS_TABLE, egressTable(view, mark)],
  ]);
}

function chains(view: MeshView, init: RulesetInit): [string, Chain][] {
  const { mark, isRouter6 } = init;
  return [
    ["raw_prerouting", baseChain("filter", "prerouting", PRIORITY_RAW, rawPrerouting())],
    ["raw_output", baseChain("filter", "output", PRIORITY_RAW, [`${ofTunnel(view)} notrack`])],
    ["udp_prerouting", chain(udpPrerouting(view))],
    ["from_member", chain(fromMember())],
    ["no_loopback", chain(["ip daddr 127.0.0.0/8 drop", "ip saddr 127.0.0.0/8 drop"])],
    ["first_refusal", chain(firstRefusal())],
    ["first_refusal6", chain(keptBack("ip6", "6"))],
    ["late_answer", chain(LATE_ANSWER)],
    [
      "mark_prerouting",
      baseChain("filter", "prerouting", PRIORITY_MANGLE, markPrerouting(view, init)),
    ],
    ["mark_reply", chain(markReply(mark))],
    ["mark_bits", chain(markBits(mark))],
    [
      "nat_prerouting",
      baseChain("nat", "prerouting", PRIORITY_DSTNAT, [
        ...FROM_MESH,
        NOT_FROM_HERE,
        ...FROM_ENTRY,
        ...NOT_HERE,
        ...NOT_FOR_YOU,
        ...TO_SERVICE,
      ]),
    ],
    ["nat_output", baseChain("nat", "output", PRIORITY_DSTNAT, [...NOT_HERE, ...TO_SERVICE])],
    ["refuse_input", baseChain("filter", "input", PRIORITY_FILTER, refuseInput())],
    ["passed_by", chain(passedBy(view))],
    [
      "refuse",
      chain(["meta l4proto tcp reject with tcp reset", "reject with icmpx port-unreachable"]),
    ],
    ["gone", chain(gone())],
    [
      "guard_forward",
      baseChain("filter", "forward", PRIORITY_FILTER, guardForward(view, isRouter6)),
    ],
    ["no_router", chain(noRouter())],
    ["into_mesh", chain(intoMesh())],
    ["guard_output", baseChain("filter", "output", PRIORITY_FILTER, guardOutput(view))],
    ["no_detour", chain(intoEither("drop"))],
    ["led_out", chain(ledOut(view))],
    ["clamp", chain(intoEither(CLAMP))],
    ["nat_postrouting", baseChain("nat", "postrouting", PRIORITY_SRCNAT, natPostrouting(view))],
  ];
}

/**
 * Before conntrack: who may not send, what conntrack shall not see, and the zone that says who sent it. By protocol and
 * flags first: comparing names costs every packet more.
 */
function rawPrerouting(): string[] {
  return [
    "meta l4proto udp jump udp_prerouting",
    `${REFUSAL} iifname "${TASK_LINKS}" jump first_refusal`,
    `iifname "${LINK}" ${BY_ITS_SENDER}`,
  ];
}

/** Of two kinds of links by one comparison; for an uplink whose name begins so too it is one look-up more. */
function udpPrerouting(view: MeshView): string[] {
  return [`${ofTunnel(view)} jump from_member`, ...PASS_BY.map((rule) => `iifname "w*" ${rule}`)];
}

/** The tunnel's own packets. Other tunnels' VNIs are not Weft's. */
function ofTunnel({ dataPathPort, vni }: MeshView): string {
  return `udp dport ${dataPathPort} @th,96,24 ${vni}`;
}

/**
 * The tunnel's packets are believed, so only members may send them. Conntrack passes them by: what they carry has a
 * flow of its own, and each of those would have made another one. The lookup of the address is the dearest part and
 * comes last: a member's packet never gets so far.
 */
function fromMember(): string[] {
  return [
    "ip saddr @peers notrack accept",
    "ip6 saddr @peers6 notrack accept",
    "fib daddr type local drop",
  ];
}

/** One client port through two nodes to one task is one tuple here: the zone tells the flows apart. */
const BY_ITS_SENDER = "ct original zone set ether saddr map @peer_zone";
/**
 * route_localnet lets 127.0.0.0/8 in on these links (CVE-2020-8558); only conntrack may bring it about: no new flow has
 * such an address, and nothing that belongs to no flow gets to a process.
 */
const FROM_MESH = [LINK, TASK_LINKS].map((name) => `iifname "${name}" jump no_loopback`);
/** The tunnel's link takes packets from this host's own addresses as from any other (`accept_local`): no new flow has one. */
const NOT_FROM_HERE = `iifname "${LINK}" fib saddr type local drop`;

/** Managers ask port 1 for it on purpose. */
const REFUSAL = `${IS_REFUSAL} tcp sport != 1`;
/**
 * A task's processes end before its link does, and meanwhile its kernel refuses what comes. The first refusal is
 * kept back: the client asks again within a second, and by then is led to another task if this one is gone. If
 * it is not, the second refusal is believed; but of a task that drains none is, however long its end takes: what
 * it refuses was led to it before, and it will be gone.
 */
function firstRefusal(): string[] {
  return ["meta nfproto ipv6 goto first_refusal6", ...keptBack("ip", "")];
}

function keptBack(family: "ip" | "ip6", suffix: "" | "6"): string[] {
  const flow = `${family} saddr . tcp sport . ${family} daddr . tcp dport`;
  return [
    `${family} saddr @draining${suffix} drop`,
    `${flow} @refusals${suffix} accept`,
    `add @refusals${suffix} { ${flow} } drop`,
  ];
}

/** What another node has led here; its own connections get theirs with their destination. */
const FROM_ENTRY = [
  `iifname "${LINK}" meta nfproto ipv4 meta l4proto tcp ${KEPT_LONG.ip}`,
  `iifname "${LINK}" meta nfproto ipv6 meta l4proto tcp ${KEPT_LONG.ip6}`,
];

/** A task's reply goes back through the node that the request came by: that node must undo its DNAT. */
function markPrerouting(view: MeshView, { mark, filtersPaths6 }: RulesetInit): string[] {
  return [
    `ct direction reply ct original zone != 0 iifname "${TASK_LINKS}" jump mark_reply`,
    ...(filtersPaths6 ? hasWayBack(view, mark) : []),
  ];
}

/**
 * A client's packet that another node has led here has its way back by the tunnel, for whom the routing rule counts: with
 * the flag the way is found, and the packet's own way is as without.
 */
function hasWayBack({ subnet6 }: MeshView, mark: MarkLayout): string[] {
  if (subnet6 === undefined) return [];
  const isClients = `iifname "${LINK}" ct direction original ip6 saddr != ${subnet6}`;
  return [`meta nfproto ipv6 ${isClients} meta mark set meta mark | ${hex(mark.flag)}`];
}

/** One lookup when nobody else has marked the packet; else bit by bit, as nft cannot merge a map's value into a mark. */
function markReply(mark: MarkLayout): string[] {
  return [
    `meta mark & ${hex(mark.others)} == 0 meta mark set ct original zone map @zone_mark accept`,
    `meta mark set meta mark & ${hex(mark.others)} | ${hex(mark.flag)} goto mark_bits`,
  ];
}

function markBits(mark: MarkLayout): string[] {
  return Array.from({ length: INDEX_BITS }, (_, bit) => {
    const inZone = 1 << bit;
    const inMark = hex((1 << (bit + mark.shift)) >>> 0);
    return `ct original zone & ${inZone} == ${inZone} meta mark set meta mark | ${inMark}`;
  });
}

/** Whoever may not reach a port is led nowhere, and refused as if nothing answered there. */
const NOT_FOR_YOU = [
  `meta nfproto ipv4 ${limited("restricted")} ${outside("ip saddr", "allowed")} accept`,
  `meta nfproto ipv6 ${limited("restricted")} ${outside("ip6 saddr", "allowed6")} accept`,
];
const NOT_HERE = [
  `meta nfproto ipv4 ${limited("bound")} ${outside("ip daddr", "bound_to")} accept`,
  `meta nfproto ipv6 ${limited("bound")} ${outside("ip6 daddr", "bound_to6")} accept`,
];
/** The keeper would relay them, and then who they are could not be told any more. */
const NOT_FOR_IPV6 = [
  `${limited("restricted")} ${outside("ip6 saddr", "allowed6")}`,
  `${limited("bound")} ${outside("ip6 daddr", "bound_to6")}`,
].map(
  (limit) =>
    `meta nfproto ipv6 iifname != "lo" ct state new ${limit} reject with icmpx port-unreachable`,
);
/** ::1 cannot be translated, and what comes from a link-local address is not forwarded: the keeper relays those. */
const TO_SERVICE = [
  "meta nfproto ipv4 fib daddr type local meta l4proto . th dport vmap @services",
  `meta nfproto ipv6 fib daddr type local ip6 daddr != { ::1, fe80::/10 } meta l4proto . th dport vmap @services6`,
];

function limited(ports: string): string {
  return `meta l4proto . th dport @${ports}`;
}

function outside(address: string, networks: string): string {
  return `meta l4proto . th dport . ${address} != @${networks}`;
}

/**
 * What reaches a held port without having been led anywhere finds no live endpoint. The keeper's
 * listener would accept it, so it is refused before; but IPv6 clients of a port that has endpoints are the keeper's
 * to relay. What a process that had the port before still talks about is established, and goes on.
 */
function refuseInput(): string[] {
  return [
    "ct state untracked goto passed_by",
    KNOWN,
    ...FROM_MESH,
    ...NOT_FOR_IPV6,
    "meta nfproto ipv4 ct state new meta l4proto . th dport @held jump refuse",
    "meta nfproto ipv6 ct state new meta l4proto . th dport @held meta l4proto . th dport != @answered jump refuse",
  ];
}

/** The tunnel's own packets, late answers, and what others have conntrack pass by. */
function passedBy({ dataPathPort }: MeshView): string[] {
  return [`udp dport ${dataPathPort} accept`, ...FROM_MESH, "meta l4proto udp jump late_answer"];
}

/** What most packets are: what is asked of a flow was asked of its first packet. */
const KNOWN = "ct state established,related accept";

/**
 * Nobody routes straight to a task's unpublished port, and nothing for a task that is gone leaks to the LAN: that is
 * where `lo` leads, and in IPv6 that next hop. The rule after that is for most packets; an answer to a SYN has still to be clamped and comes to the next.
 */
function guardForward(view: MeshView, isRouter6: boolean): string[] {
  return [
    ...(view.subnet6 === undefined ? [] : [`rt ip6 nexthop ${NOWHERE6} jump gone`]),
    'ct status assured oif != "lo" accept',
    "tcp flags syn jump clamp",
    `oif != "lo" ${KNOWN}`,
    TO_LATE_ANSWER,
    // Frames between containers of one overlay network, whose addresses are that network's own affair.
    `iifname "${BRIDGE_PREFIX}*" oifname "${BRIDGE_PREFIX}*" accept`,
    `oifname "${LINK}" jump into_mesh`,
    `oifname "${TASK_LINKS}" jump into_mesh`,
    ...toTasks(view).map((destination) => `${destination} jump gone`),
    ...(isRouter6 ? [] : ["meta nfproto ipv6 jump no_router"]),
  ];
}

/** Links that forward by the will of whoever made them: the mesh's, and those of containers and virtual machines. */
const FORWARDING_LINKS = [LINK, TASK_LINKS, `${BRIDGE_PREFIX}*`, "docker*", "br-*", "virbr*"];

/** A host that forwards IPv6 only because the mesh needs it is no router between its other networks. */
function noRouter(): string[] {
  const rules = FORWARDING_LINKS.flatMap((name) =>
    ["iifname", "oifname"].map((side) => `${side} "${name}" return`),
  );
  return [...rules, "drop"];
}

/** Matches of packets for tasks. */
function toTasks({ subnet, subnet6 }: MeshView): string[] {
  return [`ip daddr ${subnet}`, ...(subnet6 === undefined ? [] : [`ip6 daddr ${subnet6}`])];
}

/**
 * For a task that is not there, or not any more. A new connection that was led to it gets no answer: the client
 * asks again within a second, and by then the kernel has forgotten where it was led. One that was established
 * cannot be saved, and its client is told so. Whoever asks for the address itself is told as well.
 */
function gone(): string[] {
  return [
    // The node that led it here has the client's view of it, and answers for it.
    `iifname "${LINK}" drop`,
    "meta l4proto tcp ct state established reject with tcp reset",
    "ct status dnat drop",
    "reject with icmpx host-unreachable",
  ];
}

function intoMesh(): string[] {
  return [
    "ct state established,related accept",
    "ct status dnat accept",
    `iifname "${LINK}" accept`,
    `iifname "${TASK_LINKS}" accept`,
    "drop",
  ];
}

/** The tunnel's own packets are most of what a host sends, and nobody's here. */
function guardOutput(view: MeshView): string[] {
  return [
    "meta l4proto udp ct state untracked accept",
    "ct status dnat jump led_out",
    ...toTasks(view).map((to) => `${to} ${leavesMesh()} oif != "lo" jump gone`),
    // A packet that leaves by the link it came by is no detour here: it was led there.
    "icmp type redirect jump no_detour",
    "icmpv6 type nd-redirect jump no_detour",
  ];
}

/**
 * What this host's own processes send to a published port: it still seems to leave by lo, whose MTU no way beyond has;
 * whether the task is there, the endpoints' set says.
 */
function ledOut({ subnet, subnet6 }: MeshView): string[] {
  const families = [
    ["ip", subnet, "hairpin"],
    ["ip6", subnet6, "hairpin6"],
  ] as const;
  return families.flatMap(([family, network, endpoints]) =>
    network === undefined
      ? []
      : [
          `tcp flags syn ${family} daddr ${network} ${CLAMP}`,
          `oif "lo" ${family} daddr ${network} ${family} daddr . ${family} daddr != @${endpoints} jump gone`,
        ],
  );
}

const CLAMP = "tcp option maxseg size set rt mtu";

/** A rule for whatever leaves into the mesh. */
function intoEither(statement: string): string[] {
  return [LINK, TASK_LINKS].map((name) => `oifname "${name}" ${statement}`);
}

/** The client's address is kept, save where its own host would take the packet for a forged one. */
function natPostrouting(view: MeshView): string[] {
  const asThisNode = `snat ip to ${view.self.overlayAddress}`;
  return [
    // A member's own address coming back to it through the tunnel has a local source.
    `oifname "${LINK}" ip saddr . rt ip nexthop @own_hosts ${asThisNode}`,
    `oifname "${LINK}" ip saddr 127.0.0.0/8 ${asThisNode}`,
    `oifname "${TASK_LINKS}" ip saddr 127.0.0.0/8 ${asThisNode}`,
    // A task that is led to itself.
    `ip saddr . ip daddr @hairpin ${asThisNode}`,
    // What tasks open to the world outside.
    `ip saddr ${view.subnet} ${TO_THE_WORLD}`,
    ...(view.subnet6 === undefined ? [] : natPostrouting6(view, view.subnet6)),
  ];
}

/** As in IPv4; but ::1 is never led anywhere. */
function natPostrouting6({ self, subnet }: MeshView, subnet6: string): string[] {
  const asThisNode = `snat ip6 to ${ipv6Of(subnet6, subnet, self.overlayAddress)}`;
  return [
    `oifname "${LINK}" ip6 saddr . rt ip6 nexthop @own_hosts6 ${asThisNode}`,
    `ip6 saddr . ip6 daddr @hairpin6 ${asThisNode}`,
    `ip6 saddr ${subnet6} ${TO_THE_WORLD}`,
  ];
}

const TO_THE_WORLD = `${leavesMesh()} oifname != "lo" ct status & dnat == 0 masquerade`;

function leavesMesh(): string {
  return `oifname != "${LINK}" oifname != "${TASK_LINKS}"`;
}

/** Last before the tunnel: the reply gets the MAC address of the node that its mark names, and the mark is taken off. */
function egressTable(view: MeshView, mark: MarkLayout): Table {
  const macs = view.peers.map((peer): [string, string] => [
    `${(peer.index << mark.shift) >>> 0}`,
    overlayMAC(peer.overlayAddress),
  ]);
  const sendBack = [
    `ether daddr set meta mark & ${hex(mark.indexMask)} map @peer_mac`,
    // The encapsulated packet inherits the mark and would be routed into the tunnel again.
    `meta mark set meta mark & ${hex(mark.others)}`,
  ];
  const toReplies = `meta mark & ${hex(mark.flag)} == ${hex(mark.flag)} jump send_back`;
  return {
    sets: new Map([["peer_mac", mapOf("typeof meta mark : ether daddr", macs)]]),
    chains: new Map([
      [
        "egress",
        chain([toReplies], {
          type: "filter",
          hook: "egress",
          priority: PRIORITY_FILTER,
          device: LINK,
        }),
      ],
      ["send_back", chain(sendBack)],
    ]),
  };
}
