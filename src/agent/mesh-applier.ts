/**
 * Brings the node's kernel to what the managers told: holds the ports, applies the view, then says which
 * revision the kernel has. One pass at a time; whatever changes meanwhile makes one more.
 */
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { PortProblem } from "../cluster/objects.ts";
import type { HostTrace, TraceQuestion } from "../datapath/host-trace.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import type { PortTraffic } from "../datapath/port-traffic.ts";
import type { InterfaceAddresses } from "../datapath/publish-places.ts";
import type { MeshView } from "../datapath/view.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import { type CorrectedMesh, correctedMesh, type EndpointOverrides } from "./corrected-mesh.ts";
import type { KeeperLink } from "./keeper-link.ts";
import { goneEndpoints, meshPortsOf, meshView, placelessPorts } from "./mesh-view.ts";
import { type NameSet, networkNames, type ZoneInit, zoneNames } from "./names.ts";
import type { NodePorts } from "./node-ports.ts";
import { inNetworkOnNode, onNode } from "./on-node.ts";

/** A pass that failed is tried again so soon: the keeper, or a table that somebody holds, is away for moments. */
const RETRY_MS = 500;

/** What the datapath says of the host when it has applied a view. */
export interface MeshApplied {
  /** Whether the mesh has IPv6 here. */
  readonly ipv6: boolean;
  /** Addresses of the interfaces that ports are answered at; none when absent. */
  readonly interfaces?: InterfaceAddresses;
}

/** The kernel of this node. */
export interface MeshDatapath {
  /** Resolves when the kernel has all of the view. */
  apply(view: MeshView): Promise<MeshApplied>;
  inspect(): Promise<KernelMesh>;
  trace(packet: TraceQuestion): Promise<HostTrace>;
  /** What published ports have carried by this node; undefined where nobody counts. */
  traffic(): Promise<PortTraffic | undefined>;
  /** Looks whether the kernel still has the view applied last, and mends what differs. */
  audit(): Promise<unknown>;
  /** Addresses of the view's local tasks whose link is not there. */
  lostAddresses(): Promise<readonly string[]>;
  /** Tells from now on when interfaces that ports are answered at have other addresses. */
  watchInterfaces?(onChange: () => void): void;
}

export interface MeshApplierComponents {
  readonly nodeID: string;
  readonly datapath: MeshDatapath;
  readonly link: KeeperLink;
  readonly ports: NodePorts;
  readonly zone: ZoneInit;
  /** Whether a local task serves this target port, as "tcp/80", over IPv6 too. */
  readonly serves6: (taskID: string, key: string) => boolean;
  readonly log: Logger;
  readonly onApplied: (revision: number) => void;
  readonly onPortProblems: (problems: readonly PortProblem[]) => void;
  /** Networks of this host's addresses at which ports are answered whose service does not say; all when empty. */
  readonly publishDefault: readonly string[];
  /** Local addresses that the kernel routes to have changed. */
  readonly onReachable: () => void;
  /** What the nodes themselves say of tasks, whatever managers have told. */
  readonly overrides?: () => EndpointOverrides;
  /** Tasks of this node that managers still tell as endpoints and that are none any more. */
  readonly onGone?: (taskIDs: readonly string[]) => void;
}

export class MeshApplier implements Startable {
  readonly #components: MeshApplierComponents;
  readonly #loop: Reconciler;
  #mesh: MeshConfig | undefined;
  #reachable: ReadonlySet<string> = new Set();
  /** Local tasks. */
  #live: ReadonlySet<string> = new Set();
  #appliedRevision: number | undefined;
  #ipv6: boolean | undefined;
  /** A mesh came that was not confirmed yet, be it the one that the kernel has: each session asks anew. */
  #owesConfirmation = false;
  #problems: readonly PortProblem[] = [];
  /** Ports that are answered at interfaces which this host has not. */
  #placeless: readonly PortProblem[] = [];

  constructor(components: MeshApplierComponents) {
    this.#components = components;
    components.datapath.watchInterfaces?.(() => this.markDirty());
    this.#loop = new Reconciler({
      pass: () => this.#pass(),
      onError: (error) => components.log.warn("the mesh is not applied", { error }),
      retryMs: RETRY_MS,
    });
  }

  get mesh(): MeshConfig | undefined {
    return this.#mesh;
  }

  /** The endpoint revision that the kernel has; undefined until a view was applied. */
  get appliedRevision(): number | undefined {
    return this.#appliedRevision;
  }

  get problems(): readonly PortProblem[] {
    return this.#problems;
  }

  start(): void {
    this.markDirty();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  markDirty(): void {
    this.#loop.markDirty();
  }

  setMesh(mesh: MeshConfig): void {
    this.#mesh = mesh;
    this.#owesConfirmation = true;
    this.markDirty();
  }

  /** Whether tasks can have IPv6 here; undefined until a view was applied. */
  get ipv6(): boolean | undefined {
    return this.#ipv6;
  }

  /** Whether the kernel routes to this address of a local task. */
  isReachable(address: string): boolean {
    return this.#reachable.has(address);
  }

  /** Whether the kernel leads new connections to this local task. */
  isLive(taskID: string): boolean {
    return this.#live.has(taskID);
  }

  idle(): Promise<void> {
    return this.#loop.idle();
  }

  async #pass(): Promise<void> {
    const { link, ports } = this.#components;
    if (this.#mesh === undefined || link.endpoints === undefined) return;
    ports.setMeshPorts(meshPortsOf(this.#mesh));
    // Without the keeper the endpoints go on with the ports that are held; the rest is for the next try.
    const [held] = await Promise.allSettled([ports.hold()]);
    this.#tellProblems();
    const applied = ports.wanted();
    if (!(await this.#apply(this.#mesh))) return;
    if (held.status === "rejected") throw held.reason;
    await ports.settle(applied);
  }

  /** Whether there was a view to apply. */
  async #apply(mesh: MeshConfig): Promise<boolean> {
    const { nodeID, link, ports, datapath, overrides, onGone } = this.#components;
    const endpoints = link.endpoints ?? [];
    const corrected = correctedMesh(mesh, overrides?.() ?? new Map());
    const view = meshView({
      nodeID,
      mesh: corrected,
      hostPorts: ports.hostPorts(this.#components.serves6),
      endpoints,
      heldPorts: link.heldKeys(),
      publishDefault: this.#components.publishDefault,
    });
    if (view === undefined) return false;
    onGone?.(goneEndpoints({ nodeID, mesh, endpoints }));
    const { ipv6, interfaces = new Map() } = await datapath.apply(view);
    this.#ipv6 = ipv6;
    this.#placeless = placelessPorts(view, interfaces);
    this.#tellProblems();
    // After the rules, so that no name leads where there is no way; before it is confirmed that nothing leads to a task that drains.
    const [named] = await Promise.allSettled([link.tellNames(() => this.#names(corrected, view))]);
    this.#reachable = new Set(view.localLinks.map(({ address }) => address));
    this.#live = liveTasks(view);
    this.#components.onReachable();
    this.#appliedRevision = view.revision;
    // One that came meanwhile is confirmed by the next pass; what waits for this one need not wait for that.
    if (this.#owesConfirmation) this.#components.onApplied(view.revision);
    if (mesh === this.#mesh) this.#owesConfirmation = false;
    // As with ports: a keeper that is away answers nobody, and is told with the next try.
    if (named.status === "rejected") throw named.reason;
    return true;
  }

  #names(mesh: CorrectedMesh, view: MeshView): readonly NameSet[] {
    return [...view.networks.map(networkNames), zoneNames(mesh, this.#components.zone)];
  }

  #tellProblems(): void {
    const problems = [...this.#components.ports.problems(), ...this.#placeless];
    if (JSON.stringify(problems) === JSON.stringify(this.#problems)) return;
    this.#problems = problems;
    this.#components.onPortProblems(problems);
  }
}

/** Of published ports and of overlay networks alike. */
function liveTasks({ self, services, networks }: MeshView): ReadonlySet<string> {
  const live = new Set<string>();
  const note = ({ taskID, state }: { readonly taskID: string; readonly state: string }) => {
    if (state === "live") live.add(taskID);
  };
  for (const { endpoints } of services) onNode(endpoints, self.index).forEach(note);
  for (const network of networks) inNetworkOnNode(network, self.index).forEach(note);
  return live;
}
