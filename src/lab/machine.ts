/**
 * One machine on the lab's LAN: its namespaces, what runs in it, and the faults it can have.
 * A client is a machine; a host is a machine with an Engine and a Weft daemon (host.ts).
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConflictError } from "../base/errors.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import { makeCgroups, removeCgroups } from "./cgroup.ts";
import { type Lan, type LanAddress, type LossDirection, ROUTER_IPV4 } from "./lan.ts";
import { Namespaces } from "./namespaces.ts";
import type { Place, SpawnOptions } from "./place.ts";
import { HOLDER_FILE, markOf } from "./places.ts";
import { type RunOptions, type RunResult, run, runOk, Service } from "./process.ts";
import { traced } from "./trace.ts";

export interface MachineInit {
  readonly labId: string;
  readonly name: string;
  readonly address: LanAddress;
  /** Sockets and logs; `run` in it is the machine's /run. */
  readonly runDir: string;
  /** What survives a crash: the Engine's and Weft's data. */
  readonly dataDir: string;
  readonly lan: Lan;
  /** Every machine of the lab, for /etc/hosts. */
  readonly neighbours: readonly Neighbour[];
  /** Further files, by their path under /etc, that every boot begins with. */
  readonly etc?: Readonly<Record<string, string>>;
}

export interface Neighbour {
  readonly name: string;
  readonly address: LanAddress;
}

export class Machine implements Place {
  readonly name: string;
  readonly address: LanAddress;
  readonly runDir: string;
  protected readonly init: MachineInit;
  #namespaces: Namespaces | undefined;
  #spawned = 0;

  constructor(init: MachineInit) {
    this.init = init;
    this.name = init.name;
    this.address = init.address;
    this.runDir = init.runDir;
  }

  /** Its address on the LAN; `ipv6` is its other one. */
  get ip(): string {
    return this.address.ipv4;
  }

  get ipv6(): string {
    return this.address.ipv6;
  }

  get isUp(): boolean {
    return this.#namespaces?.alive === true;
  }

  /** The process that holds its namespaces: `nsenter -t PID -m -u -i -n -p` is the machine's console. */
  get pid(): number {
    return this.namespaces.pid;
  }

  /** Where a path of the machine is seen from outside: /run/x as a short path, for sockets too. */
  path(inside: string): string {
    if (inside.startsWith("/run/")) return join(this.runDir, inside);
    if (inside.startsWith("/var/run/")) return join(this.runDir, inside.slice("/var".length));
    return join(`/proc/${this.pid}/root`, inside);
  }

  /** Switches it on: namespaces, file systems, LAN. What is in its data directory is still there. */
  async boot(): Promise<void> {
    if (this.isUp) throw new ConflictError(`machine ${this.name} is already up`);
    await traced(`${this.name}: boot`, async () => {
      const dirs = this.#emptyRun();
      const cgroups = makeCgroups(this.init.labId, this.name);
      const logFile = join(this.runDir, "boot.log");
      const { name: hostname } = this;
      this.#namespaces = await Namespaces.create({ hostname, cgroups, logFile, ...dirs });
      this.#writeMarks();
      this.#writeEtc();
      await this.init.lan.attach(this.name, this.#namespaces, this.address);
    });
  }

  /** Runs a program to its end in all the machine's namespaces; rejects only when it cannot run. */
  exec(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.namespaces.enter(argv), options);
  }

  /** Runs a program that must succeed; resolves with what it printed. */
  execOk(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    return runOk(this.namespaces.enter(argv), options);
  }

  /** Starts a program that runs until it is ended, or until the machine is. */
  spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<Service> {
    const name = options.name ?? `${(argv[0] ?? "").split("/").at(-1)}-${++this.#spawned}`;
    const logFile = this.logFile(name);
    const env = options.env ?? {};
    return Service.start(this.namespaces.enter(argv), { logFile, env, forks: true });
  }

  logFile(name: string): string {
    return join(this.runDir, `${name}.log`);
  }

  /** Gives it a second network until its next boot: eth1 with an address such as "10.7.0.100/24". */
  async addLink(cidr: string): Promise<void> {
    await this.init.lan.attachSecond(this.name, this.namespaces, cidr);
  }

  /** Gives eth0 another address, such as "192.168.99.150/24". */
  async addAddress(cidr: string): Promise<void> {
    const nodad = isOfIPv6(cidr) ? ["nodad"] : [];
    await this.execOk(["ip", "addr", "add", cidr, "dev", "eth0", ...nodad]);
  }

  async removeAddress(cidr: string): Promise<void> {
    await this.execOk(["ip", "addr", "del", cidr, "dev", "eth0"]);
  }

  /** Unplugs the cable: the machine loses its carrier and keeps running. */
  async cut(): Promise<void> {
    await this.init.lan.setLink(this.name, "down");
  }

  async mend(): Promise<void> {
    await this.init.lan.setLink(this.name, "up");
  }

  /** Loses this share of its packets on the LAN; 100 is a silent cut, 0 ends it. */
  async loss(percent: number, options: { readonly direction?: LossDirection } = {}): Promise<void> {
    await this.init.lan.setLoss(this.name, percent, options.direction ?? "both");
  }

  /** Power loss: off the LAN first, so that no dying process says goodbye; then everything is killed. */
  async crash(): Promise<void> {
    await traced(`${this.name}: crash`, async () => {
      await this.init.lan.detach(this.name);
      await this.halt();
    });
  }

  /** Kills all that runs in it and removes its namespaces. Its directories stay. */
  async halt(): Promise<void> {
    await this.#namespaces?.destroy();
    this.#namespaces = undefined;
    removeCgroups(this.init.labId, this.name);
  }

  protected get namespaces(): Namespaces {
    if (this.#namespaces === undefined) throw new ConflictError(`machine ${this.name} is down`);
    return this.#namespaces;
  }

  /** /run is empty at every boot, as on a real machine; logs and data stay. */
  #emptyRun() {
    const { runDir: own, dataDir } = this.init;
    const dirs = {
      runDir: join(own, "run"),
      layersDir: join(own, "layers"),
      dockerDir: join(dataDir, "docker"),
      weftDir: join(dataDir, "weft"),
    };
    rmSync(dirs.runDir, { recursive: true, force: true });
    for (const dir of Object.values(dirs)) mkdirSync(dir, { recursive: true });
    mkdirSync(join(dirs.runDir, "lock"));
    return dirs;
  }

  /** For a sweep after our death, and for people: `sh /run/weft-lab/ID/n1/enter ip address`. */
  #writeMarks(): void {
    writeFileSync(join(this.runDir, HOLDER_FILE), JSON.stringify(markOf(this.pid)));
    const console = this.namespaces.enter([]).join(" ");
    writeFileSync(join(this.runDir, "enter"), `exec ${console} "\${@:-bash}"\n`);
  }

  #writeEtc(): void {
    const etc = this.path("/etc");
    const neighbours = this.init.neighbours.flatMap(({ name, address }) => [
      `${address.ipv4}\t${name}`,
      `${address.ipv6}\t${name}`,
    ]);
    const hosts = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost", ...neighbours];
    const files = {
      hostname: `${this.name}\n`,
      hosts: `${hosts.join("\n")}\n`,
      // The LAN's router answers no DNS and says so at once: names fail without a wait.
      "resolv.conf": `nameserver ${ROUTER_IPV4}\n`,
      ...this.init.etc,
    };
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(dirname(join(etc, file)), { recursive: true });
      rmSync(join(etc, file), { force: true }); // it may be a link into the real machine's /run
      writeFileSync(join(etc, file), content);
    }
  }
}
