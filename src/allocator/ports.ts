/**
 * Published ports of services in ingress mode: what the user asked for, else what the service had before,
 * else the next one of the dynamic range. Host-mode ports belong to nodes; they pass through unchanged.
 */
import {
  PORT_PROTOCOLS,
  type PortConfig,
  type PortProtocol,
  type Service,
} from "../cluster/objects.ts";

export const DYNAMIC_PORT_FIRST = 30_000;
export const DYNAMIC_PORT_LAST = 32_767;
const DYNAMIC_PORTS = DYNAMIC_PORT_LAST - DYNAMIC_PORT_FIRST + 1;

/** The last dynamic port that was given, per protocol. */
export type PortCursors = Readonly<Partial<Record<PortProtocol, number>>>;

export type PortsResult =
  | { readonly kind: "ports"; readonly ports: readonly PortConfig[] }
  | { readonly kind: "refused"; readonly reason: string };

/** Which service has which port of the cluster, in one pass. */
export class PortSpace {
  readonly #holders = new Map<string, Service>();
  readonly #avoided = new Set<string>();
  #cursors: PortCursors;

  /** What stands is held before anything new is given, whoever asks first. */
  constructor(services: readonly Service[], cursors: PortCursors) {
    this.#cursors = { ...highestDynamic(services), ...cursors };
    for (const service of services) {
      for (const port of service.endpoint?.ports ?? []) {
        if (isIngress(port)) this.#holders.set(keyOf(port, port.publishedPort), service);
      }
      // A dynamic port keeps clear of host-mode ones too: they are bound on the same hosts.
      for (const port of service.spec.endpointSpec?.ports ?? []) {
        if (!isIngress(port)) this.#avoided.add(keyOf(port, port.publishedPort));
      }
    }
  }

  get cursors(): PortCursors {
    return this.#cursors;
  }

  /** Gives the service its ports, in the order of its spec; what it had and no longer wants becomes free. */
  allocate(service: Service): PortsResult {
    const wanted = service.spec.endpointSpec?.ports ?? [];
    const refusal = this.#conflict(service, wanted);
    if (refusal !== undefined) return { kind: "refused", reason: refusal };
    const old = service.endpoint?.ports.filter(isIngress) ?? [];
    for (const port of old) this.#holders.delete(keyOf(port, port.publishedPort));
    for (const port of wanted) {
      if (isIngress(port) && port.publishedPort !== undefined) {
        this.#holders.set(keyOf(port, port.publishedPort), service);
      }
    }
    const ports: PortConfig[] = [];
    for (const port of wanted) {
      const publishedPort = isIngress(port)
        ? (port.publishedPort ?? this.#kept(port, old, service) ?? this.#next(port, service))
        : port.publishedPort;
      if (isIngress(port) && publishedPort === undefined) {
        for (const each of old) this.#holders.set(keyOf(each, each.publishedPort), service);
        const range = `${DYNAMIC_PORT_FIRST}-${DYNAMIC_PORT_LAST}/${port.protocol}`;
        return {
          kind: "refused",
          reason: `no port is free to publish: all of ${range} are in use`,
        };
      }
      ports.push(publishedPort === undefined ? port : { ...port, publishedPort });
    }
    return { kind: "ports", ports };
  }

  #conflict(service: Service, wanted: readonly PortConfig[]): string | undefined {
    for (const port of wanted.filter(isIngress)) {
      const holder = this.#holders.get(keyOf(port, port.publishedPort));
      if (port.publishedPort === undefined || holder === undefined || holder.id === service.id) {
        continue;
      }
      return `port '${port.publishedPort}' is already in use by service '${holder.spec.name}' (${holder.id}) as an ingress port`;
    }
    return undefined;
  }

  /** What the same target had before, while it is still free: an update must not move it. */
  #kept(port: PortConfig, old: readonly PortConfig[], service: Service): number | undefined {
    const kept = old.find(
      (each) =>
        each.protocol === port.protocol &&
        each.targetPort === port.targetPort &&
        !this.#holders.has(keyOf(each, each.publishedPort)),
    );
    if (kept !== undefined) this.#holders.set(keyOf(kept, kept.publishedPort), service);
    return kept?.publishedPort;
  }

  #next(port: PortConfig, service: Service): number | undefined {
    const last = this.#cursors[port.protocol] ?? DYNAMIC_PORT_LAST;
    for (let i = 1; i <= DYNAMIC_PORTS; i++) {
      const candidate = DYNAMIC_PORT_FIRST + ((last - DYNAMIC_PORT_FIRST + i) % DYNAMIC_PORTS);
      const key = keyOf(port, candidate);
      if (this.#holders.has(key) || this.#avoided.has(key)) continue;
      this.#holders.set(key, service);
      this.#cursors = { ...this.#cursors, [port.protocol]: candidate };
      return candidate;
    }
    return undefined;
  }
}

export function isIngress(port: PortConfig): boolean {
  return port.publishMode === "ingress";
}

/** After a restart the search goes on above what is in use, so that a port freed lately is still not the next. */
function highestDynamic(services: readonly Service[]): PortCursors {
  const highest: Partial<Record<PortProtocol, number>> = {};
  for (const protocol of PORT_PROTOCOLS) {
    const inUse = services
      .flatMap((service) => service.endpoint?.ports ?? [])
      .filter((port) => port.protocol === protocol && isIngress(port))
      .map((port) => port.publishedPort ?? 0)
      .filter((port) => port >= DYNAMIC_PORT_FIRST && port <= DYNAMIC_PORT_LAST);
    if (inUse.length > 0) highest[protocol] = inUse.reduce((a, b) => Math.max(a, b));
  }
  return highest;
}

function keyOf(port: PortConfig, publishedPort: number | undefined): string {
  return `${port.protocol}/${publishedPort ?? ""}`;
}
