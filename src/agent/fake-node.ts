import { join } from "node:path";
import { FakeClock } from "../base/clock.ts";
import { createLogger } from "../base/logger.ts";
import { seededRandom } from "../base/random.ts";
import type { Task } from "../cluster/objects.ts";
import { type FakeProgram, FakeRuntime } from "../runtime/fake/fake-runtime.ts";
import { Agent } from "./agent.ts";
import { addressOf, FakeDatapath, FakeKeeper, FakeReporter } from "./fakes.ts";
import type { TaskSockets } from "./task-sockets.ts";

/** More turns of the event loop than any chain of marks takes. */
const TURNS_TO_SETTLE = 60;

/** A node with everything below its agent in memory; only the agent's own file is on disk. */
export class FakeNode {
  readonly clock = new FakeClock();
  readonly keeper = new FakeKeeper();
  readonly datapath = new FakeDatapath();
  readonly operations: string[] = [];
  readonly programs = new Map<string, FakeProgram>();
  held: Promise<void> | undefined;
  /** What managers say that the tasks read, by id. */
  readonly secrets = new Map<string, Uint8Array>();
  readonly configs = new Map<string, Uint8Array>();
  readonly logged: string[] = [];
  readonly runtime = new FakeRuntime({
    program: ({ taskID }) => this.programs.get(taskID) ?? {},
    before: async (operation, subject) => {
      this.operations.push(`${operation} ${subject}`);
      if (operation === "start") this.keeper.join(addressOf(subject));
      if (operation === "stop") this.keeper.leave(addressOf(subject));
      if (operation === "ensureImage") await this.held;
    },
  });
  /** What every task's process has open; undefined when nobody can tell. */
  sockets: TaskSockets | undefined;
  /** As if nobody could tell, unless it is set. */
  socketCounts: string | undefined;
  socketReads = 0;
  reporter = new FakeReporter();
  agent: Agent;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.agent = this.#daemon();
  }

  #daemon(): Agent {
    const { runtime, keeper, datapath, clock } = this;
    return new Agent(
      {
        runtime,
        keeper,
        ensureKeeper: async () => {},
        datapath,
        clock,
        random: seededRandom(1),
        log: createLogger({ level: "debug", write: (line) => void this.logged.push(line) }),
        interfaces: () => ({}),
        ensureInMemory: async () => {},
        sockets: {
          sockets: async () => {
            this.socketReads += 1;
            return this.sockets;
          },
          counts: async () => this.socketCounts,
        },
      },
      {
        nodeID: "node-1",
        hostname: "n1",
        dataDir: this.#directory,
        secretsDir: join(this.#directory, "secrets"),
        onRemoved: () => {},
        onRole: () => {},
      },
    );
  }

  async start(): Promise<this> {
    await this.agent.start();
    this.agent.setReporter(this.reporter);
    await this.settle();
    return this;
  }

  /** The daemon is killed and started again: nothing but the disk, the containers and the keeper stay. */
  async restart(): Promise<void> {
    await this.agent.stop();
    this.reporter = new FakeReporter();
    this.operations.length = 0;
    this.agent = this.#daemon();
    await this.start();
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < TURNS_TO_SETTLE; turn += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    if (this.held === undefined) await this.agent.idle();
  }

  /** Past every delay that something may wait for. */
  async wait(): Promise<void> {
    for (let times = 0; times < 3; times += 1) {
      this.clock.advance(2_500);
      await this.settle();
    }
  }

  async assign(...tasks: Task[]): Promise<void> {
    const assignments = tasks.map((task) => ({ task, registryAuth: "c2VjcmV0" }));
    this.agent.onTasks(assignments, { secrets: this.secrets, configs: this.configs });
    await this.settle();
  }

  phaseOf(taskID: string): string | undefined {
    return this.runtime.containerOf(taskID)?.state.phase;
  }
}
