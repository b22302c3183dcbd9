/**
 * The effectful shell: reads the kernel's state back, plans, applies. The kernel forwards whether this
 * runs or not; when it starts again it adopts what is there and changes nothing that is right.
 */
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { SystemError, UnavailableError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { Meters } from "../base/meters.ts";
import type { Conntrack } from "./conntrack/conntrack.ts";
import type { FlowMeter } from "./conntrack/flow-meter.ts";
import type { Drift } from "./describe.ts";
import { driftsOf } from "./describe.ts";
import type { KernelState } from "./desired.ts";
import { desired, EMPTY_STATE } from "./desired.ts";
import { meshMTU } from "./desired-network.ts";
import { DriftLog } from "./drift-log.ts";
import type { HostFacts } from "./facts.ts";
import { SYSCTL_COUNT_FLOWS, SYSCTL_FILTER_ALL } from "./facts.ts";
import { type FirewallsFound, HostFirewalls } from "./host-firewalls.ts";
import { HostSettings } from "./host-settings.ts";
import { type HostTrace, hostTrace, type TraceQuestion } from "./host-trace.ts";
import { type KernelMesh, kernelMesh } from "./inspect.ts";
import { linkIndexes } from "./ip/link-index.ts";
import { isLink, linkNames, linksThere } from "./ip/links.ts";
import type { AddressHolder } from "./ip/read.ts";
import { IPV6_MTU_MIN } from "./ipv6.ts";
import type { Uplink } from "./kernel-events.ts";
import { KernelExecutor } from "./kernel-executor.ts";
import { decodeKnownConnections, knownConnectionsArgs } from "./known-connection.ts";
import type { MarkLayout } from "./mark.ts";
import { markLayout } from "./mark.ts";
import { LINK, TASK_LINK_PREFIX, vxlanOverhead } from "./names.ts";
import { narrow, type ViewOnHost } from "./narrow.ts";
import type { Nft } from "./nft/nft.ts";
import { FastPath } from "./overlay/fast-path.ts";
import { OverlayDatapath, type OverlaysFound } from "./overlay/overlay-datapath.ts";
import { sandboxEntrance } from "./overlay/sandbox-entrance.ts";
import { Sandboxes } from "./overlay/sandboxes.ts";
import { placeInOverlay } from "./overlay/view.ts";
import type { Plan } from "./plan.ts";
import { isEmpty, plan, sizeOf } from "./plan.ts";
import { type PortTraffic, portTraffic } from "./port-traffic.ts";
import { type InterfaceAddresses, interfacesNamed } from "./publish-places.ts";
import type { KernelReading } from "./read-back.ts";
import { readKernel } from "./read-back.ts";
import type { RunTool } from "./run.ts";
import { ServiceIndex } from "./service-index.ts";
import { readSysctl, readSysctls } from "./sysctl.ts";
import { Turns } from "./turns.ts";
import { type MeshView, tunnelAddressOf } from "./view.ts";

export interface DatapathComponents {
  readonly log: Logger;
  readonly nft: Nft;
  readonly run: RunTool;
  readonly conntrack: Conntrack;
  /** Counts what ports carry; nobody does when absent. */
  readonly flows?: FlowMeter;
  /** The system's own when absent. */
  readonly clock?: Clock;
  readonly meters?: Meters;
}

export interface DatapathInit {
  /** The lowest of Weft's fifteen mark bits. */
  readonly markShift?: number;
  /** A file that lives as long as the host is up: remembers what reset must take back. */
  readonly memoPath?: string;
  /**
   * Whether IPv4 forwarding may be turned on now. An Engine that finds it on when it starts leaves its FORWARD
   * policy at ACCEPT, and the host would route between all its links: so not before the Engine is up.
   */
  readonly mayForward?: () => boolean;
  /** The containers that have the virtual IPs of their networks are others now; `readySandboxes` says which. */
  readonly onSandboxes?: () => void;
}

export interface AppliedReport {
  readonly revision: number;
  /** Commands that it took; 0 when the kernel had it already. */
  readonly changes: number;
  /** MTU of the overlay, for tasks' links. */
  readonly mtu: number;
  /** Whether the mesh has IPv6 on this host. */
  readonly ipv6: boolean;
  /** What keeps the mesh from working on this host and is not Weft's to change, in plain words. */
  readonly problems: readonly string[];
  /** Of the interfaces that ports are answered at. */
  readonly interfaces: InterfaceAddresses;
}

/** What the kernel holds, as far as is known. */
interface Belief {
  /** What was applied last; undefined when the state was read back. */
  readonly on: ViewOnHost | undefined;
  /** As read back; or what was applied last, in which services that did not change are left out. */
  readonly state: KernelState;
}

/** What one look at the host has found. */
interface HostLook {
  readonly kernel: KernelReading;
  readonly overlays: OverlaysFound;
  readonly firewalls: FirewallsFound;
}

const DEFAULT_MEMO_PATH = "/run/weft/datapath.json";
export class Datapath {
  readonly #log: Logger;
  readonly #nft: Nft;
  readonly #run: RunTool;
  readonly #flows: FlowMeter | undefined;
  readonly #mark: MarkLayout;
  readonly #settings: HostSettings;
  readonly #executor: KernelExecutor;
  readonly #clock: Clock;
  readonly #meters: Meters;
  readonly #driftLog: DriftLog;
  readonly #firewalls: HostFirewalls;
  readonly #sandboxes: Sandboxes;
  readonly #overlays: OverlayDatapath;
  readonly #mayForward: () => boolean;
  readonly #index = new ServiceIndex();
  /** What the kernel is believed to hold; undefined when it must be read back. */
  #actual: Belief | undefined;
  #view: MeshView | undefined;
  #holders: ReadonlyMap<string, AddressHolder> = new Map();
  #addresses: InterfaceAddresses = new Map();
  /** The interfaces that the view names, and their addresses as they were applied last. */
  #published: ReadonlySet<string> = new Set();
  #interfaces: InterfaceAddresses = new Map();
  #onInterfaces: () => void = () => {};
  #hindrances: readonly string[] = [];
  readonly #turns = new Turns();

  constructor(
    { log, nft, run, conntrack, flows, clock, meters }: DatapathComponents,
    init: DatapathInit = {},
  ) {
    this.#log = log.child("datapath");
    this.#clock = clock ?? systemClock;
    this.#driftLog = new DriftLog({ clock: this.#clock, log: this.#log });
    this.#meters = meters ?? new Meters();
    this.#nft = nft;
    this.#run = run;
    this.#flows = flows;
    this.#firewalls = new HostFirewalls({ nft, run });
    this.#mayForward = init.mayForward ?? (() => true);
    this.#sandboxes = new Sandboxes({
      entrance: sandboxEntrance(run, this.#clock),
      clock: this.#clock,
      log: this.#log,
      ...(init.onSandboxes === undefined ? {} : { onReady: init.onSandboxes }),
    });
    const changing = (work: () => Promise<void>) => {
      this.#turns.noteChange();
      return this.#executor.changing(work);
    };
    this.#overlays = new OverlayDatapath({
      nft,
      run,
      sandboxes: this.#sandboxes,
      fastPath: new FastPath({
        ...{ nft, log: this.#log, changing },
        indexesOf: (names) => linkIndexes(run, names),
      }),
      changing,
    });
    this.#mark = markLayout(init.markShift);
    this.#settings = new HostSettings(init.memoPath ?? DEFAULT_MEMO_PATH);
    this.#executor = new KernelExecutor({
      ...{ log: this.#log, nft, run, conntrack, flows },
      ...{ settings: this.#settings, clock: this.#clock, meters: this.#meters },
    });
  }

  /** Reads what the kernel holds of Weft's, so that the first `apply` changes only what differs. */
  async adopt(): Promise<void> {
    await this.#turns.take(() => this.#readBack());
  }

  /** Network namespaces' files of the containers whose kernel knows the virtual IPs of all their networks. */
  get readySandboxes(): ReadonlySet<string> {
    return this.#sandboxes.ready;
  }

  /** Waits for no more containers; what the kernel holds stays. */
  async stop(): Promise<void> {
    await this.#sandboxes.stop();
  }

  /** When it last changed the kernel, on the monotonic clock; Infinity while it does. */
  get changedAt(): number {
    return this.#executor.changedAt;
  }

  /** What of the host the mesh hangs on; undefined until a view was applied. */
  get uplink(): Uplink | undefined {
    if (this.#view === undefined) return undefined;
    const address = tunnelAddressOf(this.#view.self);
    return { address, link: this.#holders.get(address)?.link, published: this.#published };
  }

  /** Tells from now on when an audit found other addresses at interfaces that ports are answered at. */
  watchInterfaces(onChange: () => void): void {
    this.#onInterfaces = onChange;
  }

  /**
   * Addresses of the view's local tasks whose link is not there, in an overlay network as `placeInOverlay` has them.
   * Cheap, for it is asked often.
   */
  async lostAddresses(): Promise<readonly string[]> {
    const { localLinks = [], overlayLinks = [] } = this.#view ?? {};
    if (localLinks.length + overlayLinks.length === 0) return [];
    const links = linkNames();
    const isLost = ({ link }: { readonly link: string }) => !links.has(link);
    return [
      ...localLinks.filter(isLost).map(({ address }) => address),
      ...overlayLinks.filter(isLost).map(({ vni, address }) => placeInOverlay(vni, address)),
    ];
  }

  /** Whether a setting is no longer as applied. Reads a file for each, and nothing while a change is under way. */
  haveSettingsDrifted(): boolean {
    const wanted = this.#actual?.state.network.sysctls;
    if (wanted === undefined || this.#view === undefined) return false;
    if (this.#firewalls.mayHaveDrifted()) return true;
    return [...readSysctls(wanted.keys())].some(([path, value]) => wanted.get(path) !== value);
  }

  /** Resolves when the kernel has it: the rules all or none of them, and no packet lost on the way. */
  async apply(view: MeshView): Promise<AppliedReport> {
    return await this.#turns.take(async () => {
      this.#view = view;
      this.#watchPublished(view);
      if (this.#actual === undefined) await this.#readBack();
      if (!this.#firewalls.isMended) await this.#mendFirewalls();
      try {
        return await this.#applyOnce(view);
      } catch (error) {
        this.#meters.applyFailures.add();
        // Somebody changed what is ours, or a link went while we worked: look again, once.
        this.#log.warn("could not apply, reading back", { error, revision: view.revision });
        await this.#readBack();
        return await this.#applyOnce(view);
      }
    });
  }

  /** News of an interface that the view did not name before was not listened to: it is looked at. */
  #watchPublished(view: MeshView): void {
    const named = this.#interfacesOf(view);
    if (![...named].every((name) => this.#published.has(name))) this.#actual = undefined;
    this.#published = named;
  }

  /** Compares the kernel with the view applied last, mends what differs, and says what it was. */
  async audit(): Promise<Drift[]> {
    if (this.#view === undefined) return [];
    return await this.#turns.judge(
      () => this.#look(),
      async (seen) => {
        try {
          return await this.#auditOnce(seen);
        } catch (error) {
          // Whoever does the damage was not done yet: look again, once.
          this.#log.debug("could not mend, reading back", { error });
          return await this.#auditOnce(await this.#look());
        }
      },
    );
  }

  async #auditOnce(seen: HostLook): Promise<Drift[]> {
    const view = this.#view;
    if (view === undefined) return [];
    const reading = this.#believe(seen);
    const actual = reading.state;
    const on = { view, facts: await this.#facts(view, actual, reading.links) };
    const wanted = this.#desired(on);
    const sysctls = readSysctls(wanted.network.sysctls.keys());
    const network = { ...actual.network, sysctls };
    const mending = plan({ ...actual, network }, wanted);
    const found = this.#movedFrom(on.facts) ?? on.facts;
    const isMoved = found !== on.facts;
    // What follows an address is nobody's damage.
    const damage = isMoved
      ? plan({ ...actual, network }, this.#desired({ view, facts: found }))
      : mending;
    const mended = [...driftsOf(damage), ...(await this.#mendFirewalls())];
    await this.#execute(mending, { on, state: wanted });
    if (isMoved) this.#onInterfaces();
    const mtu = tunnelMTU(view, on.facts.uplinkMTU);
    const drifts = [...mended, ...(await this.#overlays.audit(view, mtu, seen.overlays))];
    this.#meters.audits.add();
    this.#meters.repairs.add(drifts.length);
    this.#driftLog.add(drifts);
    this.#tellHindrances(view, on.facts);
    return drifts;
  }

  /** The facts with the addresses that were applied last, where published interfaces have others now. */
  #movedFrom(facts: HostFacts): HostFacts | undefined {
    const interfaces = this.#interfaces;
    return isDeepStrictEqual(interfaces, facts.interfaces) ? undefined : { ...facts, interfaces };
  }

  /** What the kernel holds of the mesh, read back. */
  async inspect(): Promise<KernelMesh> {
    const [reading, flows] = await Promise.all([
      this.#turns.take(() => readKernel(this.#nft, this.#run)),
      this.#run("conntrack", ["-L", "-p", "tcp"]),
    ]);
    return kernelMesh(this.#view?.revision ?? 0, reading.state, flows.stdout);
  }

  /** What each published port has carried by this node, to each of its endpoints; undefined where nobody counts. */
  async traffic(): Promise<PortTraffic | undefined> {
    if (this.#flows === undefined) return undefined;
    const totals = await this.#flows.totals();
    const view = this.#view;
    return {
      ports: view === undefined ? [] : portTraffic(view, totals),
      losses: this.#flows.losses,
    };
  }

  /** What the kernel, as it is now, does with such a packet, and what it should do. */
  async trace(question: TraceQuestion): Promise<HostTrace> {
    const view = this.#view;
    if (view === undefined) {
      throw new UnavailableError("this node's kernel has not been brought to the mesh yet");
    }
    const { state, links, holders } = await this.#turns.take(() =>
      readKernel(this.#nft, this.#run),
    );
    const facts = await this.#facts(view, state, links);
    const wanted = this.#desired({ view, facts });
    const { interfaces } = facts;
    const traced = hostTrace(
      { view, actual: state, wanted, addresses: [...holders.keys()], interfaces },
      question,
    );
    const args = knownConnectionsArgs(question);
    if (args === undefined) return traced;
    const { stdout } = await this.#run("conntrack", args);
    return { ...traced, known: decodeKnownConnections(stdout) };
  }

  /** Takes every trace of Weft's off the host: tables, links, routes, rules, and settings that it made. */
  async reset(): Promise<void> {
    await this.#turns.take(async () => {
      this.#turns.noteChange();
      const { state, links } = await this.#readBack();
      const taskLinks = [...links].filter((name) => name.startsWith(TASK_LINK_PREFIX));
      await this.#executor.clear(plan(state, EMPTY_STATE), taskLinks, [...state.endpoints.keys()]);
      await this.#overlays.reset();
      await this.#firewalls.reset();
      await this.#settings.restore();
      this.#actual = undefined;
      this.#view = undefined;
    });
  }

  async #applyOnce(view: MeshView): Promise<AppliedReport> {
    const actual = this.#actual ?? { on: undefined, state: EMPTY_STATE };
    const links = linksThere(view.localLinks.map(({ link }) => link));
    const facts = await this.#facts(view, actual.state, links);
    const { before, after } = this.#difference(actual, { view, facts });
    const changing = plan(before, after);
    await this.#execute(changing, { on: { view, facts }, state: after });
    const mtu = tunnelMTU(view, facts.uplinkMTU);
    const changes = sizeOf(changing) + (await this.#overlays.apply(view, mtu));
    if (changes > 0) this.#log.debug("applied", { revision: view.revision, changes });
    return {
      revision: view.revision,
      changes,
      mtu,
      ipv6: facts.ipv6 && view.subnet6 !== undefined,
      problems: this.#problems(view, facts),
      interfaces: facts.interfaces,
    };
  }

  /** After an apply, what the two views do not have in common: thousands of services cost what changed of them. */
  #difference(actual: Belief, wanted: ViewOnHost): { before: KernelState; after: KernelState } {
    if (actual.on === undefined) return { before: actual.state, after: this.#desired(wanted) };
    const { before, after } = narrow(actual.on, wanted, this.#index);
    return {
      before: this.#desired({ ...actual.on, view: before }),
      after: this.#desired({ ...wanted, view: after }),
    };
  }

  #desired({ view, facts }: ViewOnHost): KernelState {
    return desired(view, facts, this.#mark);
  }

  #endpointsOf({ on, state }: Belief): KernelState["endpoints"] {
    return on === undefined ? state.endpoints : this.#desired(on).endpoints;
  }

  async #execute(changing: Plan, wanted: Belief): Promise<void> {
    // Until all of it is done, nobody knows what the kernel holds.
    this.#actual = undefined;
    if (!isEmpty(changing) || this.#executor.owes) {
      this.#turns.noteChange();
      await this.#executor.carryOut(changing);
    }
    this.#actual = wanted;
    this.#interfaces = wanted.on?.facts.interfaces ?? this.#interfaces;
  }

  async #readBack(): Promise<KernelReading> {
    return this.#believe(await this.#look());
  }

  /** All that audits compare, as it is now. Changes nothing here: what it found may be of the past once it has. */
  async #look(): Promise<HostLook> {
    const kernel = await readKernel(this.#nft, this.#run);
    const overlays = await this.#overlays.look(kernel.listing);
    return { kernel, overlays, firewalls: await this.#firewalls.look() };
  }

  /** This is how things are now. */
  #believe({ kernel: found, firewalls }: HostLook): KernelReading {
    // Which of the endpoints drain, and which have lost their link and with it the route, is only known here.
    const endpoints = this.#actual && this.#endpointsOf(this.#actual);
    const reading =
      endpoints === undefined ? found : { ...found, state: { ...found.state, endpoints } };
    this.#actual = { on: undefined, state: reading.state };
    this.#holders = reading.holders;
    this.#addresses = reading.addresses;
    this.#firewalls.believe(firewalls);
    return reading;
  }

  async #mendFirewalls(): Promise<Drift[]> {
    this.#turns.noteChange();
    return await this.#firewalls.mend();
  }

  /** An address that is away for a while (a new lease, a link taken down) does not keep the rest from being right. */
  async #facts(
    view: MeshView,
    actual: KernelState,
    links: ReadonlySet<string>,
  ): Promise<HostFacts> {
    const tunnel = actual.network.links.get(LINK);
    const address = tunnelAddressOf(view.self);
    const uplinkMTU =
      this.#holders.get(address)?.mtu ??
      (tunnel === undefined ? undefined : tunnel.mtu + vxlanOverhead(address));
    if (uplinkMTU === undefined) throw new SystemError(noHolder(view));
    const isToForward = view.subnet6 !== undefined;
    const { isEnabled, ...ipv6 } = await this.#settings.readIPv6(isLink, isToForward);
    return {
      uplinkMTU,
      links,
      filtersPaths: readSysctl(SYSCTL_FILTER_ALL) !== "0",
      forwarding: this.#mayForward(),
      canCount: readSysctl(SYSCTL_COUNT_FLOWS) !== undefined,
      ipv6: isEnabled && meshMTU(view, uplinkMTU) >= IPV6_MTU_MIN,
      ...ipv6,
      filtersPaths6: this.#firewalls.filtersPaths6,
      interfaces: this.#publishedAddresses(view),
    };
  }

  #interfacesOf({ services, hostPorts }: MeshView): ReadonlySet<string> {
    this.#index.follow(services);
    return new Set([...this.#index.interfaces.keys(), ...interfacesNamed(hostPorts)]);
  }

  #publishedAddresses(view: MeshView): InterfaceAddresses {
    const found = [...this.#interfacesOf(view)].flatMap((name) => {
      const addresses = this.#addresses.get(name);
      return addresses === undefined ? [] : [[name, addresses] as const];
    });
    return new Map(found);
  }

  #problems(view: MeshView, facts: HostFacts): string[] {
    const absent = view.localLinks.filter((local) => !facts.links.has(local.link));
    return [
      ...absent.map((local) => `link ${local.link} of task address ${local.address} is not there`),
      ...this.#tellHindrances(view, facts),
    ];
  }

  /** What keeps the whole mesh from working here, said in the log when it begins. */
  #tellHindrances(view: MeshView, facts: HostFacts): readonly string[] {
    const hindrances = [
      ...(this.#holders.has(tunnelAddressOf(view.self)) ? [] : [noHolder(view)]),
      ...(facts.forwarding ? [] : [FORWARDING_WAITS]),
      ...(facts.ipv6 || view.subnet6 === undefined ? [] : [NO_IPV6]),
      ...this.#firewalls.problems(),
    ];
    for (const problem of hindrances) {
      if (!this.#hindrances.includes(problem)) {
        this.#log.warn("the mesh is hindered on this host", { problem });
      }
    }
    this.#hindrances = hindrances;
    return hindrances;
  }
}

const FORWARDING_WAITS =
  "IPv4 forwarding is left off until the Docker Engine is up: then the Engine turns it on and drops what is not meant to be forwarded";

const NO_IPV6 =
  "the mesh has no IPv6 on this host: it is turned off (net.ipv6.conf.all.disable_ipv6), or the tunnel's MTU is below IPv6's 1280 bytes; IPv6 clients are relayed to IPv4 and are seen as this node";

function tunnelMTU(view: MeshView, uplinkMTU: number): number {
  return uplinkMTU - vxlanOverhead(tunnelAddressOf(view.self));
}

function noHolder(view: MeshView): string {
  return `no link of this host has ${tunnelAddressOf(view.self)}, which its peers know it by`;
}
