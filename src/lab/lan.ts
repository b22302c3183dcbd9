/**
 * The lab's network: a bridge in a namespace of its own, one port per machine, and the faults that
 * a switch can have. The bridge has an address, so that machines have a default route as real ones do.
 */
import { InvalidParameterError } from "../base/errors.ts";
import { Namespaces } from "./namespaces.ts";
import { run, runOk } from "./process.ts";

/** What a machine is called and answers to on the LAN. */
export interface LanAddress {
  readonly ipv4: string;
  readonly ipv6: string;
}

export const LAN_PREFIX_IPV4 = "192.168.99";
export const LAN_PREFIX_IPV6 = "fd99::";
/** The switch's own address, where the lab's services are. */
export const ROUTER_IPV4 = `${LAN_PREFIX_IPV4}.1`;
const ROUTER_IPV6 = `${LAN_PREFIX_IPV6}1`;
const IPV4_LENGTH = 24;
const IPV6_LENGTH = 64;

/** The address of the machine with this last number: 100 is 192.168.99.100 and fd99::100. */
export function lanAddress(number: number): LanAddress {
  return { ipv4: `${LAN_PREFIX_IPV4}.${number}`, ipv6: `${LAN_PREFIX_IPV6}${number}` };
}

/** As the machine sees it: "to" loses what others send it, "from" what it sends. */
export const LOSS_DIRECTIONS = ["to", "from", "both"] as const;
export type LossDirection = (typeof LOSS_DIRECTIONS)[number];

interface Loss {
  readonly percent: number;
  readonly direction: LossDirection;
}

export class Lan {
  readonly #network: Namespaces;
  readonly #losses = new Map<string, Loss>();

  private constructor(network: Namespaces) {
    this.#network = network;
  }

  static async create(logFile: string): Promise<Lan> {
    const lan = new Lan(await Namespaces.createNetwork("lan", logFile));
    // The router refuses what nobody serves, such as DNS, each time: a limit would make names fail slowly.
    await runOk(lan.enter(["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0"]));
    await lan.#ip([
      "link set lo up",
      "link add br0 type bridge",
      `addr add ${ROUTER_IPV4}/${IPV4_LENGTH} dev br0`,
      `addr add ${ROUTER_IPV6}/${IPV6_LENGTH} dev br0 nodad`,
      "link set br0 up",
    ]);
    return lan;
  }

  /** Plugs a machine in: eth0 with its addresses and a default route, the same MAC at every boot. */
  async attach(machine: string, namespaces: Namespaces, address: LanAddress): Promise<void> {
    const port = portOf(machine);
    const mac = macOf(address);
    await this.#ip([
      `link add ${port} type veth peer name eth0 address ${mac} netns ${namespaces.pid}`,
      `link set ${port} master br0 up`,
    ]);
    const commands = [
      "link set lo up",
      `addr add ${address.ipv4}/${IPV4_LENGTH} broadcast + dev eth0`,
      `addr add ${address.ipv6}/${IPV6_LENGTH} dev eth0 nodad`,
      "link set eth0 up",
      `route add default via ${ROUTER_IPV4}`,
      `route add default via ${ROUTER_IPV6} dev eth0`,
    ];
    const argv = namespaces.enterNetwork(["ip", "-batch", "-"]);
    await runOk(argv, { stdin: commands.join("\n") });
  }

  /** Plugs a machine into a switch of its own kind as well: eth1 with this address, and no route but to the others there. */
  async attachSecond(machine: string, namespaces: Namespaces, cidr: string): Promise<void> {
    const port = `s-${machine}`;
    const there = await run(this.enter(["ip", "link", "show", "br1"]));
    await this.#ip([
      ...(there.code === 0 ? [] : ["link add br1 type bridge", "link set br1 up"]),
      `link add ${port} type veth peer name eth1 netns ${namespaces.pid}`,
      `link set ${port} master br1 up`,
    ]);
    const commands = [`addr add ${cidr} dev eth1`, "link set eth1 up"];
    await runOk(namespaces.enterNetwork(["ip", "-batch", "-"]), { stdin: commands.join("\n") });
  }

  /** Pulls the plug for good: the port is gone at once, and nothing says goodbye. */
  async detach(machine: string): Promise<void> {
    await this.#ip([`link del ${portOf(machine)}`]);
    if (this.#losses.delete(machine)) await this.#applyLosses();
  }

  async setLink(machine: string, state: "up" | "down"): Promise<void> {
    await this.#ip([`link set ${portOf(machine)} ${state}`]);
  }

  /** Loses this share of a machine's packets at random; 0 ends it. */
  async setLoss(machine: string, percent: number, direction: LossDirection): Promise<void> {
    if (!Number.isInteger(percent) || percent < 0 || percent > 100) {
      throw new InvalidParameterError(`loss is a whole percentage from 0 to 100, not ${percent}`);
    }
    if (percent === 0) this.#losses.delete(machine);
    else this.#losses.set(machine, { percent, direction });
    await this.#applyLosses();
  }

  /** The command line that runs `argv` on the switch itself. */
  enter(argv: readonly string[]): string[] {
    return this.#network.enterNetwork(argv);
  }

  async destroy(): Promise<void> {
    await this.#network.destroy();
  }

  async #applyLosses(): Promise<void> {
    const rules = [...this.#losses].flatMap(([machine, loss]) => lossRules(machine, loss));
    const ruleset = [
      "table bridge faults",
      "delete table bridge faults",
      "table bridge faults {",
      "chain arriving {",
      "type filter hook prerouting priority 0",
      ...rules.filter((rule) => rule.startsWith("iifname")),
      "}",
      "chain leaving {",
      "type filter hook postrouting priority 0",
      ...rules.filter((rule) => rule.startsWith("oifname")),
      "}",
      "}",
    ];
    await runOk(this.enter(["nft", "-f", "-"]), { stdin: ruleset.join("\n") });
  }

  async #ip(commands: readonly string[]): Promise<void> {
    await runOk(this.enter(["ip", "-batch", "-"]), { stdin: commands.join("\n") });
  }
}

function lossRules(machine: string, { percent, direction }: Loss): string[] {
  const drop = `"${portOf(machine)}" numgen random mod 100 <= ${percent - 1} drop`;
  const from = direction === "to" ? [] : [`iifname ${drop}`];
  const to = direction === "from" ? [] : [`oifname ${drop}`];
  return [...from, ...to];
}

function portOf(machine: string): string {
  return `e-${machine}`;
}

/** Locally administered, from the address, so that neighbours' caches stay right over a reboot. */
function macOf({ ipv4 }: LanAddress): string {
  const bytes = ipv4.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
  return `02:00:${bytes.join(":")}`;
}
