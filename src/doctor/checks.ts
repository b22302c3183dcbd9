/** What the facts mean: pure, so that every ailment can be tried. In the order in which a user would cure them. */
import { subnetsOverlap } from "../cluster/subnet-overlap.ts";
import { EGRESS_TABLE, LINK, TABLE, vxlanOverhead } from "../datapath/names.ts";
import type {
  GossipFacts,
  HostFacts,
  KernelFeature,
  ManagerFacts,
  MeshFacts,
  NodeFacts,
  PeerFacts,
} from "./facts.ts";
import { KERNEL_EXTRAS, KERNEL_FEATURES } from "./facts.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** Certificates are dated an hour back, and TLS tolerates no more. */
const SKEW_MS_MAX = 30_000;
const SKEW_MS_FATAL = 50 * 60_000;
const TUNNEL_PORT = "4789/udp";
/** Conntrack passes the tunnel's packets by. */
const UNTRACKED = "a rule of one's own with 'ct state new' needs 'ct state { new, untracked }'";
const MANAGER_PORT = "2377/tcp";
const GOSSIP_PORTS = ["7946/udp", "7946/tcp"];

/** Every check's finding, the good ones too. */
export function findingsOf(facts: HostFacts): Finding[] {
  return [
    ...kernel(facts),
    ...tools(facts),
    ...engine(facts),
    ...clock(facts),
    ...daemon(facts),
    ...ports(facts),
    ...routing(facts),
    ...firewalls(facts),
    ...facts.managers.flatMap(manager),
    ...facts.nodes.flatMap(node),
    ...(facts.gossip === undefined ? [] : [...gossip(facts.gossip), ...checksums(facts.gossip)]),
    ...(facts.mesh === undefined ? [] : mesh(facts.mesh, facts)),
  ];
}

const FEATURE_USES: Readonly<Record<KernelFeature, string>> = {
  nftables: "its rules (nf_tables, nf_nat)",
  fib: "answering on all addresses of the host (nft_fib_inet)",
  zones: "telling apart what came through which node (nft_ct)",
  egress: "sending replies back (the egress hook: Linux 5.16 or newer)",
  vxlan: "the tunnel between nodes (vxlan)",
  "forwarding at ingress": "carrying frames of overlay networks past the bridge (nft_fwd_netdev)",
};

function kernel({ release, lacks, isRoot }: HostFacts): Finding[] {
  if (!isRoot)
    return [fail("rights", "not root", "run it as root: most of it cannot be read otherwise")];
  const cure = "install the distribution's full kernel and its modules, or a newer one";
  const lacking = (features: readonly KernelFeature[], uses: string) =>
    features
      .filter((feature) => lacks.has(feature))
      .map((feature): readonly [string, string, string] => [
        "kernel",
        `Linux ${release} lacks ${feature}, which Weft ${uses} for ${FEATURE_USES[feature]}: ${lacks.get(feature)}`,
        cure,
      ]);
  const missing = lacking(KERNEL_FEATURES, "needs").map((words) => fail(...words));
  const slower = lacking(KERNEL_EXTRAS, "would use").map((words) => warn(...words));
  if (missing.length > 0) return [...missing, ...slower];
  return [ok("kernel", `Linux ${release} has all that is needed`), ...slower];
}

function tools({ missingTools, canPing }: HostFacts): Finding[] {
  const findings =
    missingTools.length === 0
      ? [ok("tools", "all there")]
      : [
          fail(
            "tools",
            `not found: ${missingTools.join(", ")}`,
            "apt-get install nftables iproute2 iptables conntrack util-linux",
          ),
        ];
  if (canPing) return findings;
  return [
    ...findings,
    warn("tools", "no ping: peers are not probed", "apt-get install iputils-ping"),
  ];
}

function engine({ engine: found }: HostFacts): Finding[] {
  if (found === undefined) {
    return [
      fail("Engine", "the Docker Engine does not answer", "start it: systemctl start docker"),
    ];
  }
  if (found.swarm !== "inactive") {
    return [
      fail(
        "Engine",
        `Docker ${found.version} is in swarm mode itself (${found.swarm})`,
        "run 'docker swarm leave' on the Engine: Weft takes that place",
      ),
    ];
  }
  if (isTooOld(found.version)) {
    return [
      fail(
        "Engine",
        `Docker ${found.version} is older than ${ENGINE_MIN.join(".")}, which Weft needs`,
        "install a newer Docker Engine (apt-get install docker.io, or Docker's own packages)",
      ),
    ];
  }
  return [ok("Engine", `Docker ${found.version}, not in swarm mode`)];
}

const ENGINE_MIN = [20, 10] as const;

/** One whose version is no number is believed. */
function isTooOld(version: string): boolean {
  const [major = Number.NaN, minor = Number.NaN] = version.split(".").map(Number);
  return major < ENGINE_MIN[0] || (major === ENGINE_MIN[0] && minor < ENGINE_MIN[1]);
}

/** Certificates are dated, and two hosts must agree what time it is; how far off each is, managers say once it is a member. */
function clock({ isClockKept }: HostFacts): Finding[] {
  if (isClockKept === undefined) return [];
  if (isClockKept) return [ok("clock", "kept right by NTP")];
  return [
    warn(
      "clock",
      "nothing keeps this host's clock right",
      "let it take its time from where the other hosts do (timedatectl set-ntp true)",
    ),
  ];
}

function daemon({ member }: HostFacts): Finding[] {
  if (member === undefined) {
    return [warn("daemon", "no weft daemon answers", "start it: systemctl start weft")];
  }
  if (member.error !== "") {
    return [
      fail(
        "member",
        member.error,
        "see the daemon's log; 'docker swarm leave --force' starts anew",
      ),
    ];
  }
  if (member.state !== "active") {
    return [ok("member", "of no cluster yet: 'docker swarm init' or 'docker swarm join'")];
  }
  return [ok("member", member.isManager ? "a manager" : "a worker")];
}

function ports({ takenPorts, member, mesh: found, busyPorts }: HostFacts): Finding[] {
  const findings: Finding[] = [];
  if (takenPorts.includes(MANAGER_PORT) && member?.isManager !== true) {
    findings.push(
      fail(
        "ports",
        `${MANAGER_PORT} is taken: this host cannot be a manager`,
        "stop what has it (ss -ltnp 'sport = :2377'), or use another --listen-addr",
      ),
    );
  }
  if (takenPorts.includes(TUNNEL_PORT) && found === undefined) {
    findings.push(
      warn(
        "ports",
        `${TUNNEL_PORT} is taken by another tunnel or process`,
        "another VXLAN beside Weft's works if it has another VNI; else 'docker swarm init --data-path-port'",
      ),
    );
  }
  const taken = takenPorts.filter((port) => GOSSIP_PORTS.includes(port));
  if (taken.length > 0 && member?.state !== "active") {
    findings.push(
      fail(
        "ports",
        `${taken.join(" and ")} taken: this host could not gossip with its peers`,
        "stop what has it (ss -lntup 'sport = :7946')",
      ),
    );
  }
  for (const { port, reason } of busyPorts ?? []) {
    findings.push(
      warn(
        "ports",
        `published port ${port} is not answered on this host: ${reason}`,
        "stop the process that has it: the port is Weft's a second later",
      ),
    );
  }
  if (member?.state === "active" && busyPorts === undefined) {
    findings.push(
      fail("keeper", "the keeper does not answer", "see the daemon's log: it starts one by itself"),
    );
  }
  return findings.length > 0 ? findings : [ok("ports", "free, or held")];
}

function routing({ forwarding, hasDefaultRoute, mesh: found }: HostFacts): Finding[] {
  const findings: Finding[] = [];
  if (found !== undefined && !forwarding) {
    findings.push(
      fail(
        "forwarding",
        "net.ipv4.ip_forward is 0: nothing is led to tasks",
        "start the Docker Engine, which turns it on; see what turns it off (a file in /etc/sysctl.d)",
      ),
    );
  }
  if (!hasDefaultRoute) {
    findings.push(
      warn(
        "routes",
        "no default route: clients that no route leads to get no answer from tasks of this host",
        "add a default route, or one for the clients' networks",
      ),
    );
  }
  return findings.length > 0 ? findings : [ok("routes", "forwarding and routes are well")];
}

function firewalls({ firewallLacks, firewallProblems, mesh: found }: HostFacts): Finding[] {
  const problems = firewallProblems.map((problem) =>
    fail("firewall", problem, "see 'Beside a host's own firewall' in src/datapath/README.md"),
  );
  // Before it is a member nothing of Weft's is in any chain.
  const lacks = (found === undefined ? [] : firewallLacks).map((lack) =>
    fail("firewall", lack, "the daemon puts it back within a second: see its log why it cannot"),
  );
  const findings = [...problems, ...lacks];
  return findings.length > 0 ? findings : [ok("firewall", "lets the mesh through")];
}

function manager({ addr, error, skewMs }: ManagerFacts): Finding[] {
  const about = `manager ${addr}`;
  if (error !== undefined) {
    return [
      fail(
        about,
        `not reached: ${error}`,
        `let ${addr.split(":").at(-1)}/tcp in on its host's firewall, and see that it runs`,
      ),
    ];
  }
  if (skewMs === undefined || Math.abs(skewMs) <= SKEW_MS_MAX) return [ok(about, "reached")];
  const found = `its clock is ${Math.round(skewMs / 1000)} s off this host's`;
  const cure = "let both take their time from one source (timedatectl set-ntp true)";
  return [Math.abs(skewMs) >= SKEW_MS_FATAL ? fail(about, found, cure) : warn(about, found, cure)];
}

/** What managers say of the cluster's nodes: clocks, addresses and certificates are seen by nobody else. */
function node({ hostname, state, message }: NodeFacts): Finding[] {
  const cure = "run 'weft doctor' there too; its words are those of 'docker node inspect'";
  if (message !== "") return [warn(`node ${hostname}`, message, cure)];
  return state === "ready" ? [] : [warn(`node ${hostname}`, `it is ${state}`, cure)];
}

const GOSSIP_CURES: Readonly<Record<string, readonly [found: string, cure: string]>> = {
  udp: ["7946/tcp is open, 7946/udp is closed", "let 7946/udp in on both hosts' firewalls"],
  tcp: ["7946/udp is open, 7946/tcp is closed", "let 7946/tcp in on both hosts' firewalls"],
  key: [
    "its gossip is sealed with a key that this host does not have",
    "if it is no member, stop it or close 7946 to it; if it is one, see whether it reaches a manager",
  ],
  name: [
    "it goes by another member's certificate",
    "'weft reset --force' on one of the two hosts, and join it anew",
  ],
};

/** What the daemon has seen over a while and a look cannot. */
function checksums({ ailments }: GossipFacts): Finding[] {
  return ailments
    .filter(({ kind }) => kind === "checksum")
    .map(({ host }) =>
      fail(
        `tunnel to ${host}`,
        "what this host sends to it by the tunnel arrives with wrong checksums: pings pass, TCP and UDP do not",
        "switch the broken offload of this host's uplink off (ethtool -K DEV tx-checksum-ip-generic off tx-udp_tnl-segmentation off), or take a newer driver",
      ),
    );
}

function gossip({ fault, ailments }: GossipFacts): Finding[] {
  const cure = "see that it reaches a manager, and that nothing else has port 7946";
  if (fault !== "") return [fail("gossip", `this host does not gossip: ${fault}`, cure)];
  const findings = ailments.flatMap(({ kind, host }) => {
    const known = GOSSIP_CURES[kind];
    return known === undefined ? [] : [fail(`gossip ${host}`, known[0], known[1])];
  });
  return findings.length > 0 ? findings : [ok("gossip", "passes to and from all peers")];
}

function mesh(found: MeshFacts, { hostRoutes, canPing, gossip: heard }: HostFacts): Finding[] {
  const oneWay = (heard?.ailments ?? []).filter(({ kind }) => kind === "oneway");
  const heardBy = new Set(oneWay.map(({ host }) => host));
  return [
    ...drift(found),
    ...placeless(found),
    ...overlap(found, hostRoutes),
    ...(canPing ? found.peers.map((one) => peer(one, found, heardBy.has(one.underlay))) : []),
  ];
}

function drift({ tables, tunnelUp, tunnelMTU, uplinkMTU, local }: MeshFacts): Finding[] {
  const cure = "the daemon mends it within a second: see its log why it cannot";
  const missing = [TABLE, EGRESS_TABLE].filter((table) => !tables.includes(table));
  const findings = missing.map((table) => fail("kernel state", `table ${table} is missing`, cure));
  if (!tunnelUp) findings.push(fail("kernel state", `${LINK} is down`, cure));
  if (uplinkMTU === undefined) {
    findings.push(
      fail(
        "address",
        `no link of this host has ${local}, which its peers know it by`,
        "give it back, or leave and join again with the new --advertise-addr or --data-path-addr",
      ),
    );
  } else if (tunnelMTU > uplinkMTU - vxlanOverhead(local)) {
    findings.push(
      fail(
        "kernel state",
        `${LINK} has MTU ${tunnelMTU}, too much for the uplink's ${uplinkMTU}`,
        cure,
      ),
    );
  }
  return findings.length > 0 ? findings : [ok("kernel state", "tables and tunnel are there")];
}

function placeless({ placeless: found }: MeshFacts): Finding[] {
  return found.map((port) =>
    warn(
      "ports",
      `published port ${port} is answered at none of this host's addresses: what its service's label weft.publish.address names, or --publish-default-address here, this host has not`,
      "nothing, if that is meant; else name an interface (ip -br address) or a network that this host is in",
    ),
  );
}

function overlap({ subnets }: MeshFacts, hostRoutes: readonly string[]): Finding[] {
  return subnets.flatMap((subnet) => {
    const route = hostRoutes.find((one) => subnetsOverlap(one, subnet));
    if (route === undefined) return [];
    return warn(
      "networks",
      `this host has a route to ${route}, which overlaps with the mesh's ${subnet}`,
      "give that network (a Docker bridge, a VPN) another subnet",
    );
  });
}

/** From what comes back and what does not, where it is lost. `isHeard`: its own packets arrive, as the daemon has seen. */
function peer(
  facts: PeerFacts,
  { tunnelMTU, uplinkMTU = 0 }: MeshFacts,
  isHeard: boolean,
): Finding {
  const { underlay, overlay, underlaySmall, underlayFull, small, full } = facts;
  const about = `peer ${underlay}`;
  if (small && full) return ok(about, `full-size packets pass through the tunnel (${overlay})`);
  if (small) {
    const where = underlayFull ? "in the tunnel" : "on the way, without a word";
    return fail(
      about,
      `an MTU black hole: small packets pass, those of ${tunnelMTU} bytes in the tunnel (${uplinkMTU} outside) are lost ${where}`,
      "set the uplink's MTU to what the way takes (ip link set DEV mtu 1400, on all nodes; Weft follows), or mend the switch or VPN between",
    );
  }
  if (underlaySmall && isHeard) {
    return fail(
      about,
      `the host answers, and the tunnel passes from it to this host and not back: ${TUNNEL_PORT} is closed on the way there, or the routes are asymmetric`,
      `let ${TUNNEL_PORT} in on its host's firewall; ${UNTRACKED}; see by which way each host reaches the other (ip route get), and what drops packets on it (rp_filter, a firewall between)`,
    );
  }
  if (underlaySmall) {
    return fail(
      about,
      `the host answers, the tunnel to it does not: ${TUNNEL_PORT} is closed on the way, or its Weft does not run`,
      `let ${TUNNEL_PORT} in on both hosts' firewalls (ufw allow from ${underlay} to any port 4789 proto udp); ${UNTRACKED}`,
    );
  }
  return fail(about, "the host does not answer", "see whether it is up, and the network between");
}
