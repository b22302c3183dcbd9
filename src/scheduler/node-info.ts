/** What the scheduler knows of a node while it places tasks: the node, and what its tasks take of it. */
import type { Node, PortConfig, Resources, Task } from "../cluster/objects.ts";
import { isOver, isWanted } from "../cluster/task-lifecycle.ts";

/** Changed as tasks are placed on it within one pass; made anew for the next. */
export class NodeInfo {
  readonly node: Node;
  readonly #hostPorts = new Set<string>();
  readonly #wantedByService = new Map<string, number>();
  #availableCPUs: number;
  #availableMemory: number;
  #wanted = 0;

  constructor(node: Node, tasks: readonly Task[]) {
    this.node = node;
    this.#availableCPUs = node.description?.resources.nanoCPUs ?? 0;
    this.#availableMemory = node.description?.resources.memoryBytes ?? 0;
    for (const task of tasks) this.add(task);
  }

  /** Counts a task in. One that is asked to stop still holds what it has until it did. */
  add(task: Task): void {
    if (isOver(task)) return;
    const { nanoCPUs = 0, memoryBytes = 0 } = reservationsOf(task);
    this.#availableCPUs -= nanoCPUs;
    this.#availableMemory -= memoryBytes;
    for (const port of hostPortsOf(task)) this.#hostPorts.add(hostPortKey(port));
    if (!isWanted(task)) return;
    this.#wanted++;
    this.#wantedByService.set(task.serviceID, this.tasksOfService(task.serviceID) + 1);
  }

  /** Tasks that are meant to run here, of all services. */
  get tasks(): number {
    return this.#wanted;
  }

  tasksOfService(serviceID: string): number {
    return this.#wantedByService.get(serviceID) ?? 0;
  }

  hasRoomFor({ nanoCPUs = 0, memoryBytes = 0 }: Resources): boolean {
    return nanoCPUs <= this.#availableCPUs && memoryBytes <= this.#availableMemory;
  }

  hasHostPort(port: PortConfig): boolean {
    return this.#hostPorts.has(hostPortKey(port));
  }
}

export function reservationsOf(task: Task): Resources {
  return task.spec.resources?.reservations ?? {};
}

/** Host-mode ports with a fixed number; without one, each task takes a random port of its own. */
export function hostPortsOf(task: Task): readonly PortConfig[] {
  const ports = task.endpoint?.ports ?? [];
  return ports.filter((port) => port.publishMode === "host" && port.publishedPort !== undefined);
}

function hostPortKey({ protocol, publishedPort }: PortConfig): string {
  return `${protocol}/${publishedPort ?? ""}`;
}
