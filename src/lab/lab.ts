/**
 * Real hosts on one machine, for tests, benchmarks, the demo and fault injection alike: see
 * DESIGN's "The lab". `await using lab = await Lab.create({ hosts: 3, clients: 1 })`.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { InvalidParameterError, NotFoundError } from "../base/errors.ts";
import { cleanUpAtExit } from "./exit.ts";
import { Host } from "./host.ts";
import type { ImageName } from "./images.ts";
import { Lan, lanAddress } from "./lan.ts";
import { Machine, type MachineInit, type Neighbour } from "./machine.ts";
import { type LabPlaces, makePlaces } from "./places.ts";
import { REGISTRY_ENGINE_CONFIG, Registry, type RegistryInit } from "./registry.ts";
import { requireLab } from "./requirements.ts";
import { removeLab, sweep } from "./sweep.ts";
import { traced } from "./trace.ts";

export interface LabInit {
  /** n1, n2, … at 192.168.99.100, .101, …; 3 by default. */
  readonly hosts?: number;
  /** c1, c2, … at 192.168.99.200, .201, …; 1 by default. */
  readonly clients?: number;
  /** Whether each host's Docker Engine is started; true by default. */
  readonly engine?: boolean;
  /** Images of images.ts to load into each Engine; none by default. */
  readonly images?: readonly ImageName[];
  /** A registry on the LAN with these images, which the Engines may use without TLS; none by default. */
  readonly registry?: RegistryInit;
}

const FIRST_HOST = 100;
const FIRST_CLIENT = 200;
/** Hosts end where clients' addresses begin. */
const MACHINES_MAX = 50;

export class Lab implements AsyncDisposable {
  readonly id: string;
  /** Sockets and logs: /run/weft-lab/ID. */
  readonly runDir: string;
  readonly hosts: readonly Host[];
  readonly clients: readonly Machine[];
  readonly lan: Lan;
  #registry: Registry | undefined;
  #disposed: Promise<void> | undefined;
  readonly #forgetExit: () => void;

  private constructor(places: LabPlaces, lan: Lan, machines: LabMachines) {
    this.id = places.id;
    this.runDir = places.runDir;
    this.lan = lan;
    this.hosts = machines.hosts;
    this.clients = machines.clients;
    this.#forgetExit = cleanUpAtExit(() => removeLab(this.id));
  }

  /** Removes what dead labs left, then brings all machines up side by side. A failure leaves nothing behind. */
  static async create(init: LabInit = {}): Promise<Lab> {
    await requireLab({ engine: init.engine ?? true });
    sweep();
    const places = makePlaces();
    const lan = await Lan.create(join(places.runDir, "lan.log"));
    const lab = new Lab(places, lan, makeMachines(places, lan, init));
    try {
      await traced(`lab ${lab.id} up`, () => lab.#boot(init));
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Removes what labs have left whose process is gone; returns their ids. */
  static sweep(): string[] {
    return sweep();
  }

  /** The host with this number, from 1: `lab.host(1)` is n1. */
  host(number: number): Host {
    const host = this.hosts[number - 1];
    if (host === undefined) throw new NotFoundError(`the lab has no host n${number}`);
    return host;
  }

  get registry(): Registry {
    if (this.#registry === undefined)
      throw new NotFoundError("the lab was made without a registry");
    return this.#registry;
  }

  client(number = 1): Machine {
    const client = this.clients[number - 1];
    if (client === undefined) throw new NotFoundError(`the lab has no client c${number}`);
    return client;
  }

  /** Ends everything that runs in the lab and removes every trace of it. A second call waits for the first. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= traced(`lab ${this.id} away`, () => this.#dispose());
    return this.#disposed;
  }

  async #boot(init: LabInit): Promise<void> {
    const { engine = true, images = [] } = init;
    if (init.registry !== undefined) {
      this.#registry = await Registry.start(this.lan, this.runDir, init.registry);
    }
    const bootHost = async (host: Host) => {
      await host.boot();
      if (engine && images.length > 0) await host.startEngineWith(images);
      else if (engine) await host.startEngine();
    };
    const bootClient = (client: Machine) => client.boot();
    const booting = [...this.hosts.map(bootHost), ...this.clients.map(bootClient)];
    const outcomes = await Promise.allSettled(booting);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #dispose(): Promise<void> {
    const machines = [...this.hosts, ...this.clients];
    await Promise.allSettled(machines.map((machine) => machine.halt()));
    await this.#registry?.stop();
    await this.lan.destroy();
    removeLab(this.id);
    this.#forgetExit();
  }
}

interface LabMachines {
  readonly hosts: readonly Host[];
  readonly clients: readonly Machine[];
}

function makeMachines(places: LabPlaces, lan: Lan, init: LabInit): LabMachines {
  const hosts = named("n", init.hosts ?? 3, FIRST_HOST);
  const clients = named("c", init.clients ?? 1, FIRST_CLIENT);
  const neighbours = [...hosts, ...clients];
  const machineInit = (machine: Neighbour): MachineInit => {
    const runDir = join(places.runDir, machine.name);
    const dataDir = join(places.dataDir, machine.name);
    mkdirSync(runDir, { recursive: true });
    mkdirSync(dataDir, { recursive: true });
    const etc = init.registry === undefined ? {} : { "docker/daemon.json": REGISTRY_ENGINE_CONFIG };
    return { ...machine, labId: places.id, runDir, dataDir, lan, neighbours, etc };
  };
  return {
    hosts: hosts.map((host) => new Host(machineInit(host))),
    clients: clients.map((client) => new Machine(machineInit(client))),
  };
}

function named(prefix: string, count: number, firstNumber: number): Neighbour[] {
  if (!Number.isInteger(count) || count < 0 || count > MACHINES_MAX) {
    throw new InvalidParameterError(
      `a lab has 0 to ${MACHINES_MAX} hosts or clients, not ${count}`,
    );
  }
  return Array.from({ length: count }, (_, index) => ({
    name: `${prefix}${index + 1}`,
    address: lanAddress(firstNumber + index),
  }));
}
