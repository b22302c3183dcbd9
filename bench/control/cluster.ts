/** Weft and Docker's own Swarm mode behind one face: the same commands of the same CLI, to another socket. */
import { LabError } from "../../src/lab/errors.ts";
import type { Host } from "../../src/lab/host.ts";
import type { ImageName } from "../../src/lab/images.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import { until } from "../../src/lab/until.ts";

export type ClusterKind = "Weft" | "Docker Swarm";

/** How often the manager is asked whether something has come about: figures are no finer. */
const LOOK_MS = 10;
const WAIT_MS = 120_000;
/** A list of a thousand tasks is over a megabyte. */
const CALL_TIMEOUT_MS = 30_000;

export interface TaskSeen {
  readonly nodeID: string;
  readonly state: string;
  readonly desiredState: string;
  /** The container's id: its first twelve digits are the task's host name. */
  readonly containerID: string;
}

export class Cluster {
  readonly kind: ClusterKind;
  readonly hosts: readonly Host[];
  readonly manager: Host;

  constructor(kind: ClusterKind, hosts: readonly Host[]) {
    const [manager] = hosts;
    if (manager === undefined) throw new LabError("a cluster has at least one host");
    this.kind = kind;
    this.hosts = hosts;
    this.manager = manager;
  }

  /** What runs on each host before `swarm init`: Weft's daemon; Docker's is the Engine itself. */
  async start(): Promise<void> {
    if (this.kind === "Weft") await Promise.all(this.hosts.map((host) => host.startDaemon()));
  }

  /** Docker's CLI on a host, for a command that must succeed. */
  docker(host: Host, args: readonly string[]): Promise<string> {
    return this.kind === "Weft" ? host.dockerOk(args) : host.engineOk(args);
  }

  /** A call of the manager's API that must succeed. */
  async call(method: string, path: string, body?: unknown): Promise<unknown> {
    const socket = this.kind === "Weft" ? this.manager.weftSocket : this.manager.engineSocket;
    const { status, body: text } = await unixHttp(socket, {
      method,
      path: `/v1.41${path}`,
      headers: { "content-type": "application/json" },
      timeoutMs: CALL_TIMEOUT_MS,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (status >= 300) throw new LabError(`${this.kind}: ${method} ${path}: ${status} ${text}`);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  /**
   * By its id, which is the same on all hosts: a Swarm asks a registry for any other name before it uses
   * what it has, and there is none here to answer.
   */
  async imageID(name: ImageName): Promise<string> {
    return (await this.manager.engineOk(["inspect", "--format", "{{.Id}}", name])).trim();
  }

  async tasks(service?: string): Promise<TaskSeen[]> {
    const filters = service === undefined ? {} : { service: { [service]: true } };
    const path = `/tasks?filters=${encodeURIComponent(JSON.stringify(filters))}`;
    const listed = (await this.call("GET", path)) as readonly RawTask[];
    return listed.map((task) => ({
      nodeID: task.NodeID ?? "",
      state: task.Status?.State ?? "",
      desiredState: task.DesiredState ?? "",
      containerID: task.Status?.ContainerStatus?.ContainerID ?? "",
    }));
  }

  /** Resolves when so many tasks run that are meant to, of one service or of all. */
  async untilRunning(count: number, service?: string, isElsewhere?: string): Promise<void> {
    const enough = async () => {
      const tasks = await this.tasks(service);
      const running = tasks.filter(
        ({ state, desiredState, nodeID }) =>
          state === "running" && desiredState === "running" && nodeID !== isElsewhere,
      );
      // The states are the last that is seen when it takes too long.
      if (running.length < count) throw new LabError(statesOf(tasks));
      return true;
    };
    await this.until(enough, `${count} running tasks`);
  }

  async until(look: () => Promise<boolean>, what: string): Promise<void> {
    const options = { what: `${what} (${this.kind})`, intervalMs: LOOK_MS, timeoutMs: WAIT_MS };
    await until(look, options);
  }

  /** Where no host answers a published port: that, and what it lacks. */
  async whyUnanswered(): Promise<string> {
    const { code } = await this.manager.exec(["test", "-e", "/proc/net/ip_vs"]);
    const why = code === 0 ? "for no known reason" : "its mesh needs IPVS, which this kernel lacks";
    return `no host answers the published port: ${why}`;
  }

  /** State and id of the nodes by host name. */
  async nodes(): Promise<Map<string, { readonly id: string; readonly state: string }>> {
    const listed = (await this.call("GET", "/nodes")) as readonly RawNode[];
    return new Map(
      listed.map((node) => [
        node.Description?.Hostname ?? "",
        { id: node.ID ?? "", state: node.Status?.State ?? "" },
      ]),
    );
  }
}

/** As "4 running, 2 preparing". */
function statesOf(tasks: readonly TaskSeen[]): string {
  const wanted = tasks.filter(({ desiredState }) => desiredState === "running");
  const states = [...new Set(wanted.map(({ state }) => state))];
  const counts = states.map((one) => wanted.filter(({ state }) => state === one).length);
  return states.map((state, index) => `${counts[index]} ${state}`).join(", ");
}

interface RawTask {
  readonly NodeID?: string;
  readonly DesiredState?: string;
  readonly Status?: {
    readonly State?: string;
    readonly ContainerStatus?: { readonly ContainerID?: string };
  };
}

interface RawNode {
  readonly ID?: string;
  readonly Description?: { readonly Hostname?: string };
  readonly Status?: { readonly State?: string };
}
