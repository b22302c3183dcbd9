/**
 * This node as a member of the gossip: begins once managers have told its address and the keys, meets the
 * others where managers say that they are, and begins anew where this host's address is another.
 */

import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Random } from "../base/random.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import type { Address } from "../gossip/address.ts";
import { type GossipApplication, GossipNode } from "../gossip/gossip-node.ts";
import { Keyring } from "../gossip/keyring.ts";
import { META_BYTES_MAX } from "../gossip/messages.ts";
import type { Member, MemberChange } from "../gossip/swim-state.ts";
import type { Timings } from "../gossip/timings.ts";
import type { Transport } from "../gossip/transport.ts";
import { GOSSIP_PORT, SocketTransport } from "../gossip/transport-socket.ts";

/** A port that somebody else has, or an address that is not here yet, is tried again after this. */
const BIND_RETRY_MS = 5_000;
/** Addresses that this node had before; who still speaks of an older one is taken for another of its name. */
const FORMERLY_MAX = 8;

export interface GossipMemberComponents {
  readonly nodeID: string;
  /** Told to the others, for people. */
  readonly hostname: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly application: GossipApplication;
  /** It takes part from now on, for the first time or anew. */
  readonly onBegin: () => void;
  readonly onChange: (change: MemberChange, member: Member) => void;
  readonly transport?: (bind: Address) => Transport;
  readonly timings?: Timings;
}

export class GossipMember implements Startable {
  readonly #components: GossipMemberComponents;
  readonly #log: Logger;
  readonly #loop: Reconciler;
  #node: GossipNode | undefined;
  #keyring: Keyring | undefined;
  #mesh: MeshConfig | undefined;
  #formerly: readonly Address[] = [];
  /** Why it does not gossip; empty when it does. */
  #fault = "";

  constructor(components: GossipMemberComponents) {
    this.#components = components;
    this.#log = components.log;
    this.#loop = new Reconciler({
      pass: () => this.#pass(),
      onError: (error) => this.#onFault(messageOf(error)),
      retryMs: BIND_RETRY_MS,
    });
  }

  /** It waits for keys and for an address of its own: both come from a manager. */
  start(): void {}

  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.#node?.stop();
  }

  /** Tells the others that this node goes for good, and stops. */
  async leave(): Promise<void> {
    await this.#loop.stop();
    await this.#node?.leave();
    await this.stop();
  }

  /** Undefined while it does not gossip. */
  get node(): GossipNode | undefined {
    return this.#node;
  }

  get fault(): string {
    return this.#fault;
  }

  setKeys(keys: readonly Uint8Array[]): void {
    const [first, ...others] = keys;
    if (first === undefined) return;
    if (this.#keyring === undefined) this.#keyring = new Keyring(first, others);
    else this.#keyring.replace(first, others);
    this.#loop.markDirty();
  }

  setMesh(mesh: MeshConfig): void {
    this.#mesh = mesh;
    this.#loop.markDirty();
  }

  async #pass(): Promise<void> {
    const { nodeID } = this.#components;
    const nodes = this.#mesh?.nodes ?? [];
    const host = nodes.find((node) => node.nodeID === nodeID)?.underlayAddress;
    if (this.#keyring === undefined || host === undefined) return;
    if (this.#node !== undefined && this.#node.address.host !== host) {
      this.#log.info("this node's address is another now", { address: host });
      this.#formerly = [this.#node.address, ...this.#formerly].slice(0, FORMERLY_MAX);
      await this.#node.stop();
      this.#node = undefined;
    }
    if (this.#node === undefined) {
      this.#node = await this.#begin(host, this.#keyring);
      this.#components.onBegin();
    }
    const others = nodes.filter((node) => node.nodeID !== nodeID);
    this.#node.meet(
      new Map(
        others.map((node) => [node.nodeID, { host: node.underlayAddress, port: GOSSIP_PORT }]),
      ),
    );
  }

  async #begin(host: string, keyring: Keyring): Promise<GossipNode> {
    let node: GossipNode;
    try {
      node = await this.#bind(host, { host, port: GOSSIP_PORT }, keyring);
    } catch (error) {
      if (!isNotHere(error)) throw error;
      // What others reach it by is not an address of this host's: some router leads it here.
      const any = { host: isOfIPv6(host) ? "::" : "0.0.0.0", port: GOSSIP_PORT };
      node = await this.#bind(host, any, keyring);
    }
    this.#fault = "";
    node.on("change", this.#components.onChange);
    return node;
  }

  async #bind(host: string, bind: Address, keyring: Keyring): Promise<GossipNode> {
    const { nodeID, hostname, clock, random, log, application, timings } = this.#components;
    const { transport = (address: Address) => new SocketTransport(address) } = this.#components;
    const node = new GossipNode(
      { transport: transport(bind), clock, random, log },
      {
        node: nodeID,
        advertise: { host, port: GOSSIP_PORT },
        meta: Buffer.from(hostname).subarray(0, META_BYTES_MAX),
        formerly: this.#formerly,
        application,
        keyring,
        ...(timings === undefined ? {} : { timings }),
      },
    );
    await node.start();
    return node;
  }

  /** Said once for each reason. */
  #onFault(reason: string): void {
    if (reason !== this.#fault) this.#log.warn("this node does not gossip", { reason });
    this.#fault = reason;
  }
}

function isNotHere(error: unknown): boolean {
  const cause =
    error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  return cause?.code === "EADDRNOTAVAIL";
}
