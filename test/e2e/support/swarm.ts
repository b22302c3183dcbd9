/**
 * A cluster under test: a lab whose hosts run Weft, and the questions that every suite asks it.
 * Whatever changes the cluster goes through Docker's CLI, as a user would type it.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { MeshAnswer } from "../../../src/api/mesh.ts";
import type { Host } from "../../../src/lab/host.ts";
import type { ImageName } from "../../../src/lab/images.ts";
import { Lab } from "../../../src/lab/lab.ts";
import type { Machine } from "../../../src/lab/machine.ts";
import { REPOSITORY } from "../../../src/lab/places.ts";
import { unixHttp } from "../../../src/lab/unix-http.ts";
import { until } from "../../../src/lab/until.ts";
import { probe } from "./probing.ts";
import { difference, type Traces, tracesOf } from "./traces.ts";

export interface SwarmInit {
  readonly hosts?: number;
  readonly clients?: number;
  readonly images?: readonly ImageName[];
  /** By which the hosts reach each other; IPv4 when absent. */
  readonly underlay?: "IPv4" | "IPv6";
}

/** The fields of the API's tasks that the suites read. */
export interface TaskJson {
  readonly ID: string;
  readonly Slot?: number;
  readonly NodeID?: string;
  readonly DesiredState: string;
  readonly Status: {
    readonly State: string;
    readonly Message?: string;
    readonly Err?: string;
    readonly ContainerStatus?: { readonly ContainerID: string };
    readonly PortStatus?: { readonly Ports?: readonly PortJson[] };
  };
}

/** The fields of the API's nodes that the suites read. */
export interface NodeJson {
  readonly ID: string;
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string; readonly Message?: string };
}

export interface PortJson {
  readonly Protocol: string;
  readonly TargetPort: number;
  readonly PublishedPort?: number;
  readonly PublishMode: string;
}

/** A task that runs, and where. */
export interface RunningTask {
  readonly id: string;
  readonly host: Host;
  readonly containerID: string;
  readonly json: TaskJson;
}

/** Enough for a task to be scheduled and started on a machine that does other things as well. */
const CONVERGED_MS = 60_000;
/** As long as a service's first change of ports takes to reach every kernel, with a wide margin. */
const ANSWERING_MS = 30_000;

export class Swarm implements AsyncDisposable {
  readonly lab: Lab;
  readonly #nodeIDs = new Map<string, Host>();
  readonly #underlay: "IPv4" | "IPv6";

  /** A lab whose daemons run, or will before `form`. */
  constructor(lab: Lab, underlay: "IPv4" | "IPv6" = "IPv4") {
    this.lab = lab;
    this.#underlay = underlay;
  }

  /** All hosts in one cluster; the first is its manager. */
  static async create(init: SwarmInit = {}): Promise<Swarm> {
    const { underlay, ...rest } = init;
    const lab = await Lab.create({ images: ["nginx"], ...rest });
    const swarm = new Swarm(lab, underlay);
    try {
      await Promise.all(lab.hosts.map((host) => host.startDaemon()));
      await swarm.form();
      return swarm;
    } catch (error) {
      await swarm[Symbol.asyncDispose]();
      throw error;
    }
  }

  get hosts(): readonly Host[] {
    return this.lab.hosts;
  }

  get manager(): Host {
    return this.lab.host(1);
  }

  host(number: number): Host {
    return this.lab.host(number);
  }

  client(): Machine {
    return this.lab.client();
  }

  /** `swarm init` on the first host and `swarm join` on the others; resolves when all are ready. */
  async form(): Promise<void> {
    const { ip, ipv6 } = this.manager;
    const isIPv6 = this.#underlay === "IPv6";
    await this.docker("swarm", "init", "--advertise-addr", isIPv6 ? ipv6 : ip);
    const token = await this.docker("swarm", "join-token", "-q", "worker");
    const join = ["swarm", "join", "--token", token, isIPv6 ? `[${ipv6}]:2377` : `${ip}:2377`];
    await Promise.all(this.hosts.slice(1).map((host) => host.dockerOk(join)));
    await until(async () => (await this.readyNodes()) === this.hosts.length, {
      what: `${this.hosts.length} nodes to be ready`,
    });
  }

  async readyNodes(): Promise<number> {
    const nodes = (await this.api("/nodes")) as NodeJson[];
    return nodes.filter(({ Status }) => Status.State === "ready").length;
  }

  /** What the manager says of a node, by its name. */
  async node(name: string): Promise<NodeJson> {
    return (await this.api(`/nodes/${name}`)) as NodeJson;
  }

  /** Docker's CLI against the manager, for what must succeed; what it printed, trimmed. */
  async docker(...args: readonly string[]): Promise<string> {
    return (await this.manager.dockerOk(args)).trim();
  }

  /** Docker's CLI against the manager, for what must be refused; what it said, trimmed. */
  async refused(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.manager.docker(args);
    assert.equal(code, 1, `docker ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
    return stderr.trim();
  }

  /** `service create --detach`, and until it has as many running tasks as it wants. */
  async create(name: string, ...args: readonly string[]): Promise<RunningTask[]> {
    await this.docker("service", "create", "--detach", "--name", name, ...args);
    return this.converged(name);
  }

  /** Waits until exactly the wanted tasks of a service run, all of its present specification. */
  async converged(name: string, timeoutMs = CONVERGED_MS): Promise<RunningTask[]> {
    const look = async () => {
      const { running, desired } = await this.#counts(name);
      const tasks = await this.running(name);
      return running === desired && tasks.length === desired && { tasks };
    };
    const what = async () => `service ${name} to have converged:\n${await this.ps(name)}`;
    return (await explained(look, what, timeoutMs)).tasks;
  }

  /** The tasks of a service that run and are meant to. */
  async running(name: string): Promise<RunningTask[]> {
    const found: RunningTask[] = [];
    for (const json of await this.tasks(name)) {
      const containerID = json.Status.ContainerStatus?.ContainerID;
      if (json.Status.State !== "running" || json.DesiredState !== "running") continue;
      if (json.NodeID === undefined || containerID === undefined) continue;
      found.push({ id: json.ID, host: await this.hostOf(json.NodeID), containerID, json });
    }
    return found;
  }

  async tasks(name: string): Promise<TaskJson[]> {
    const filters = encodeURIComponent(JSON.stringify({ service: { [name]: true } }));
    return (await this.api(`/tasks?filters=${filters}`)) as TaskJson[];
  }

  /** What the manager's API answers to a GET. */
  api(path: string): Promise<unknown> {
    return get(this.manager.weftSocket, path);
  }

  ps(name: string): Promise<string> {
    return this.docker("service", "ps", "--no-trunc", name);
  }

  /** A service's ports, as the specification reads them. */
  async ports(name: string): Promise<string> {
    return this.docker("service", "inspect", "--format={{json .Endpoint.Spec.Ports}}", name);
  }

  /** The port that a service without a published one was given. */
  async assignedPort(name: string): Promise<number> {
    const format = "{{json .Endpoint.Ports}}";
    const look = async () => {
      const text = await this.docker("service", "inspect", "--format", format, name);
      return (JSON.parse(text) as PortJson[])[0]?.PublishedPort;
    };
    return until(look, { what: `a port for service ${name}` });
  }

  async hostOf(nodeID: string): Promise<Host> {
    const known = this.#nodeIDs.get(nodeID);
    if (known !== undefined) return known;
    const node = await this.node(nodeID);
    const host = this.hosts.find(({ name }) => name === node.Description.Hostname);
    assert.ok(host, `node ${nodeID} is a host of the lab`);
    this.#nodeIDs.set(nodeID, host);
    return host;
  }

  /** Waits until a TCP port is answered over HTTP on every host, seen from the lab's client. */
  async answering(port: number, hosts: readonly Host[] = this.hosts): Promise<void> {
    const probes = hosts.map(({ ip }) => ({ kind: "http" as const, address: ip, port }));
    let seen = "";
    const look = async () => {
      const results = await probe(this.client(), probes);
      seen = JSON.stringify(results.map(({ error }) => error ?? "answered"));
      return results.every(({ error }) => error === undefined);
    };
    await explained(look, async () => `port ${port} on every host: ${seen}`, ANSWERING_MS);
  }

  /** Waits until a TCP port is refused on every host, seen from the lab's client. */
  async refusing(port: number, hosts: readonly Host[] = this.hosts): Promise<void> {
    const probes = hosts.map(({ ip }) => ({ kind: "http" as const, address: ip, port }));
    const look = async () => {
      const results = await probe(this.client(), probes);
      return results.every(({ error }) => error === "ECONNREFUSED");
    };
    await until(look, {
      what: `port ${port} to be refused on every host`,
      timeoutMs: ANSWERING_MS,
    });
  }

  /** `service rm`, and until no host has a container of it. */
  async remove(...names: readonly string[]): Promise<void> {
    await this.docker("service", "rm", ...names);
    await until(async () => (await this.containersOf(names)).length === 0, {
      what: `the containers of ${names.join(", ")} to be gone`,
      timeoutMs: CONVERGED_MS,
    });
  }

  /**
   * What each host looks like once nothing is under way: no task is being removed, and every kernel has what the manager
   * told last. A service's containers are gone before its rules and routes are.
   */
  async tracesAtRest(): Promise<readonly Traces[]> {
    const look = () => Promise.all(this.hosts.map((host) => tracesOf(host)));
    let before = await look();
    const isAtRest = async () => {
      const { Revision, Nodes } = (await this.api("/weft/mesh")) as MeshAnswer;
      const tasks = (await this.api("/tasks")) as TaskJson[];
      const after = await look();
      const same = after.every((traces, index) => {
        return Object.keys(difference(before[index] ?? {}, traces)).length === 0;
      });
      before = after;
      const told = Nodes.every((node) => node.Answered && node.Revision === Revision);
      return told && same && tasks.every(({ DesiredState }) => DesiredState !== "remove");
    };
    await until(isAtRest, { what: "the hosts to be at rest", timeoutMs: CONVERGED_MS });
    return before;
  }

  /** Removes every service, for the next test. */
  async clear(): Promise<void> {
    const names = await this.docker("service", "ls", "--format", "{{.Name}}");
    if (names !== "") await this.remove(...names.split("\n"));
  }

  async containersOf(services: readonly string[]): Promise<string[]> {
    const label = "com.docker.swarm.service.name";
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const lists = await Promise.all(
      this.hosts
        .filter(({ engineRunning }) => engineRunning)
        .map((host) => get(host.engineSocket, `/containers/json?all=1&filters=${filters}`)),
    );
    return (lists.flat() as { Labels: Record<string, string> }[])
      .map(({ Labels }) => Labels[label] ?? "")
      .filter((name) => services.includes(name));
  }

  /** With WEFT_E2E_LOGS=DIR, what the daemons and Engines said is kept there. */
  async [Symbol.asyncDispose](): Promise<void> {
    const dir = process.env["WEFT_E2E_LOGS"];
    if (dir !== undefined) keepLogs(this.lab, join(dir, this.lab.id));
    await this.lab[Symbol.asyncDispose]();
  }

  async #counts(name: string): Promise<{ running: number; desired: number }> {
    const filters = encodeURIComponent(JSON.stringify({ name: { [name]: true } }));
    const services = (await this.api(`/services?status=true&filters=${filters}`)) as {
      Spec: { Name: string; Mode: { Global?: object } };
      ServiceStatus: { RunningTasks: number; DesiredTasks: number };
    }[];
    const service = services.find(({ Spec }) => Spec.Name === name);
    assert.ok(service, `service ${name} exists`);
    const { RunningTasks, DesiredTasks } = service.ServiceStatus;
    // A global service wants as many as it has tasks, which at first is none.
    assert.ok(DesiredTasks > 0 || service.Spec.Mode.Global === undefined, `${name} has tasks`);
    return { running: RunningTasks, desired: DesiredTasks };
  }
}

/** What is polled is asked without a CLI: starting one costs more than the answer. */
async function get(socket: string, path: string): Promise<unknown> {
  const { status, body } = await unixHttp(socket, { path });
  assert.equal(status, 200, `GET ${path}: ${body}`);
  return JSON.parse(body) as unknown;
}

/** `bin/weft` on a host. */
export function weft(host: Host, ...args: readonly string[]) {
  return host.exec([join(REPOSITORY, "bin/weft"), ...args]);
}

/** As `until`, with what was seen last asked for only when time is up. */
async function explained<Value>(
  look: () => Promise<Value>,
  what: () => Promise<string>,
  timeoutMs: number,
): Promise<Exclude<Value, false | undefined | null | 0 | "">> {
  try {
    return await until(look, { what: "it", timeoutMs });
  } catch (cause) {
    throw new Error(`timed out after ${timeoutMs} ms waiting for ${await what()}`, { cause });
  }
}

function keepLogs(lab: Lab, dir: string): void {
  for (const machine of readdirSync(lab.runDir, { withFileTypes: true })) {
    if (!machine.isDirectory()) continue;
    const from = join(lab.runDir, machine.name);
    const to = join(dir, machine.name);
    mkdirSync(to, { recursive: true });
    for (const file of readdirSync(from)) {
      if (file.endsWith(".log")) cpSync(join(from, file), join(to, file));
    }
  }
}
