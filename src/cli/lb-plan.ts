/** What a balancer outside of the cluster has to know of a service, from the daemon's answers. Pure. */
import { InvalidParameterError } from "../base/errors.ts";
import { UsageError } from "./command.ts";

/** `mesh`: through every node, wherever tasks are. `names`: straight to the tasks' own ports, which DNS tells. */
export type BalancerWay = "mesh" | "names";

export interface BalancerServer {
  readonly name: string;
  readonly address: string;
}

export interface BalancedPort {
  readonly protocol: "tcp" | "udp";
  /** What clients connect to, on the balancer. */
  readonly listen: number;
  readonly targetPort: number;
  /** Absent where each task has a port of its own. */
  readonly publishedPort?: number;
}

export interface BalancerPlan {
  readonly service: string;
  readonly way: BalancerWay;
  readonly http: boolean;
  readonly ports: readonly BalancedPort[];
  /** Every node, with a task or without: the mesh's servers. */
  readonly servers: readonly BalancerServer[];
  /** `address:port` of names, and what they end with. */
  readonly resolvers: readonly string[];
  readonly zone: string;
  /** As many tasks can be followed. */
  readonly slots: number;
}

export interface BalancerOptions {
  readonly way?: BalancerWay;
  readonly http: boolean;
  readonly resolvers: readonly string[];
  readonly zone: string;
  readonly slots: number;
}

/** Of `GET /services/NAME`. */
export interface ServiceAnswer {
  readonly Spec: { readonly Name: string };
  readonly Endpoint?: { readonly Ports?: readonly PortAnswer[] | null };
}

interface PortAnswer {
  readonly Protocol: string;
  readonly TargetPort: number;
  readonly PublishedPort?: number;
  readonly PublishMode?: string;
}

/** One of `GET /nodes`. */
export interface NodeAnswer {
  readonly ID: string;
  readonly Description?: { readonly Hostname?: string };
  readonly Status?: { readonly Addr?: string };
}

export function balancerPlan(
  service: ServiceAnswer,
  nodes: readonly NodeAnswer[],
  options: BalancerOptions,
): BalancerPlan {
  const { Name } = service.Spec;
  const published = (service.Endpoint?.Ports ?? []).filter(
    ({ Protocol }) => Protocol === "tcp" || Protocol === "udp",
  );
  if (published.length === 0) {
    throw new InvalidParameterError(
      `service ${Name} publishes no port: docker service update --publish-add published=8080,target=80 ${Name}`,
    );
  }
  const isMesh = ({ PublishMode }: PortAnswer) => PublishMode !== "host";
  const way = options.way ?? (published.some(isMesh) ? "mesh" : "names");
  const used = published.filter((port) => way === "names" || isMesh(port));
  if (used.length === 0) {
    throw new UsageError(`service ${Name} publishes in host mode: its way is --way names`);
  }
  return {
    service: Name,
    way,
    http: options.http,
    ports: used.map(portOf),
    servers: serversOf(nodes),
    resolvers: options.resolvers,
    zone: options.zone,
    slots: options.slots,
  };
}

function portOf({ Protocol, TargetPort, PublishedPort }: PortAnswer): BalancedPort {
  return {
    protocol: Protocol === "udp" ? "udp" : "tcp",
    listen: TargetPort,
    targetPort: TargetPort,
    ...(PublishedPort === undefined || PublishedPort === 0 ? {} : { publishedPort: PublishedPort }),
  };
}

/** In the order of their names; two of one name are told apart by their ids. */
function serversOf(nodes: readonly NodeAnswer[]): readonly BalancerServer[] {
  const named = nodes.flatMap(({ ID, Description, Status }) => {
    const address = Status?.Addr ?? "";
    return address === "" ? [] : [{ id: ID, name: Description?.Hostname ?? ID, address }];
  });
  const isAlone = (name: string) => named.filter((node) => node.name === name).length === 1;
  return named
    .map(({ id, name, address }) => ({ name: isAlone(name) ? name : `${name}-${id}`, address }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** As `my-web_80`, of a port. */
export function sectionName({ service }: BalancerPlan, { listen }: BalancedPort): string {
  return `${service}_${listen}`;
}
