import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findingsOf } from "./checks.ts";
import type { HostFacts, MeshFacts, PeerFacts } from "./facts.ts";
import { exitCodeOf, renderFindings } from "./finding.ts";

const peer: PeerFacts = {
  underlay: "192.168.99.101",
  overlay: "10.255.0.3",
  underlaySmall: true,
  underlayFull: true,
  small: true,
  full: true,
};

const mesh: MeshFacts = {
  subnets: ["10.255.0.0/16", "fd5a:9c3e:71b2::/64"],
  local: "192.168.99.100",
  tunnelMTU: 1450,
  uplinkMTU: 1500,
  tunnelUp: true,
  tables: ["inet weft", "netdev weft"],
  placeless: [],
  peers: [peer],
};

const well: HostFacts = {
  isRoot: true,
  release: "6.1.0",
  lacks: new Map(),
  missingTools: [],
  canPing: true,
  isClockKept: true,
  forwarding: true,
  hasDefaultRoute: true,
  hostRoutes: ["172.17.0.0/16", "192.168.99.0/24"],
  takenPorts: [],
  engine: { version: "20.10.24", swarm: "inactive" },
  member: { state: "active", isManager: false, error: "", managers: ["192.168.99.101:2377"] },
  busyPorts: [],
  managers: [{ addr: "192.168.99.101:2377", skewMs: 10 }],
  nodes: [{ hostname: "n1", state: "ready", message: "" }],
  mesh,
  gossip: { fault: "", ailments: [] },
  firewallLacks: [],
  firewallProblems: [],
};

const fresh: HostFacts = {
  ...well,
  forwarding: false,
  member: { state: "inactive", isManager: false, error: "", managers: [] },
  busyPorts: undefined,
  managers: [],
  nodes: [],
  mesh: undefined,
  gossip: undefined,
  firewallLacks: ["DOCKER-USER lacks -i weft0"],
};

const withPeer = (overrides: Partial<PeerFacts>): HostFacts => ({
  ...well,
  mesh: { ...mesh, peers: [{ ...peer, ...overrides }] },
});

const AILMENTS: readonly (readonly [string, HostFacts, "warn" | "fail", RegExp])[] = [
  [
    "an old Engine",
    { ...fresh, engine: { version: "19.03.15", swarm: "inactive" } },
    "fail",
    /Docker 19\.03\.15 is older than 20\.10/,
  ],
  ["a clock that nothing keeps", { ...fresh, isClockKept: false }, "warn", /nothing keeps/],
  [
    "a port whose interface the host has not",
    { ...well, mesh: { ...mesh, placeless: ["8080/tcp"] } },
    "warn",
    /8080\/tcp is answered at none of this host's addresses/,
  ],
  [
    "an old kernel",
    { ...fresh, lacks: new Map([["egress", "Error"]]) },
    "fail",
    /lacks egress.*5\.16/,
  ],
  [
    "a kernel without the faster way",
    { ...well, lacks: new Map([["forwarding at ingress", "Error"]]) },
    "warn",
    /lacks forwarding at ingress, which Weft would use/,
  ],
  ["a missing tool", { ...fresh, missingTools: ["conntrack"] }, "fail", /not found: conntrack/],
  [
    "a closed UDP port",
    { ...well, gossip: { fault: "", ailments: [{ kind: "udp", host: "192.168.99.101" }] } },
    "fail",
    /7946\/tcp is open, 7946\/udp is closed/,
  ],
  [
    "a key that others do not have",
    { ...well, gossip: { fault: "", ailments: [{ kind: "key", host: "192.168.99.101" }] } },
    "fail",
    /sealed with a key/,
  ],
  [
    "a tunnel that is open one way",
    {
      ...withPeer({ small: false, full: false }),
      gossip: { fault: "", ailments: [{ kind: "oneway", host: "192.168.99.101" }] },
    },
    "fail",
    /from it to this host and not back: 4789\/udp is closed on the way there, or the routes are asym/,
  ],
  [
    "broken checksum offload",
    { ...well, gossip: { fault: "", ailments: [{ kind: "checksum", host: "192.168.99.101" }] } },
    "fail",
    /wrong checksums: pings pass, TCP and UDP do not/,
  ],
  [
    "no gossip",
    { ...well, gossip: { fault: "the port is taken", ailments: [] } },
    "fail",
    /does not gossip: the port is taken/,
  ],
  ["a taken gossip port", { ...fresh, takenPorts: ["7946/udp"] }, "fail", /could not gossip/],
  ["no rights", { ...fresh, isRoot: false }, "fail", /not root/],
  ["an Engine that is down", { ...fresh, engine: undefined }, "fail", /does not answer/],
  [
    "an Engine in swarm mode",
    { ...fresh, engine: { version: "20", swarm: "active" } },
    "fail",
    /swarm mode itself/,
  ],
  ["no daemon", { ...fresh, member: undefined }, "warn", /no weft daemon/],
  ["a taken manager's port", { ...fresh, takenPorts: ["2377/tcp"] }, "fail", /cannot be a manager/],
  ["a taken tunnel's port", { ...fresh, takenPorts: ["4789/udp"] }, "warn", /another tunnel/],
  [
    "a published port that is busy",
    { ...well, busyPorts: [{ port: "22/tcp", reason: "address already in use" }] },
    "warn",
    /port 22\/tcp is not answered.*address already in use/,
  ],
  ["no keeper", { ...well, busyPorts: undefined }, "fail", /keeper does not answer/],
  ["forwarding that is off", { ...well, forwarding: false }, "fail", /ip_forward is 0/],
  ["no default route", { ...well, hasDefaultRoute: false }, "warn", /no default route/],
  ["a closed firewall", { ...well, firewallLacks: ["DOCKER-USER lacks x"] }, "fail", /lacks x/],
  ["a firewall that drops", { ...fresh, firewallProblems: ["it drops"] }, "fail", /it drops/],
  [
    "a manager that is away",
    { ...well, managers: [{ addr: "1.2.3.4:2377", error: "ECONNREFUSED" }] },
    "fail",
    /1\.2\.3\.4:2377.*ECONNREFUSED/,
  ],
  [
    "a clock that is off",
    { ...well, managers: [{ addr: "1.2.3.4:2377", skewMs: -120_000 }] },
    "warn",
    /-120 s off/,
  ],
  [
    "a clock that is far off",
    { ...well, managers: [{ addr: "1.2.3.4:2377", skewMs: 4_000_000 }] },
    "fail",
    /4000 s off/,
  ],
  [
    "what managers say of a node",
    { ...well, nodes: [{ hostname: "n3", state: "ready", message: "its address is n2's too" }] },
    "warn",
    /its address is n2's too/,
  ],
  [
    "a node that is down",
    { ...well, nodes: [{ hostname: "n3", state: "down", message: "" }] },
    "warn",
    /it is down/,
  ],
  [
    "a missing table",
    { ...well, mesh: { ...mesh, tables: ["netdev weft"] } },
    "fail",
    /table inet weft is missing/,
  ],
  [
    "a tunnel that is down",
    { ...well, mesh: { ...mesh, tunnelUp: false } },
    "fail",
    /weft0 is down/,
  ],
  [
    "an address that is gone",
    { ...well, mesh: { ...mesh, uplinkMTU: undefined } },
    "fail",
    /no link of this host has 192\.168\.99\.100/,
  ],
  [
    "too large a tunnel",
    { ...well, mesh: { ...mesh, uplinkMTU: 1400 } },
    "fail",
    /MTU 1450, too much/,
  ],
  [
    "an overlapping bridge",
    { ...well, hostRoutes: ["10.255.8.0/24"] },
    "warn",
    /10\.255\.8\.0\/24, which overlaps with the mesh's 10\.255\.0\.0\/16/,
  ],
  [
    "an overlapping VPN of IPv6",
    { ...well, hostRoutes: ["fd00:1::/64", "fd5a:9c3e::/32"] },
    "warn",
    /fd5a:9c3e::\/32, which overlaps with the mesh's fd5a:9c3e:71b2::\/64/,
  ],
  ["an MTU black hole", withPeer({ full: false, underlayFull: false }), "fail", /MTU black hole/],
  ["a closed tunnel", withPeer({ full: false, small: false }), "fail", /4789\/udp is closed/],
  [
    "a peer that is down",
    withPeer({ full: false, small: false, underlaySmall: false, underlayFull: false }),
    "fail",
    /host does not answer/,
  ],
];

describe("the doctor", () => {
  for (const [name, facts] of [
    ["a member that is well", well],
    ["a host whose Engine is new", { ...fresh, engine: { version: "29.0.1", swarm: "inactive" } }],
    [
      "a host whose Engine is oddly numbered",
      { ...fresh, engine: { version: "dev", swarm: "inactive" } },
    ],
    ["a host of whose clock nobody knows", { ...fresh, isClockKept: undefined }],
    ["a host that is ready to join", fresh],
  ] as const) {
    it(`finds nothing wrong with ${name}`, () => {
      const findings = findingsOf(facts);
      assert.deepEqual([...new Set(findings.map(({ level }) => level))], ["ok"]);
      assert.equal(exitCodeOf(findings), 0);
    });
  }
  for (const [name, facts, level, said] of AILMENTS) {
    it(`names ${name}, alone, with a cure`, () => {
      const findings = findingsOf(facts).filter((one) => one.level !== "ok");
      assert.deepEqual(
        findings.map((one) => one.level),
        [level],
      );
      assert.match(`${findings[0]?.about} ${findings[0]?.found}`, said);
      assert.ok((findings[0]?.cure ?? "").length > 10);
      assert.equal(exitCodeOf(findings), level === "fail" ? 1 : 0);
    });
  }
  it("says of a closed tunnel how a rule that looks at connections' state is to be written", () => {
    const findings = findingsOf(withPeer({ full: false, small: false }));
    const cure = findings.find(({ level }) => level === "fail")?.cure ?? "";
    assert.match(cure, /4789\/udp in on both .*'ct state \{ new, untracked \}'/);
  });
  it("prints columns, a cure below its finding, and the counts", () => {
    const text = renderFindings(findingsOf({ ...fresh, engine: undefined }));
    assert.match(text, /^fail {2}Engine {4}the Docker Engine does not answer\n +→ start it/m);
    assert.match(text, /\d ok, 0 warn, 1 fail\n$/);
  });
});
