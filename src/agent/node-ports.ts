/**
 * The ports that this node publishes: those of the mesh, on every node, and the host-mode ports of its own
 * tasks. Each is really bound by the keeper, or not answered at all.
 */
import { isDeepStrictEqual } from "node:util";
import { ConflictError, InvalidParameterError } from "../base/errors.ts";
import { type Random, randomBelow } from "../base/random.ts";
import type { PortConfig, PortProblem, Task } from "../cluster/objects.ts";
import { publishAccess } from "../cluster/publish-labels.ts";
import { type HostPort, type MeshPort, type MeshProtocol, portKey } from "../datapath/view.ts";
import type { PortHold, PortRequest } from "../keeper/protocol.ts";
import { hostPortsOf, taskAddress } from "./container-config.ts";
import type { KeeperLink } from "./keeper-link.ts";

/** Ports that a host-mode task is given when it asks for none: Docker's range. */
const FIRST_DYNAMIC_PORT = 30_000;
const LAST_DYNAMIC_PORT = 32_767;
/** So many ports that some process has are tried before the task fails. */
const DYNAMIC_TRIES_MAX = 32;

interface Claim {
  readonly address: string;
  readonly ports: readonly PortConfig[];
  /** The service's. */
  readonly labels: Readonly<Record<string, string>>;
  /** False while the keeper is still being asked: nothing is led to the task yet. */
  readonly granted: boolean;
}

export class NodePorts {
  readonly #link: KeeperLink;
  readonly #random: Random;
  #meshPorts: readonly MeshPort[] = [];
  /** Ports that the kernel may still lead away: they are held until it no longer does. */
  #applied: readonly PortRequest[] = [];
  readonly #claims = new Map<string, Claim>();
  /** What was wanted last, and of which ports it was made. */
  #wanted:
    | {
        readonly mesh: readonly MeshPort[];
        readonly host: string;
        readonly list: readonly PortRequest[];
      }
    | undefined;

  constructor(components: { readonly link: KeeperLink; readonly random: Random }) {
    this.#link = components.link;
    this.#random = components.random;
  }

  setMeshPorts(ports: readonly MeshPort[]): void {
    if (!samePorts(this.#meshPorts, ports)) this.#meshPorts = ports;
  }

  /** What this node is to hold now; the very same list until that changes, as there may be ten thousand ports. */
  wanted(): readonly PortRequest[] {
    const host = [...this.#claims.values()].flatMap(({ ports }) => ports.map(requestOf));
    const of = { mesh: this.#meshPorts, host: host.map(keyOf).join(" ") };
    if (this.#wanted?.mesh === of.mesh && this.#wanted.host === of.host) return this.#wanted.list;
    const mesh = this.#meshPorts.map(({ protocol, publishedPort }) => ({
      protocol,
      port: publishedPort,
    }));
    const list = unique([...mesh, ...host]);
    this.#wanted = { ...of, list };
    return list;
  }

  /** Holds what is wanted, and what was applied before. */
  hold(): Promise<ReadonlyMap<string, PortHold>> {
    return this.#link.ask(() => {
      const wanted = this.wanted();
      return wanted === this.#applied ? wanted : unique([...wanted, ...this.#applied]);
    });
  }

  /** The kernel now leads these away and nothing else: what is not wanted any more is let go. */
  async settle(applied: readonly PortRequest[]): Promise<void> {
    this.#applied = applied;
    await this.hold();
  }

  /** Host-mode ports, all or none; throws a ConflictError in Docker's style when one is busy. */
  async claim(task: Task, previous: readonly PortConfig[]): Promise<readonly PortConfig[]> {
    const specs = hostPortsOf(task);
    if (specs.length === 0) return [];
    const existing = this.#claims.get(task.id);
    if (existing?.granted === true) return existing.ports;
    const address = taskAddress(task);
    if (address === undefined) {
      throw new InvalidParameterError("a task with host-mode ports has no address in the mesh");
    }
    try {
      return await this.#claim(task, address, specs, previous);
    } catch (error) {
      this.release(task.id);
      throw error;
    }
  }

  /** Ports of a task that runs since before this daemon: they are held already. */
  restore(task: Task, previous: readonly PortConfig[]): void {
    const address = taskAddress(task);
    const fixed = hostPortsOf(task).filter(({ publishedPort }) => publishedPort !== undefined);
    const ports = previous.length > 0 ? previous : fixed;
    if (address === undefined || ports.length === 0) return;
    const { labels } = task.serviceAnnotations;
    this.#claims.set(task.id, { address, ports, labels, granted: true });
  }

  /** The services' labels as they are now: who may reach a port may change while its task runs. Whether any did. */
  relabel(tasks: readonly Task[]): boolean {
    let changed = false;
    for (const { id, serviceAnnotations } of tasks) {
      const claim = this.#claims.get(id);
      if (claim === undefined || isDeepStrictEqual(claim.labels, serviceAnnotations.labels))
        continue;
      this.#claims.set(id, { ...claim, labels: serviceAnnotations.labels });
      changed = true;
    }
    return changed;
  }

  /** Let go with the next pass of the mesh applier, after the kernel; false when there was nothing to let go. */
  release(taskID: string): boolean {
    return this.#claims.delete(taskID);
  }

  /** What the kernel is to lead to local tasks. */
  hostPorts(serves6: (taskID: string, key: string) => boolean): readonly HostPort[] {
    return [...this.#claims].flatMap(([taskID, { address, ports, labels, granted }]) =>
      granted
        ? ports.map((port) => ({
            taskID,
            address,
            protocol: protocolOf(port),
            publishedPort: port.publishedPort ?? 0,
            targetPort: port.targetPort,
            ...(serves6(taskID, portKey(port.protocol, port.targetPort)) ? { ipv6: true } : {}),
            ...publishAccess(labels, port.publishedPort ?? 0),
          }))
        : [],
    );
  }

  /** Published ports of the mesh that some process of this host has. */
  problems(): readonly PortProblem[] {
    if (!this.#link.isAnyBusy) return [];
    return this.#meshPorts.flatMap(({ protocol, publishedPort }) => {
      const hold = this.#link.hold(protocol, publishedPort);
      return hold?.state === "busy" ? [{ protocol, publishedPort, reason: hold.reason }] : [];
    });
  }

  async #claim(
    task: Task,
    address: string,
    specs: readonly PortConfig[],
    previous: readonly PortConfig[],
  ): Promise<readonly PortConfig[]> {
    const taskID = task.id;
    const { labels } = task.serviceAnnotations;
    const refused = new Set<string>();
    for (;;) {
      const ports = specs.map((spec) => this.#choose(spec, previous, refused));
      this.#refuseTaken(taskID, ports);
      this.#claims.set(taskID, { address, ports, labels, granted: false });
      const holds = await this.hold();
      const busy = ports.find((port) => holds.get(keyOf(requestOf(port)))?.state !== "held");
      if (busy === undefined) {
        this.#claims.set(taskID, { address, ports, labels, granted: true });
        return ports;
      }
      const isDynamic = specs[ports.indexOf(busy)]?.publishedPort === undefined;
      refused.add(portKey(busy.protocol, busy.publishedPort ?? 0));
      if (!isDynamic || refused.size >= DYNAMIC_TRIES_MAX) throw this.#busyError(busy);
    }
  }

  #choose(
    spec: PortConfig,
    previous: readonly PortConfig[],
    refused: ReadonlySet<string>,
  ): PortConfig {
    if (spec.publishedPort !== undefined) return spec;
    const isFree = (port: number) => {
      const key = portKey(spec.protocol, port);
      return !refused.has(key) && !this.wanted().some((wanted) => keyOf(wanted) === key);
    };
    const before = previous.find(
      ({ protocol, targetPort }) => protocol === spec.protocol && targetPort === spec.targetPort,
    )?.publishedPort;
    if (before !== undefined && isFree(before)) return { ...spec, publishedPort: before };
    const size = LAST_DYNAMIC_PORT - FIRST_DYNAMIC_PORT + 1;
    const first = randomBelow(this.#random, size);
    for (let step = 0; step < size; step += 1) {
      const port = FIRST_DYNAMIC_PORT + ((first + step) % size);
      if (isFree(port)) return { ...spec, publishedPort: port };
    }
    throw new ConflictError(`no free ${spec.protocol} port is left on this node`);
  }

  /** A port of the mesh, or of another task here, is held for that, not for this task. */
  #refuseTaken(taskID: string, ports: readonly PortConfig[]): void {
    const others = [...this.#claims].filter(([owner]) => owner !== taskID);
    const taken = new Set([
      ...this.#meshPorts.map((port) => portKey(port.protocol, port.publishedPort)),
      ...others.flatMap(([, claim]) => claim.ports.map(requestOf).map(keyOf)),
    ]);
    const conflict = ports.find((port) => taken.has(keyOf(requestOf(port))));
    if (conflict !== undefined) throw this.#busyError(conflict);
  }

  #busyError({ protocol, publishedPort = 0 }: PortConfig): ConflictError {
    const hold = this.#link.hold(protocol, publishedPort);
    const reason = hold?.state === "busy" ? hold.reason : "address already in use";
    return new ConflictError(`port ${publishedPort}/${protocol}: ${reason}`);
  }
}

function requestOf(port: PortConfig): PortRequest {
  return { protocol: protocolOf(port), port: port.publishedPort ?? 0 };
}

function protocolOf({ protocol, targetPort }: PortConfig): MeshProtocol {
  if (protocol !== "sctp") return protocol;
  throw new InvalidParameterError(`port ${targetPort}/sctp: SCTP ports cannot be published`);
}

function keyOf({ protocol, port }: PortRequest): string {
  return portKey(protocol, port);
}

function samePorts(a: readonly MeshPort[], b: readonly MeshPort[]): boolean {
  return a.length === b.length && a.every((port, at) => samePort(port, b[at]));
}

function samePort(a: MeshPort, b: MeshPort | undefined): boolean {
  return a === b || (a.protocol === b?.protocol && a.publishedPort === b.publishedPort);
}

function unique(ports: readonly PortRequest[]): readonly PortRequest[] {
  return [...new Map(ports.map((port) => [keyOf(port), port])).values()];
}
