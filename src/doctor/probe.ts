/** Reads and tries what the doctor asks of this host. Changes nothing on it: the kernel is tried in a network namespace that ends with the trial. */
import { accessSync, constants } from "node:fs";
import { readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { Logger } from "../base/logger.ts";
import { readEngineFirewall } from "../datapath/engine-firewall.ts";
import { readFirewalld } from "../datapath/firewalld.ts";
import { DROPS, lacksOf } from "../datapath/host-firewalls.ts";
import { openNft } from "../datapath/nft/open.ts";
import { FAST_TRIAL } from "../datapath/overlay/fast-rules.ts";
import { runTool } from "../datapath/run.ts";
import { readSysctl } from "../datapath/sysctl.ts";
import { HTTPKeeperClient } from "../keeper/client.ts";
import { KEEPER_SOCKET } from "../keeper/protocol.ts";
import { readHostRoutes } from "../node/host-routes.ts";
import { listOf, recordOf, stringOf } from "../runtime/docker/decode.ts";
import { EngineClient } from "../runtime/docker/engine-client.ts";
import type {
  EngineFacts,
  GossipFacts,
  HostFacts,
  KernelFeature,
  MemberFacts,
  NodeFacts,
  PortFacts,
} from "./facts.ts";
import { probeManager } from "./probe-manager.ts";
import { probeMesh } from "./probe-mesh.ts";

export interface ProbeInit {
  readonly engineSocket: string;
  readonly apiSocket: string;
  readonly log: Logger;
}

/** An answer that takes longer is none. */
const ANSWER_MS = 5_000;
const TOOLS = ["nft", "ip", "bridge", "conntrack", "iptables-nft", "setpriv"];

export async function probeHost({ engineSocket, apiSocket, log }: ProbeInit): Promise<HostFacts> {
  const isRoot = process.getuid?.() === 0;
  const canPing = isOnPath("ping");
  const [lacks, engine, member, busyPorts, takenPorts] = await Promise.all([
    isRoot ? tryKernel() : new Map<KernelFeature, string>(),
    readEngine(engineSocket),
    readMember(apiSocket),
    readBusyPorts(),
    readTakenPorts(),
  ]);
  const gossip = member?.state === "active" ? await readGossip(apiSocket) : undefined;
  const managers = member?.isManager === true ? [] : (member?.managers ?? []);
  const nodes = member?.isManager === true ? await readNodes(apiSocket) : [];
  const missingTools = TOOLS.filter((tool) => !isOnPath(tool));
  const isReadable = isRoot && missingTools.length === 0;
  return {
    isRoot,
    release: release(),
    lacks,
    missingTools,
    canPing,
    isClockKept: await isClockKept(),
    forwarding: readSysctl("net/ipv4/ip_forward") === "1",
    hasDefaultRoute: await hasDefaultRoute(),
    hostRoutes: readHostRoutes(),
    takenPorts,
    engine,
    member,
    busyPorts,
    gossip,
    nodes,
    managers: await Promise.all(managers.map(probeManager)),
    ...(isReadable ? await readKernel(log, canPing) : NOTHING_READ),
  };
}

const NOTHING_READ = { mesh: undefined, firewallLacks: [], firewallProblems: [] };

async function readKernel(
  log: Logger,
  canPing: boolean,
): Promise<Pick<HostFacts, "mesh" | "firewallLacks" | "firewallProblems">> {
  const nft = await openNft(log, runTool);
  try {
    const engine = await readEngineFirewall({ nft, run: runTool });
    const engine6 = await readEngineFirewall({ nft, run: runTool }, "ip6tables");
    const firewalld = await readFirewalld(nft);
    const untrusted = firewalld?.untrusted ?? [];
    return {
      mesh: await probeMesh(nft, runTool, canPing),
      firewallLacks: [
        ...[...lacksOf("iptables", engine), ...lacksOf("ip6tables", engine6)].map(
          ({ chain, rule }) => `${chain} lacks ${rule}`,
        ),
        ...untrusted.map((link) => `firewalld has ${link} in no zone`),
      ],
      firewallProblems: engine.kind === "drops" ? [DROPS] : [],
    };
  } finally {
    await nft.close();
  }
}

/** Each in a network namespace of its own, in the very words that the rules use. */
const TRIALS: Readonly<Record<KernelFeature, readonly [argv: readonly string[], stdin: string]>> = {
  nftables: [
    ["nft", "-f", "-"],
    "table inet t { chain c { type nat hook prerouting priority -110; tcp dport 1 dnat ip to 10.0.0.1:80; }; }",
  ],
  fib: [
    ["nft", "-f", "-"],
    "table inet t { chain c { type filter hook prerouting priority 0; fib daddr type local accept; }; }",
  ],
  zones: [
    ["nft", "-f", "-"],
    "table inet t { map m { typeof ether saddr : ct zone; }; chain c { type filter hook prerouting priority -300; ct original zone set ether saddr map @m; }; }",
  ],
  egress: [
    ["nft", "-f", "-"],
    'table netdev t { chain c { type filter hook egress device "lo" priority 0; }; }',
  ],
  "forwarding at ingress": [["nft", "-f", "-"], FAST_TRIAL],
  vxlan: [
    [
      "ip",
      "link",
      "add",
      "probe",
      "type",
      "vxlan",
      "id",
      "1",
      "dstport",
      "4789",
      "local",
      "127.0.0.1",
    ],
    "",
  ],
};

async function tryKernel(): Promise<ReadonlyMap<KernelFeature, string>> {
  const tried = await Promise.all(
    Object.entries(TRIALS).map(async ([feature, [argv, stdin]]) => {
      const { status, stderr } = await runTool("unshare", ["--net", ...argv], stdin).catch(
        (error: unknown) => ({ status: 1, stderr: String(error) }),
      );
      return status === 0 ? [] : [[feature as KernelFeature, firstLine(stderr)] as const];
    }),
  );
  return new Map(tried.flat());
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0] ?? "";
}

function isOnPath(tool: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function readEngine(socketPath: string): Promise<EngineFacts | undefined> {
  const info = await answerOf(socketPath, "/info");
  if (info === undefined) return undefined;
  const swarm = stringOf(recordOf(info["Swarm"])["LocalNodeState"]) ?? "";
  return {
    version: stringOf(info["ServerVersion"]) ?? "of unknown version",
    swarm: swarm === "" ? "inactive" : swarm,
  };
}

async function readMember(socketPath: string): Promise<MemberFacts | undefined> {
  const swarm = await answerOf(socketPath, "/weft/node");
  if (swarm === undefined) return undefined;
  return {
    state: stringOf(swarm["LocalNodeState"]) ?? "inactive",
    isManager: swarm["ControlAvailable"] === true,
    error: stringOf(swarm["Error"]) ?? "",
    managers: listOf(swarm["RemoteManagers"]).flatMap(
      (manager) => stringOf(recordOf(manager)["Addr"]) ?? [],
    ),
  };
}

async function answerOf(
  socketPath: string,
  path: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const client = new EngineClient({ socketPath });
    return recordOf(await client.call("GET", path, { timeoutMs: ANSWER_MS }));
  } catch {
    return undefined;
  }
}

async function readGossip(socketPath: string): Promise<GossipFacts | undefined> {
  try {
    const client = new EngineClient({ socketPath });
    const answer = recordOf(await client.call("GET", "/weft/gossip", { timeoutMs: ANSWER_MS }));
    return {
      fault: stringOf(answer["Fault"]) ?? "",
      ailments: listOf(answer["Ailments"]).map((each) => {
        const { Kind, Addr } = recordOf(each);
        return { kind: stringOf(Kind) ?? "", host: stringOf(Addr) ?? "" };
      }),
    };
  } catch {
    // It left the cluster this moment, or is of another version: nothing is known of its gossip.
    return undefined;
  }
}

async function readNodes(socketPath: string): Promise<readonly NodeFacts[]> {
  try {
    const client = new EngineClient({ socketPath });
    const nodes = listOf(await client.call("GET", "/nodes", { timeoutMs: ANSWER_MS }));
    return nodes.map((node) => {
      const { Description, Status } = recordOf(node);
      const { State, Message } = recordOf(Status);
      return {
        hostname: stringOf(recordOf(Description)["Hostname"]) ?? "",
        state: stringOf(State) ?? "",
        message: stringOf(Message) ?? "",
      };
    });
  } catch {
    // It is no manager any more, or is about to stop.
    return [];
  }
}

async function readBusyPorts(): Promise<readonly PortFacts[] | undefined> {
  try {
    const { ports } = await new HTTPKeeperClient({ socketPath: KEEPER_SOCKET }).status();
    return ports.flatMap((hold) =>
      hold.state === "busy" ? [{ port: `${hold.port}/${hold.protocol}`, reason: hold.reason }] : [],
    );
  } catch {
    return undefined;
  }
}

const TCP_LISTEN = "0A";

/** Of those that Weft needs. The second column of the kernel's tables is ADDRESS:PORT in hexadecimal, the fourth the state. */
async function readTakenPorts(): Promise<readonly string[]> {
  const taken: string[] = [];
  for (const [port, protocol] of [
    [2377, "tcp"],
    [4789, "udp"],
    [7946, "udp"],
    [7946, "tcp"],
  ] as const) {
    const tables = await Promise.all(
      [protocol, `${protocol}6`].map((name) =>
        readFile(`/proc/net/${name}`, "utf8").catch(() => ""),
      ),
    );
    const rows = tables.flatMap((table) => table.split("\n").slice(1));
    const isTaken = rows.some((row) => {
      const [, local = "", , state] = row.trim().split(/\s+/);
      const isPort = Number.parseInt(local.split(":")[1] ?? "", 16) === port;
      return isPort && (protocol === "udp" || state === TCP_LISTEN);
    });
    if (isTaken) taken.push(`${port}/${protocol}`);
  }
  return taken;
}

/** By systemd's word; without it nobody asks. */
async function isClockKept(): Promise<boolean | undefined> {
  if (!isOnPath("timedatectl")) return undefined;
  const args = ["show", "--property=NTPSynchronized", "--value"];
  const { status, stdout } = await runTool("timedatectl", args);
  return status === 0 ? stdout.trim() === "yes" : undefined;
}

async function hasDefaultRoute(): Promise<boolean> {
  const table = await readFile("/proc/net/route", "utf8");
  return table.split("\n").some((line) => {
    const columns = line.split("\t");
    return columns[1] === "00000000" && columns[7] === "00000000";
  });
}
