/** What this node says of itself: the runtime's words and the host's addresses, told again when they change. */
import { networkInterfaces } from "node:os";
import type { Clock, Timer } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { NodeDescription } from "../cluster/objects.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** An address that was added is known to the mesh this soon, plus its way there; looking costs microseconds. */
const ADDRESS_POLL_MS = 2_000;
/** Weft's own links: the tunnel and the host's ends of tasks' veth pairs. */
const OWN_LINK = /^(weft|wv)/;

export type Interfaces = ReturnType<typeof networkInterfaces>;

export interface NodeDescriberComponents {
  readonly hostname: string;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly interfaces?: () => Interfaces;
  /** Where ports are answered whose service does not say; everywhere when absent. */
  readonly publishDefault?: readonly string[];
  readonly onChange: (description: NodeDescription) => void;
}

export class NodeDescriber implements Startable {
  readonly #components: NodeDescriberComponents;
  readonly #interfaces: () => Interfaces;
  #engine: Omit<NodeDescription, "addresses"> | undefined;
  #description: NodeDescription | undefined;
  #runtimeProblem: string | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(components: NodeDescriberComponents) {
    this.#components = components;
    this.#interfaces = components.interfaces ?? networkInterfaces;
  }

  /** Undefined until the runtime has answered once. */
  get description(): NodeDescription | undefined {
    return this.#description;
  }

  start(): void {
    this.#poll();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Asks the runtime: it answers for the first time, or is back and may be another version. */
  async refresh(): Promise<void> {
    this.#engine = await this.#components.runtime.describe();
    this.#runtimeProblem = undefined;
    this.#compare();
  }

  /** The runtime is away; until it is asked again and answers. */
  noteRuntimeAway(problem: string): void {
    this.#runtimeProblem = problem;
    this.#compare();
  }

  #poll(): void {
    if (this.#stopped) return;
    this.#compare();
    const { clock } = this.#components;
    this.#timer = clock.timer("node-addresses", ADDRESS_POLL_MS, () => this.#poll());
  }

  #compare(): void {
    if (this.#engine === undefined) return;
    const { hostname, onChange, publishDefault = [] } = this.#components;
    const found = this.#interfaces();
    const next: NodeDescription = {
      ...this.#engine,
      hostname,
      addresses: hostAddresses(found),
      interfaces: hostInterfaces(found),
      ...(publishDefault.length === 0 ? {} : { publishDefault }),
      ...(this.#runtimeProblem === undefined ? {} : { runtimeProblem: this.#runtimeProblem }),
    };
    if (JSON.stringify(next) === JSON.stringify(this.#description)) return;
    this.#description = next;
    onChange(next);
  }
}

/** Every address that the host may be a client with, Docker's bridges' too; sorted, so that order is no change. */
export function hostAddresses(interfaces: Interfaces): readonly string[] {
  return hostInterfaces(interfaces)
    .flatMap(({ addresses }) => addresses)
    .sort();
}

/** By name, those that have such addresses. */
export function hostInterfaces(interfaces: Interfaces): NonNullable<NodeDescription["interfaces"]> {
  return Object.entries(interfaces)
    .filter(([name]) => !OWN_LINK.test(name))
    .map(([name, infos = []]) => ({
      name,
      addresses: infos
        .filter(({ address, internal }) => !internal && !address.startsWith("fe80:"))
        .map(({ address }) => address)
        .sort(),
    }))
    .filter(({ addresses }) => addresses.length > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
