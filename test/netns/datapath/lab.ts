/**
 * Hosts, tasks, containers and a client as network namespaces on one LAN, with what an Engine's firewall
 * does to a host. Every host has a datapath in a process of its own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { AppliedReport } from "../../../src/datapath/datapath.ts";
import type { Drift } from "../../../src/datapath/describe.ts";
import { ipv6Of } from "../../../src/datapath/ipv6.ts";
import { runTool } from "../../../src/datapath/run.ts";
import type { MeshNode, MeshView } from "../../../src/datapath/view.ts";
import type { AgentCall, Ask } from "./agent.ts";
import { viewToJSON } from "./view-json.ts";

export const LAN = "192.168.99";
export const SUBNET = "10.255.0.0/16";
export const SUBNET6 = "fd5a:9c3e:71b2::/64";
export const CLIENT = `${LAN}.200`;
const GATEWAY = "169.254.1.1";
const GATEWAY6 = "fe80::1";
const PREFIX = "dpt";
const LEFT_BEHIND = new RegExp(`^${PREFIX}(\\d+)-\\w+`, "gm");
const NAMES = ["h1", "h2", "h3"] as const;

/** Each on the LAN has an address of either family, with the same last number. */
export function lan6(address: string): string {
  return `2001:db8:99::${address.split(".").at(-1)}`;
}
export type HostName = (typeof NAMES)[number];

/** Why these tests cannot run here, or false. */
export function whyNot(): string | false {
  return process.getuid?.() === 0 ? false : "needs root for network namespaces";
}

/** A process that answers one line for each line, in order or by id. */
class LineProcess {
  readonly child: ChildProcess;
  readonly #waiting: ((line: string | undefined) => void)[] = [];
  constructor(namespace: string, script: string, args: readonly string[]) {
    const path = join(import.meta.dirname, script);
    const command = ["netns", "exec", namespace, process.execPath, path, ...args];
    this.child = spawn("ip", command, { stdio: ["pipe", "pipe", "inherit"] });
    if (this.child.stdout === null) throw new Error("no stdout");
    const lines = createInterface({ input: this.child.stdout });
    lines.on("line", (line) => this.#waiting.shift()?.(line));
    lines.on("close", () => {
      for (const give of this.#waiting.splice(0)) give(undefined);
    });
  }
  async tell(request: unknown): Promise<unknown> {
    const answer = new Promise<string | undefined>((resolve) => this.#waiting.push(resolve));
    this.child.stdin?.write(`${JSON.stringify(request)}\n`);
    const line = await answer;
    if (line === undefined) throw new Error("the process ended without an answer");
    return JSON.parse(line);
  }
  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill(signal);
    await gone;
  }
}

/** Somewhere that a test can ask from or serve in. */
export class Place {
  readonly namespace: string;
  readonly #process: LineProcess;
  readonly #answers = new Map<number, (answer: { result?: unknown; error?: string }) => void>();
  #next = 0;

  constructor(namespace: string) {
    this.namespace = namespace;
    this.#process = new LineProcess(namespace, "agent.ts", []);
    const { stdout } = this.#process.child;
    if (stdout === null) throw new Error("no stdout");
    const lines = createInterface({ input: stdout });
    lines.on("close", () => {
      for (const give of this.#answers.values()) give({ error: `${namespace}: the agent ended` });
    });
    lines.on("line", (line) => {
      const answer = JSON.parse(line) as { id: number; result?: unknown; error?: string };
      this.#answers.get(answer.id)?.(answer);
      this.#answers.delete(answer.id);
    });
  }

  async call(request: AgentCall): Promise<unknown> {
    const id = this.#next++;
    const answered = new Promise<{ result?: unknown; error?: string }>((resolve) =>
      this.#answers.set(id, resolve),
    );
    this.#process.child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    const answer = await answered;
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result;
  }

  /** "NAME ADDRESS" of who answered and whom it saw, or the error's code. */
  async ask(ask: Ask): Promise<string> {
    const answer = await this.askWithPort(ask);
    return answer.split(" ").slice(0, 2).join(" ");
  }

  async askWithPort(ask: Ask): Promise<string> {
    return await this.call({ call: "ask", ...ask }).then(String, (error: Error) => error.message);
  }

  async end(): Promise<void> {
    await this.#process.end("SIGKILL");
  }
}

export class Host {
  readonly name: HostName;
  readonly node: MeshNode;
  readonly place: Place;
  readonly namespace: string;
  readonly #memo: string;
  #daemon: LineProcess | undefined;

  constructor(name: HostName, namespace: string, memo: string) {
    const number = NAMES.indexOf(name);
    const address = `${LAN}.${100 + number}`;
    this.name = name;
    this.namespace = namespace;
    this.#memo = memo;
    this.place = new Place(namespace);
    this.node = {
      nodeID: name,
      index: number + 1,
      underlayAddress: address,
      overlayAddress: `10.255.0.${2 + number}`,
      addresses: [address, lan6(address)],
    };
  }

  get address(): string {
    return this.node.underlayAddress;
  }

  startDaemon(nft: "library" | "spawn" = "library"): void {
    this.#daemon = new LineProcess(this.namespace, "daemon.ts", [this.#memo, nft]);
  }

  /** The process that holds its datapath. */
  get daemonPid(): number {
    const pid = this.#daemon?.child.pid;
    if (pid === undefined) throw new Error(`${this.name} has no daemon`);
    return pid;
  }

  async killDaemon(): Promise<void> {
    await this.#daemon?.end("SIGKILL");
    this.#daemon = undefined;
  }

  async apply(view: MeshView): Promise<AppliedReport> {
    return (await this.#tell({ call: "apply", view: viewToJSON(view) })) as AppliedReport;
  }

  async audit(): Promise<string[]> {
    return ((await this.#tell({ call: "audit" })) as Drift[]).map((drift) => drift.text);
  }

  /** Everything that shows in rules, routes and links, for comparing before and after. */
  async fingerprint(): Promise<string> {
    const shown = await Promise.all([
      this.run("nft", "-s", "-a", "list", "ruleset"),
      this.run("ip", "-4", "route", "show", "table", "all"),
      this.run("ip", "-6", "route", "show", "table", "all", "proto", "147"),
      this.run("ip", "rule", "show"),
      this.run("ip", "-6", "rule", "show"),
      this.run("ip", "-o", "link", "show"),
      // The kernel joins IPv6's multicast groups when it sees fit.
      this.run("bridge", "fdb", "show").then((shown) => shown.replace(/^33:33:.*\n/gm, "")),
      this.run("ip", "neighbour", "show", "nud", "permanent"),
    ]);
    return shown.join("\n");
  }

  /** From now on drift is found without being asked for. */
  async watch(): Promise<void> {
    await this.#tell({ call: "watch" });
  }

  async reset(): Promise<void> {
    await this.#tell({ call: "reset" });
  }

  /** Runs a tool in the host's namespace and returns what it printed. */
  async run(...command: string[]): Promise<string> {
    return await inNamespace(this.namespace, command);
  }

  async #tell(request: unknown): Promise<unknown> {
    if (this.#daemon === undefined) this.startDaemon();
    const answer = (await this.#daemon?.tell(request)) as { error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }
}

/** Runs a tool in a namespace and returns what it printed. */
export async function inNamespace(namespace: string, command: readonly string[], stdin = "") {
  const { status, stdout, stderr } = await runTool(
    "ip",
    ["netns", "exec", namespace, ...command],
    stdin,
  );
  if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout;
}

export class Lab implements AsyncDisposable {
  readonly #prefix = `${PREFIX}${process.pid}`;
  readonly #namespaces: string[] = [];
  readonly #places: Place[] = [];
  readonly #hosts = new Map<HostName, Host>();
  #directory = "";

  static async make(): Promise<Lab> {
    const lab = new Lab();
    await sweep();
    try {
      await lab.#build();
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
    return lab;
  }

  host(name: HostName): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  }

  get hosts(): Host[] {
    return [...this.#hosts.values()];
  }

  /** Outside the cluster, on the LAN. */
  async client(name: string, address: string): Promise<Place> {
    const namespace = await this.#namespace(name);
    await this.#attach(namespace, address);
    return this.#place(namespace);
  }

  /** Somewhere without any link. */
  async place(name: string): Promise<Place> {
    return this.#place(await this.#namespace(name));
  }

  /** As the keeper makes a task: a veth pair, a /32, an off-link gateway. */
  async task(host: Host, name: string, address: string, link: string): Promise<Place> {
    const namespace = await this.#namespace(name);
    await ip([
      `link add ${link} mtu 1450 netns ${host.namespace} type veth peer name eth0 netns ${namespace}`,
    ]);
    await ip(
      [
        `link set ${link} up`,
        `addr add ${GATEWAY}/32 dev ${link} scope link`,
        `route add ${address}/32 via ${address} dev ${link} onlink`,
        `addr add ${GATEWAY6}/64 dev ${link} nodad`,
        `route add ${ipv6Of(SUBNET6, SUBNET, address)}/128 dev ${link}`,
      ],
      host.namespace,
    );
    await ip(
      [
        `addr add ${address}/32 dev eth0`,
        "link set eth0 mtu 1450 up",
        `route add ${GATEWAY} dev eth0`,
        `route add default via ${GATEWAY}`,
        `addr add ${ipv6Of(SUBNET6, SUBNET, address)}/128 dev eth0 nodad`,
        `route add ::/0 via ${GATEWAY6} dev eth0`,
      ],
      namespace,
    );
    const place = this.#place(namespace);
    await place.call({ call: "serve", name, port: 80 });
    return place;
  }

  /** A container on the Engine's default bridge: masqueraded by the Engine's own rule. */
  async container(host: Host): Promise<Place> {
    const namespace = await this.#namespace(`c${host.name}`);
    await ip([
      `link add vethc netns ${host.namespace} type veth peer name eth0 netns ${namespace}`,
    ]);
    await ip(["link set vethc master docker0 up"], host.namespace);
    await ip(
      ["addr add 172.17.0.2/16 dev eth0", "link set eth0 up", "route add default via 172.17.0.1"],
      namespace,
    );
    return this.#place(namespace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      ...this.hosts.map((host) => host.killDaemon()),
      ...this.#places.map((place) => place.end()),
    ]);
    for (const namespace of this.#namespaces) await runTool("ip", ["netns", "del", namespace]);
    if (this.#directory !== "") await rm(this.#directory, { recursive: true, force: true });
  }

  async #build(): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), "weft-datapath-"));
    const lan = await this.#namespace("lan");
    await ip(["link add br0 type bridge", "link set br0 up"], lan);
    for (const name of NAMES) {
      const namespace = await this.#namespace(name);
      const host = new Host(name, namespace, join(this.#directory, name));
      this.#places.push(host.place);
      this.#hosts.set(name, host);
      await this.#attach(namespace, host.address);
      await engineFirewall(namespace);
    }
  }

  async #attach(namespace: string, address: string): Promise<void> {
    const port = `p${address.split(".").at(-1)}`;
    const lan = `${this.#prefix}-lan`;
    await ip([`link add ${port} netns ${lan} type veth peer name eth0 netns ${namespace}`]);
    await ip([`link set ${port} master br0 up`], lan);
    const addresses = [`${address}/24`, `${lan6(address)}/64 nodad`];
    const added = addresses.map((one) => `addr add dev eth0 ${one}`);
    await ip([...added, "link set eth0 up"], namespace);
  }

  async #namespace(name: string): Promise<string> {
    const namespace = `${this.#prefix}-${name}`;
    await ip([`netns add ${namespace}`]);
    this.#namespaces.push(namespace);
    await ip(["link set lo up"], namespace);
    return namespace;
  }

  #place(namespace: string): Place {
    const place = new Place(namespace);
    this.#places.push(place);
    return place;
  }
}

/** Removes what a killed test has left; its agents ended with it, as their stdin did. */
async function sweep(): Promise<void> {
  const { stdout } = await runTool("ip", ["netns", "list"]);
  for (const [namespace, pid] of stdout.matchAll(LEFT_BEHIND)) {
    if (!existsSync(`/proc/${pid}`)) await runTool("ip", ["netns", "del", namespace]);
  }
}

/** What an Engine with its defaults does to a host, as far as forwarded packets see it. */
async function engineFirewall(namespace: string): Promise<void> {
  await ip(
    ["link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up"],
    namespace,
  );
  // The kernel counts its own redirects against the rate of "port unreachable"; rows of a test follow faster.
  const settings = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.icmp.ratelimit=0",
  ];
  await inNamespace(namespace, ["sysctl", "-qw", ...settings]);
  await inNamespace(namespace, ["iptables-restore"], ENGINE_RULES);
}

const ENGINE_RULES = `*filter
:FORWARD DROP
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
`;

async function ip(lines: readonly string[], namespace?: string): Promise<void> {
  const where = namespace === undefined ? [] : ["-n", namespace];
  const { status, stderr } = await runTool(
    "ip",
    [...where, "-batch", "-"],
    `${lines.join("\n")}\n`,
  );
  if (status !== 0) throw new Error(`${lines.join("; ")}: ${stderr}`);
}

/** How many refusals and resets the kernel of a namespace has sent. */
export async function resetsSent({ namespace }: Place): Promise<number> {
  const listed = await inNamespace(namespace, ["cat", "/proc/net/snmp"]);
  const [names = [], values = []] = [...listed.matchAll(/^Tcp: (.*)$/gm)].map(([, words = ""]) =>
    words.split(" "),
  );
  return Number(values[names.indexOf("OutRsts")]);
}
