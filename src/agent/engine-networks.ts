/** The networks that this node's runtime is to have: made before a task needs one, taken away when no task does. */
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { NetworkAttachment } from "../cluster/objects.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import type { Runtime, RuntimeNetwork } from "../runtime/runtime.ts";

/** A network that cannot go, because a container is still on it, is looked at again so often. */
const RETRY_MS = 10_000;

/**
 * The network of an attachment as the runtime must have it; undefined until the managers have told it. `ipv6`: whether
 * the mesh has it on this host.
 */
export function runtimeNetworkOf(
  mesh: MeshConfig | undefined,
  wanted: NetworkAttachment["network"],
  ipv6: boolean,
): RuntimeNetwork | undefined {
  if (wanted.overlay !== true) {
    const network = mesh?.network;
    return network?.name === wanted.name
      ? {
          name: network.name,
          subnets: [network.subnet, ...(ipv6 && network.subnet6 ? [network.subnet6] : [])],
          ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
        }
      : undefined;
  }
  const network = mesh?.networks.find(({ networkID }) => networkID === wanted.id);
  if (network === undefined) return undefined;
  const { networkID, name, subnets, vni, internal, mtu } = network;
  return {
    name,
    subnets,
    overlay: { networkID, vni, internal },
    ...(mtu === undefined ? {} : { mtu }),
  };
}

export interface NetworkSweeperComponents {
  readonly runtime: Runtime;
  readonly log: Logger;
  /** As last told; undefined while nobody has said which networks there are. */
  readonly mesh: () => MeshConfig | undefined;
}

/** Takes away what no task of this node is on. */
export class NetworkSweeper implements Startable {
  readonly #components: NetworkSweeperComponents;
  readonly #loop: Reconciler;
  #wanted: string | undefined;

  constructor(components: NetworkSweeperComponents) {
    this.#components = components;
    this.#loop = new Reconciler({
      pass: () => this.#pass(),
      onError: (error) => components.log.debug("a network of no task stays for now", { error }),
      retryMs: RETRY_MS,
    });
  }

  start(): void {
    this.markDirty();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** The runtime answers again: whatever it has may be from long ago. */
  markDirty(): void {
    this.#loop.markDirty();
  }

  /** Looks only when the networks are others than before. */
  onMesh(mesh: MeshConfig): void {
    const wanted = namesOf(mesh).join("\n");
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.markDirty();
  }

  idle(): Promise<void> {
    return this.#loop.idle();
  }

  async #pass(): Promise<void> {
    const { runtime, mesh } = this.#components;
    if (mesh() === undefined) return;
    await runtime.sweepNetworks((name) => {
      const told = mesh();
      return told === undefined || namesOf(told).includes(name);
    });
  }
}

function namesOf({ network, networks }: MeshConfig): readonly string[] {
  return [...(network === undefined ? [] : [network.name]), ...networks.map(({ name }) => name)];
}
