/** Users' overlay networks on a lab: who is where on which network, what is a service, and each host's view of it. */
import {
  bridgeCommands,
  bridgeName,
  forgetWayCommand,
  macOf,
  portCommands,
  portEntryCommand,
} from "../../../src/base/overlay-links.ts";
import type {
  OverlayEndpoint,
  OverlayNetwork,
  OverlayService,
} from "../../../src/datapath/overlay/view.ts";
import type { MeshView } from "../../../src/datapath/view.ts";
import { type Host, type HostName, inNamespace, type Lab, type Place } from "./lab.ts";
import { Mesh } from "./mesh.ts";

export interface OverlayTask {
  readonly name: string;
  readonly host: HostName;
  readonly vni: number;
  /** IPv4 first. */
  readonly addresses: readonly string[];
}

/** What every host is told; a test changes it and applies again. */
export class Overlays {
  readonly mesh: Mesh;
  readonly networks = new Map<number, Omit<OverlayNetwork, "services" | "containers">>();
  readonly #lab: Lab;
  readonly #services = new Map<string, OverlayService & { readonly vni: number }>();
  readonly #tasks = new Map<string, OverlayTask>();
  readonly #places = new Map<string, Place>();

  constructor(lab: Lab) {
    this.#lab = lab;
    this.mesh = new Mesh(lab, []);
  }

  addNetwork(vni: number, ...subnets: readonly string[]): void {
    const network = { networkID: `net${vni}`, name: `net${vni}`, vni, subnets, internal: false };
    this.networks.set(vni, network);
  }

  /** As the keeper and the Engine do it: a port of the bridge, and the container's end with its address. */
  async start(task: OverlayTask): Promise<Place> {
    const host = this.#lab.host(task.host);
    const place = await this.#lab.place(task.name);
    const [bridge, link] = [bridgeName(task.vni), linkOf(task)];
    const isThere = (await host.run("ip", "-o", "link")).includes(`${bridge}:`);
    const mac = macOf(task.addresses[0] ?? "");
    await batch(host.namespace, "ip", [
      ...(isThere ? [] : bridgeCommands(bridge)),
      `link add ${link} mtu 1450 type veth peer name eth0 mtu 1450 netns ${place.namespace}`,
      ...portCommands(link, bridge),
    ]);
    await batch(host.namespace, "bridge", [portEntryCommand(link, mac)]);
    // Where there is nothing to forget, it says so.
    const forget = ["nft", forgetWayCommand(bridge, mac)];
    await inNamespace(host.namespace, forget).catch(() => "");
    await batch(place.namespace, "ip", [
      `link set eth0 address ${mac}`,
      ...task.addresses.map((one) => `addr add ${one}${prefixOf(one)} dev eth0`),
      "link set eth0 up",
    ]);
    this.#tasks.set(task.name, task);
    this.#places.set(task.name, place);
    await place.call({ call: "serve", name: task.name, port: 80 });
    return place;
  }

  /** Its link is gone; nobody is told of it any more. */
  async end(name: string): Promise<void> {
    const task = this.#tasks.get(name);
    if (task === undefined) throw new Error(`no task ${name}`);
    await this.#lab.host(task.host).run("ip", "link", "delete", linkOf(task));
    this.#tasks.delete(name);
  }

  place(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new Error(`no task ${name}`);
    return place;
  }

  /** "b2:draining" is draining; what is not named is live. */
  serve(vni: number, virtualIPs: readonly string[], ...tasks: readonly string[]): void {
    const name = `service-${vni}-${virtualIPs[0]}`;
    const endpoints = tasks.map((spec) => this.#endpoint(spec));
    const service = { serviceID: name, serviceName: name, aliases: [], virtualIPs, endpoints, vni };
    this.#services.set(name, service);
  }

  view(host: Host): MeshView {
    const local = [...this.#tasks.values()].filter((task) => task.host === host.name);
    const services = [...this.#services.values()];
    const networks = [...this.networks.values()].map((network) => ({
      ...network,
      services: services.filter(({ vni }) => vni === network.vni),
      containers: this.#unserved(network.vni),
    }));
    const overlayLinks = local.map((task) => ({
      vni: task.vni,
      address: task.addresses[0] ?? "",
      link: linkOf(task),
      sandbox: `/run/netns/${this.place(task.name).namespace}`,
    }));
    return { ...this.mesh.view(host), networks, overlayLinks };
  }

  async apply(): Promise<number[]> {
    const reports = this.#lab.hosts.map((host) => host.apply(this.view(host)));
    return (await Promise.all(reports)).map((report) => report.changes);
  }

  /** Tasks that no service has are as containers that a user attached. */
  #unserved(vni: number): OverlayEndpoint[] {
    const served = new Set([...this.#services.values()].flatMap(({ endpoints }) => endpoints));
    const names = new Set([...served].map(({ taskID }) => taskID));
    const tasks = [...this.#tasks.values()].filter((task) => task.vni === vni);
    return tasks.filter(({ name }) => !names.has(name)).map(({ name }) => this.#endpoint(name));
  }

  #endpoint(spec: string): OverlayEndpoint {
    const [name = "", state] = spec.split(":");
    const task = this.#tasks.get(name);
    if (task === undefined) throw new Error(`no task ${name}`);
    return {
      taskID: name,
      taskName: name,
      aliases: [],
      addresses: task.addresses,
      nodeIndex: this.#lab.host(task.host).node.index,
      state: state === "draining" ? "draining" : "live",
    };
  }
}

/** Twelve hexadecimal digits, as an Engine's id has them. */
export function linkOf({ name }: { readonly name: string }): string {
  return `wo${Buffer.from(name.padEnd(6)).toString("hex").slice(0, 12)}`;
}

function prefixOf(address: string): string {
  return address.includes(":") ? "/64 nodad" : "/24";
}

async function batch(namespace: string, tool: string, lines: readonly string[]): Promise<void> {
  await inNamespace(namespace, [tool, "-batch", "-"], `${lines.join("\n")}\n`);
}
