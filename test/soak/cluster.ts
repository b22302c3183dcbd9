/** The cluster that operations are done to while loads run: three hosts, and a service of each kind of load. */
import { LabError } from "../../src/lab/errors.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import { until } from "../../src/lab/until.ts";
import { NewerVersions, type Release } from "./newer-version.ts";

export const WEB_PORT = 8080;
export const ECHO_PORT = 9000;
export const DNS_PORT = 5353;
export const SERVICES = ["web", "echo", "dns"] as const;
export type ServiceName = (typeof SERVICES)[number];

/** The image that the web service is updated to: the same program under another name. */
export const NEXT_IMAGE = "nginx:next";

const HOSTS = 3;
/** Scaling to twelve, or a stopped task's grace, on a machine that is busy with the load. */
const SETTLE_MS = 90_000;
/** The manager makes the lists of everything for each look. */
const LOOK_MS = 250;

/** A server that is dead with its first SIGTERM: whatever connection it had then is cut. */
const ECHO = 'trap "exit 0" TERM; nc -ll -p 7 -e cat & wait';

const CREATE: Readonly<Record<ServiceName, readonly string[]>> = {
  web: ["--replicas", "4", "--publish", `${WEB_PORT}:80`, "nginx:latest"],
  echo: ["--replicas", "3", "--publish", `${ECHO_PORT}:7`, "busybox:latest", "sh", "-c", ECHO],
  dns: ["--replicas", "3", "--publish", `${DNS_PORT}:53/udp`, "dns-cache:latest"],
};
/** An update is watched only briefly: the load goes on watching. */
const WATCH = ["--update-monitor", "200ms", "--rollback-monitor", "200ms"];
/** Clients that keep their connections busy for ever hold a task for as long as it may be; streams end by themselves. */
const DRAINS: Readonly<Record<ServiceName, string>> = { web: "1s", echo: "2s", dns: "2s" };

interface ApiService {
  readonly ID: string;
  readonly Spec: {
    readonly Name: string;
    readonly Mode: { readonly Replicated?: { readonly Replicas: number } };
  };
  readonly UpdateStatus?: { readonly State?: string };
}
interface ApiNode {
  readonly ID: string;
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string };
}
interface ApiTask {
  readonly NodeID?: string;
  readonly ServiceID: string;
  readonly DesiredState: string;
  readonly Status: {
    readonly State: string;
    readonly ContainerStatus?: { readonly ContainerID?: string };
  };
}

const ENDED = new Set(["complete", "shutdown", "failed", "rejected", "remove", "orphaned"]);
const UNDER_WAY = new Set(["updating", "rollback_started"]);

export class SoakCluster implements AsyncDisposable {
  readonly lab: Lab;
  #newer: Promise<NewerVersions> | undefined;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  static async create(): Promise<SoakCluster> {
    const images = ["nginx", "busybox", "dns-cache"] as const;
    const lab = await Lab.create({ hosts: HOSTS, clients: 1, images });
    const cluster = new SoakCluster(lab);
    try {
      await cluster.#form();
      await cluster.#serve();
      return cluster;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  get manager(): Host {
    return this.lab.host(1);
  }

  /** A Weft that is newer than whichever runs. */
  async newerVersion(): Promise<Release> {
    this.#newer ??= NewerVersions.create();
    return await (await this.#newer).next();
  }

  docker(...args: readonly string[]): Promise<string> {
    return this.manager.dockerOk(args, { timeoutMs: SETTLE_MS });
  }

  /** `service update` without waiting; see `settled`. */
  update(service: ServiceName, ...args: readonly string[]): Promise<string> {
    return this.docker("service", "update", "--detach", ...args, service);
  }

  /** Resolves when every task is where it is wanted, and none is left that is not. */
  async settled(): Promise<void> {
    const look = async () => {
      const [services, tasks, nodes] = await Promise.all([
        this.#ask<readonly ApiService[]>("/services"),
        this.#ask<readonly ApiTask[]>("/tasks"),
        this.#ask<readonly ApiNode[]>("/nodes"),
      ]);
      refuseUnready(nodes);
      // What was on a dead host has ended, though nobody can say so before it is back.
      const dead = new Set(
        nodes.flatMap(({ ID, Status }) => (Status.State === "down" ? [ID] : [])),
      );
      const alive = tasks.filter(({ NodeID = "" }) => !dead.has(NodeID));
      for (const service of services) refuseUnsettled(service, alive);
      return true;
    };
    await until(look, {
      what: "the services to settle",
      timeoutMs: SETTLE_MS,
      intervalMs: LOOK_MS,
    });
  }

  async replicas(service: ServiceName): Promise<number> {
    const services = await this.#ask<readonly ApiService[]>("/services");
    const found = services.find(({ Spec }) => Spec.Name === service);
    return found?.Spec.Mode.Replicated?.Replicas ?? 0;
  }

  /** Resolves when a node that was drained has no task any more that has not ended. */
  async left(node: string): Promise<void> {
    const look = async () => {
      const [{ ID }, tasks] = await Promise.all([
        this.#ask<ApiNode>(`/nodes/${node}`),
        this.#ask<readonly ApiTask[]>("/tasks"),
      ]);
      return tasks.every(({ NodeID, Status }) => NodeID !== ID || ENDED.has(Status.State));
    };
    await until(look, { what: `${node} to be left`, timeoutMs: SETTLE_MS, intervalMs: LOOK_MS });
  }

  /** How far the service's last update is. */
  async updateState(service: ServiceName): Promise<string | undefined> {
    const services = await this.#ask<readonly ApiService[]>("/services");
    return services.find(({ Spec }) => Spec.Name === service)?.UpdateStatus?.State;
  }

  /** Whether the managers believe that this container runs. */
  async isRunning(container: string): Promise<boolean> {
    const tasks = await this.#ask<readonly ApiTask[]>("/tasks");
    return tasks.some(
      ({ Status }) =>
        Status.State === "running" && Status.ContainerStatus?.ContainerID?.startsWith(container),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
    await (await this.#newer)?.[Symbol.asyncDispose]();
  }

  async #ask<Answer>(path: string): Promise<Answer> {
    const { status, body } = await unixHttp(this.manager.weftSocket, { path });
    if (status !== 200) throw new LabError(`GET ${path} is answered with ${status}: ${body}`);
    return JSON.parse(body) as Answer;
  }

  async #form(): Promise<void> {
    const [first, ...others] = this.lab.hosts as [Host, ...Host[]];
    const tags = this.lab.hosts.map((host) => host.engineOk(["tag", "nginx:latest", NEXT_IMAGE]));
    await Promise.all([...tags, ...this.lab.hosts.map((host) => host.startDaemon())]);
    await this.docker("swarm", "init", "--advertise-addr", first.ip);
    const token = (await this.docker("swarm", "join-token", "-q", "worker")).trim();
    const join = ["swarm", "join", "--token", token, `${first.ip}:2377`];
    await Promise.all(others.map((host) => host.dockerOk(join)));
  }

  async #serve(): Promise<void> {
    for (const name of SERVICES) {
      const drain = ["--label", `weft.drain.timeout=${DRAINS[name]}`];
      const options = ["--detach", "--no-resolve-image", "--name", name, ...WATCH, ...drain];
      await this.docker("service", "create", ...options, ...CREATE[name]);
    }
    await this.settled();
  }
}

function refuseUnsettled({ ID, Spec, UpdateStatus }: ApiService, tasks: readonly ApiTask[]): void {
  const state = UpdateStatus?.State ?? "";
  if (UNDER_WAY.has(state)) throw new LabError(`${Spec.Name}: ${state}`);
  const own = tasks.filter((task) => task.ServiceID === ID);
  const wanted = own.filter((task) => task.DesiredState === "running");
  const running = wanted.filter((task) => task.Status.State === "running").length;
  const stopping = own.filter(
    ({ DesiredState, Status }) => DesiredState !== "running" && !ENDED.has(Status.State),
  );
  const replicas = Spec.Mode.Replicated?.Replicas ?? 0;
  if (wanted.length === replicas && running === replicas && stopping.length === 0) return;
  throw new LabError(
    `${Spec.Name}: ${running} of ${replicas} run, ${wanted.length} are wanted, ${stopping.length} stop`,
  );
}

/** After its manager's restart a node is not ready before its own session is open again. */
function refuseUnready(nodes: readonly ApiNode[]): void {
  for (const { Description, Status } of nodes) {
    if (Status.State === "ready" || Status.State === "down") continue;
    throw new LabError(`${Description.Hostname} is ${Status.State}`);
  }
}
