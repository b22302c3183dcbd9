/**
 * A runtime in memory that behaves as the Docker Engine does, held to it by contract.ts. What its programs do
 * is told by the test: `exit`, `setHealth`, `setAvailable`.
 */
import { ConflictError, NotFoundError, SystemError, UnavailableError } from "../../base/errors.ts";
import type { NodeDescription } from "../../cluster/objects.ts";
import type {
  ContainerConfig,
  ContainerHealth,
  ContainerState,
  EnsureImageInit,
  LogFrame,
  LogOptions,
  Runtime,
  RuntimeEvent,
  RuntimeNetwork,
} from "../runtime.ts";
import { FakeEvents } from "./fake-events.ts";
import { readFakeLog } from "./fake-log.ts";

/** What a container does once it is started. */
export interface FakeProgram {
  /** Ends by itself at once with this code; runs until it is stopped when absent. */
  readonly exitCode?: number;
  /** What it exits with on its stop signal; 143 when absent. */
  readonly codeOnSignal?: number;
  /** False: it has to be killed, and exits with 137. */
  readonly stopsOnSignal?: boolean;
  /** The start fails with this text. */
  readonly startError?: string;
  readonly output?: readonly { readonly stream: "stdout" | "stderr"; readonly text: string }[];
  /** Health right after the start; "none" when absent. */
  readonly health?: ContainerHealth;
  /** Of its image, as "tcp/80". */
  readonly exposedPorts?: readonly string[];
}

export type FakeOperation =
  | "ensureImage"
  | "ensureNetwork"
  | "create"
  | "start"
  | "stop"
  | "remove";

export interface FakeRuntimeInit {
  /** Images that are on the node. */
  readonly images?: readonly string[];
  readonly program?: (config: ContainerConfig) => FakeProgram;
  /** Awaited before each operation is done: a test holds, orders or fails operations here. */
  readonly before?: (operation: FakeOperation, subject: string) => Promise<void> | void;
}

/** One container of the fake's, open to the test. */
export interface FakeContainer {
  readonly config: ContainerConfig;
  state: ContainerState;
  readonly log: LogFrame[];
}

export class FakeRuntime implements Runtime {
  readonly containers = new Map<string, FakeContainer>();
  readonly networks = new Map<string, { subnet: string; ours: boolean }>();
  readonly #images: Set<string>;
  readonly #init: FakeRuntimeInit;
  readonly #events = new FakeEvents();
  #available = true;
  #containersMade = 0;

  constructor(init: FakeRuntimeInit = {}) {
    this.#init = init;
    this.#images = new Set((init.images ?? ["nginx"]).map(withTag));
  }

  async describe(): Promise<Omit<NodeDescription, "addresses">> {
    this.#check();
    return {
      hostname: "fake",
      platform: { architecture: "x86_64", os: "linux" },
      resources: { nanoCPUs: 2_000_000_000, memoryBytes: 2 ** 31 },
      engine: { engineVersion: "fake", labels: {}, plugins: [] },
    };
  }

  async ensureImage(image: string, init: EnsureImageInit = {}): Promise<void> {
    await this.#init.before?.("ensureImage", image);
    init.signal?.throwIfAborted();
    this.#check();
    if (this.#images.has(withTag(image))) return;
    throw new NotFoundError(`No such image: ${withTag(image)} (the fake has no registry)`);
  }

  async ensureNetwork({ name, subnets }: RuntimeNetwork): Promise<void> {
    await this.#init.before?.("ensureNetwork", name);
    this.#check();
    if (this.networks.get(name)?.ours === false) {
      throw new ConflictError(`network ${name} on this host is not Weft's`);
    }
    this.networks.set(name, { subnet: subnets.join(" "), ours: true });
  }

  async removeNetwork(name: string): Promise<void> {
    this.#check();
    if (this.networks.get(name)?.ours === true) this.networks.delete(name);
  }

  async addressesIn(network: string): Promise<ReadonlySet<string>> {
    this.#check();
    const networks = [...this.containers.values()].flatMap(({ config }) => config.networks ?? []);
    const here = networks.filter(({ name }) => name === network);
    return new Set(here.flatMap(({ addresses }) => addresses));
  }

  async sweepNetworks(isWanted: (name: string) => boolean): Promise<void> {
    this.#check();
    for (const [name, { ours }] of this.networks) {
      if (ours && !isWanted(name)) this.networks.delete(name);
    }
  }

  async create(config: ContainerConfig): Promise<string> {
    await this.#init.before?.("create", config.taskID);
    this.#check();
    const existing = this.containerOf(config.taskID);
    if (existing !== undefined) return existing.state.containerID;
    if (!this.#images.has(withTag(config.image))) {
      throw new NotFoundError(`No such image: ${withTag(config.image)}`);
    }
    this.#containersMade += 1;
    const containerID = `container-${this.#containersMade}`;
    const state = { containerID, taskID: config.taskID, phase: "created", health: "none" } as const;
    this.containers.set(containerID, { config, state, log: [] });
    return containerID;
  }

  async start(containerID: string): Promise<void> {
    const { config } = this.#get(containerID);
    await this.#init.before?.("start", config.taskID);
    this.#check();
    const container = this.#get(containerID);
    if (container.state.phase === "running") return;
    const program = this.#program(config);
    if (program.startError !== undefined) {
      container.state = { ...container.state, error: program.startError };
      throw new SystemError(program.startError);
    }
    const { exitCode: _exitCode, error: _error, ...rest } = container.state;
    const { health = "none", exposedPorts } = program;
    container.state = {
      ...{ ...rest, phase: "running", health, pid: 4_242 },
      ...(exposedPorts === undefined ? {} : { exposedPorts }),
    };
    for (const { stream, text } of program.output ?? []) {
      container.log.push({ stream, data: Buffer.from(text) });
    }
    this.#emit(container, "start");
    if (program.exitCode !== undefined) this.#end(container, program.exitCode);
  }

  async stop(containerID: string, _init: { readonly graceMs: number }): Promise<void> {
    this.#check();
    const container = this.containers.get(containerID);
    if (container?.state.phase !== "running") return;
    await this.#init.before?.("stop", container.config.taskID);
    const { stopsOnSignal = true, codeOnSignal = 143 } = this.#program(container.config);
    this.#end(container, stopsOnSignal ? codeOnSignal : 137);
  }

  async remove(containerID: string): Promise<void> {
    this.#check();
    const container = this.containers.get(containerID);
    if (container === undefined) return;
    await this.#init.before?.("remove", container.config.taskID);
    this.#end(container, 137);
    this.containers.delete(containerID);
    this.#emit(container, "remove");
  }

  async inspect(containerID: string): Promise<ContainerState | undefined> {
    this.#check();
    return this.containers.get(containerID)?.state;
  }

  async list(): Promise<readonly ContainerState[]> {
    this.#check();
    return [...this.containers.values()].map((container) => container.state);
  }

  async *events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    this.#check();
    yield* this.#events.read(signal);
    if (!signal.aborted) throw new UnavailableError("the fake's events ended");
  }

  async *logs(
    containerID: string,
    options: LogOptions,
    signal: AbortSignal,
  ): AsyncIterable<LogFrame> {
    this.#check();
    const container = this.#get(containerID);
    const isRunning = () => container.state.phase === "running";
    yield* readFakeLog(container.log, options, isRunning, signal);
  }

  // ---- What a test does to it ------------------------------------------------------------------

  containerOf(taskID: string): FakeContainer | undefined {
    return [...this.containers.values()].find((container) => container.config.taskID === taskID);
  }

  /** The task's program ends by itself. */
  exit(taskID: string, exitCode: number): void {
    const container = this.containerOf(taskID);
    if (container !== undefined) this.#end(container, exitCode);
  }

  setHealth(taskID: string, health: ContainerHealth): void {
    const container = this.containerOf(taskID);
    if (container === undefined) return;
    container.state = { ...container.state, health };
    this.#emit(container, "health");
  }

  /** Away, as an Engine that is being restarted: every call and every reader of events fails. */
  setAvailable(available: boolean): void {
    this.#available = available;
    if (!available) this.#events.interrupt();
  }

  #program(config: ContainerConfig): FakeProgram {
    return this.#init.program?.(config) ?? {};
  }

  #end(container: FakeContainer, exitCode: number): void {
    if (container.state.phase !== "running") return;
    const { pid: _pid, ...rest } = container.state;
    container.state = { ...rest, phase: "exited", health: "none", exitCode };
    this.#emit(container, "die");
  }

  #emit({ state }: FakeContainer, kind: RuntimeEvent["kind"]): void {
    this.#events.emit({ taskID: state.taskID, containerID: state.containerID, kind });
  }

  #get(containerID: string): FakeContainer {
    const container = this.containers.get(containerID);
    if (container === undefined) throw new NotFoundError(`No such container: ${containerID}`);
    return container;
  }

  #check(): void {
    if (!this.#available) {
      throw new UnavailableError("Cannot connect to the Docker daemon. Is it running?");
    }
  }
}

function withTag(image: string): string {
  return image.includes(":") ? image : `${image}:latest`;
}
