/** A keeper, a kernel and a session in memory, for tests of the agent: a test says what happens to them. */
import { UnavailableError } from "../base/errors.ts";
import type { NodeDescription, PortProblem, Task } from "../cluster/objects.ts";
import type { HostTrace } from "../datapath/host-trace.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import { type MeshView, portKey } from "../datapath/view.ts";
import type { MeshConfig, SessionReporter, TaskStatusUpdate } from "../dispatcher/assignment.ts";
import type { NameSetChange } from "../keeper/dns/names.ts";
import type {
  KeeperClient,
  KeeperEndpoint,
  KeeperEvent,
  KeeperStatus,
  PortHold,
  PortRequest,
} from "../keeper/protocol.ts";
import type { MeshApplied, MeshDatapath } from "./mesh-applier.ts";

/** Holds ports and endpoints as the keeper does: busy ones are told, and told again when they are free. */
export class FakeKeeper implements KeeperClient {
  readonly busy = new Set<string>();
  endpoints: readonly KeeperEndpoint[] = [];
  /** Each whole set that was asked for. */
  readonly asked: string[][] = [];
  #wanted: readonly PortRequest[] = [];
  #available = true;
  #version = 0;
  #wake = Promise.withResolvers<void>();

  async status(): Promise<KeeperStatus> {
    this.#check();
    const { endpoints } = this;
    const process = { version: "fake", pid: 1, networkNamespace: "net:[1]", dataDir: "/fake" };
    return { ...process, ports: this.#holds(), endpoints };
  }

  async holdPorts(ports: readonly PortRequest[]): Promise<readonly PortHold[]> {
    this.#check();
    this.asked.push(ports.map(({ protocol, port }) => portKey(protocol, port)));
    this.#wanted = ports;
    this.#notify();
    return this.#holds();
  }

  async *events(signal: AbortSignal): AsyncIterable<KeeperEvent> {
    signal.addEventListener("abort", () => this.#notify(), { once: true });
    let told = -1;
    while (!signal.aborted) {
      this.#check();
      if (told !== this.#version) {
        told = this.#version;
        yield { kind: "ports", ports: this.#holds() };
        yield { kind: "endpoints", endpoints: this.endpoints };
      } else {
        await this.#wake.promise;
      }
    }
  }

  /** Each change of names that was told. */
  readonly names: NameSetChange[] = [];
  /** The sets of names that were to be kept last. */
  nameSets: readonly string[] = [];

  async changeNames(change: NameSetChange): Promise<void> {
    this.#check();
    this.names.push(change);
  }

  async keepNames(sets: readonly string[]): Promise<void> {
    this.#check();
    this.nameSets = sets;
  }

  async stop(): Promise<void> {}

  /** The Engine has moved an interface with this address into a container. */
  join(address: string): void {
    const link = `wv${address}`;
    const others = this.endpoints.filter((endpoint) => endpoint.address !== address);
    const joined = {
      networkID: "net",
      endpointID: address,
      address,
      link,
      state: "joined",
    } as const;
    this.endpoints = [...others, joined];
    this.#notify();
  }

  leave(address: string): void {
    this.endpoints = this.endpoints.filter((endpoint) => endpoint.address !== address);
    this.#notify();
  }

  /** Some process of the host takes the port, or gives it back. */
  setBusy(key: string, isBusy: boolean): void {
    if (isBusy) this.busy.add(key);
    else this.busy.delete(key);
    this.#notify();
  }

  setAvailable(available: boolean): void {
    this.#available = available;
    this.#notify();
  }

  #holds(): readonly PortHold[] {
    return this.#wanted.map((port) =>
      this.busy.has(portKey(port.protocol, port.port))
        ? { ...port, state: "busy", reason: "address already in use" }
        : { ...port, state: "held" },
    );
  }

  #notify(): void {
    this.#version += 1;
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  #check(): void {
    if (!this.#available) throw new UnavailableError("the keeper does not answer");
  }
}

/** Takes every view, or refuses them while `broken`. */
export class FakeDatapath implements MeshDatapath {
  readonly views: MeshView[] = [];
  audits = 0;
  lost: readonly string[] = [];
  broken = false;
  /** Awaited within each apply. */
  gate: Promise<void> = Promise.resolve();

  get last(): MeshView | undefined {
    return this.views.at(-1);
  }

  async inspect(): Promise<KernelMesh> {
    return { revision: this.last?.revision ?? 0, ports: [], routed: [], connections: {} };
  }

  async trace(): Promise<HostTrace> {
    const revision = this.last?.revision ?? 0;
    const port = { held: false, answered: false };
    return { revision, port, endpoints: 1, ways: [], unknown: [] };
  }

  async traffic(): Promise<undefined> {}

  async apply(view: MeshView): Promise<MeshApplied> {
    await this.gate;
    if (this.broken) throw new UnavailableError("nft is busy");
    this.views.push(view);
    return { ipv6: true };
  }

  async audit(): Promise<void> {
    this.audits += 1;
  }

  async lostAddresses(): Promise<readonly string[]> {
    return this.lost;
  }
}

/** Everything a session was told, in order, as short texts beside the values. */
export class FakeReporter implements SessionReporter {
  readonly said: string[] = [];
  readonly statuses: TaskStatusUpdate[] = [];
  description: NodeDescription | undefined;

  reportStatus(update: TaskStatusUpdate): void {
    this.statuses.push(update);
    const { state, err } = update.status;
    this.said.push(`${update.taskID} ${state}${err === undefined ? "" : `: ${err}`}`);
  }
  reportApplied(revision: number): void {
    this.said.push(`applied ${revision}`);
  }
  reportPortProblems(problems: readonly PortProblem[]): void {
    const texts = problems.map((p) => `${p.publishedPort}/${p.protocol} ${p.reason}`);
    this.said.push(`problems [${texts.join(", ")}]`);
  }
  reportDescription(description: NodeDescription): void {
    this.description = description;
  }
  /** The states told of a task, in order. */
  statesOf(taskID: string): string[] {
    return this.statuses.filter((update) => update.taskID === taskID).map((u) => u.status.state);
  }
}

/** A task of service `web` on the ingress network, assigned and desired to run. */
export function makeTask(id: string, overrides: Partial<Task> = {}): Task {
  const task = {
    id,
    version: { index: 1 },
    createdAt: "",
    updatedAt: "",
    serviceID: "service-1",
    slot: 1,
    nodeID: "node-1",
    spec: { containerSpec: { image: "nginx:latest" }, forceUpdate: 0 },
    specVersion: { index: 1 },
    serviceAnnotations: { name: "web", labels: {} },
    desiredState: "running",
    status: { timestamp: "", state: "assigned", message: "scheduler assigned task to node" },
    networksAttachments: [
      { network: { id: "network-1", name: "ingress" }, addresses: [`${addressOf(id)}/24`] },
    ],
    ...overrides,
  };
  return task as Task;
}

/** The address that `makeTask` gives: task "t7" has 10.0.0.7. */
export function addressOf(taskID: string): string {
  return `10.0.0.${Number(taskID.replace(/\D/g, "")) || 250}`;
}

/** A mesh of node-1 and node-2 with one service `web` that publishes these ports for these local tasks. */
export function makeMesh(
  revision: number,
  publishedPorts: readonly number[] = [],
  taskIDs: readonly string[] = [],
): MeshConfig {
  const node = (index: number) => ({
    nodeID: `node-${index}`,
    index,
    underlayAddress: `192.168.99.${100 + index}`,
    overlayAddress: `10.0.0.${200 + index}`,
    addresses: [`192.168.99.${100 + index}`],
  });
  return {
    revision,
    network: { name: "ingress", subnet: "10.0.0.0/24", vni: 4096, dataPathPort: 4789 },
    nodes: [node(1), node(2)],
    services: [
      {
        serviceID: "service-1",
        serviceName: "web",
        ports: publishedPorts.map((publishedPort) => ({
          protocol: "tcp",
          publishedPort,
          targetPort: 80,
        })),
        endpoints: taskIDs.map((taskID) => ({
          taskID,
          address: addressOf(taskID),
          nodeIndex: 1,
          state: "live",
        })),
      },
    ],
    networks: [],
  };
}
