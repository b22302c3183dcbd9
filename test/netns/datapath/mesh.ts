/** A mesh on a lab: who runs which task, what is published, and each host's view of it. */

import { ipv6Of } from "../../../src/datapath/ipv6.ts";
import type {
  HostPort,
  MeshEndpoint,
  MeshPort,
  MeshService,
  MeshView,
} from "../../../src/datapath/view.ts";
import { portKey } from "../../../src/datapath/view.ts";
import type { Host, HostName, Lab, Place } from "./lab.ts";
import { SUBNET, SUBNET6 } from "./lab.ts";

export const TARGET_PORT = 80;

export interface LabTask {
  readonly name: string;
  readonly host: HostName;
  readonly address: string;
}

/** What every host is told; a test changes it and applies again. */
export class Mesh {
  readonly #lab: Lab;
  readonly #tasks: readonly LabTask[];
  readonly places = new Map<string, Place>();
  readonly services = new Map<number, MeshService>();
  readonly hostPorts = new Map<HostName, HostPort[]>();
  /** Hosts that the others do not know as members. */
  readonly absent = new Set<HostName>();
  /** Tasks that do not serve IPv6. */
  readonly ipv4Only = new Set<string>();
  vni = 4096;
  #revision = 0;

  constructor(lab: Lab, tasks: readonly LabTask[]) {
    this.#lab = lab;
    this.#tasks = tasks;
  }

  async startTasks(): Promise<void> {
    for (const task of this.#tasks) {
      const host = this.#lab.host(task.host);
      const place = await this.#lab.task(host, task.name, task.address, linkOf(task));
      this.places.set(task.name, place);
    }
  }

  place(task: string): Place {
    const place = this.places.get(task);
    if (place === undefined) throw new Error(`no task ${task}`);
    return place;
  }

  /** Publishes a port on TCP and UDP, answered by the named tasks; "b2:draining" is draining. */
  publish(port: number, endpoints: readonly string[]): void {
    const ports = (["tcp", "udp"] as const).map((protocol) => ({
      protocol,
      publishedPort: port,
      targetPort: TARGET_PORT,
    }));
    const made = endpoints.map((endpoint) => this.#endpoint(endpoint));
    const name = `service-${port}`;
    this.services.set(port, { serviceID: name, serviceName: name, ports, endpoints: made });
  }

  /** Who may reach a published port, and where it is answered. */
  limit(port: number, limits: Pick<MeshPort, "allowedSources" | "boundTo">): void {
    const service = this.services.get(port);
    if (service === undefined) throw new Error(`port ${port} is not published`);
    const ports = service.ports.map((one) => ({ ...one, ...limits }));
    this.services.set(port, { ...service, ports });
  }

  publishOnHost(host: HostName, port: number, task: string): void {
    const { address } = this.#task(task);
    const common = {
      ...{ publishedPort: port, targetPort: TARGET_PORT, taskID: task, address },
      ipv6: true,
    };
    this.hostPorts.set(host, [
      { protocol: "tcp", ...common },
      { protocol: "udp", ...common },
    ]);
  }

  view(host: Host): MeshView {
    const services = [...this.services.values()];
    const hostPorts = this.hostPorts.get(host.name) ?? [];
    const ports = [...services.flatMap((service) => service.ports), ...hostPorts];
    const local = this.#tasks.filter((task) => task.host === host.name);
    const others = this.#lab.hosts.filter((other) => other !== host);
    const peers = others.filter((other) => !this.absent.has(other.name));
    return {
      revision: this.#revision,
      self: host.node,
      peers: peers.map((other) => other.node),
      subnet: SUBNET,
      subnet6: SUBNET6,
      vni: this.vni,
      dataPathPort: 4789,
      services,
      networks: [],
      hostPorts,
      overlayLinks: [],
      localLinks: local.map((task) => ({
        address: task.address,
        address6: ipv6Of(SUBNET6, SUBNET, task.address),
        link: linkOf(task),
      })),
      heldPorts: new Set(ports.map((port) => portKey(port.protocol, port.publishedPort))),
    };
  }

  async apply(): Promise<number[]> {
    this.#revision++;
    const reports = this.#lab.hosts.map((host) => host.apply(this.view(host)));
    return (await Promise.all(reports)).map((report) => report.changes);
  }

  #endpoint(spec: string): MeshEndpoint {
    const [name = "", state] = spec.split(":");
    const { address, host } = this.#task(name);
    const nodeIndex = this.#lab.host(host).node.index;
    return {
      ...{ taskID: name, address, nodeIndex },
      state: state === "draining" ? "draining" : "live",
      ...(this.ipv4Only.has(name)
        ? {}
        : { ipv6Ports: [`tcp/${TARGET_PORT}`, `udp/${TARGET_PORT}`] }),
    };
  }

  #task(name: string): LabTask {
    const task = this.#tasks.find((one) => one.name === name);
    if (task === undefined) throw new Error(`no task ${name}`);
    return task;
  }
}

export function linkOf(task: LabTask): string {
  return `wv${task.name}`;
}
