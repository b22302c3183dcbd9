/**
 * This node's containers of users' own in the cluster's networks: a place is asked for before such a container is
 * made, and given back when no container has it any more, started or not.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { UnavailableError } from "../base/errors.ts";
import type { NetworkID } from "../base/ids.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type {
  AttachmentDesk,
  AttachmentPlace,
  AttachmentRequest,
  MeshConfig,
} from "../dispatcher/assignment.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { runtimeNetworkOf } from "./engine-networks.ts";

/** A stopped container that is removed makes no event of the network's: its place is free after so long at most. */
const LOOK_MS = 10_000;
/** Between the answer and the container's being there; a place that nobody settled is looked at after it. */
const SETTLE_MS_MAX = 60_000;

export interface NodeAttachmentsComponents {
  readonly nodeID: string;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly mesh: () => MeshConfig | undefined;
}

export class NodeAttachments implements Startable {
  readonly #components: NodeAttachmentsComponents;
  readonly #loop: Reconciler;
  /** Given, with a container that is not there yet. */
  readonly #unsettled = new Map<string, Timer>();
  /** Questions whose answers have not come: the mesh may know their places before this does. */
  #asking = 0;
  /** Places that are no answer to a question that is open now. */
  #seen: ReadonlySet<string> = new Set();
  #desk: AttachmentDesk | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(components: NodeAttachmentsComponents) {
    this.#components = components;
    this.#loop = new Reconciler({
      pass: () => this.#pass(),
      onError: (error) => components.log.debug("attached containers are not known now", { error }),
    });
  }

  start(): void {
    this.markDirty();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const timer of this.#unsettled.values()) timer.cancel();
    await this.#loop.stop();
  }

  /** Whoever hands out places, as long as there is a session. */
  setDesk(desk: AttachmentDesk): void {
    this.#desk = desk;
  }

  /** A container may have come or gone. */
  markDirty(): void {
    this.#loop.markDirty();
  }

  idle(): Promise<void> {
    return this.#loop.idle();
  }

  /** A place for a container; its network is on the runtime then. `settle` follows. */
  async attach(request: AttachmentRequest): Promise<AttachmentPlace> {
    const { mesh, runtime } = this.#components;
    if (this.#desk === undefined) throw new UnavailableError("no manager is in reach");
    const place = await this.#ask(this.#desk, request);
    const id = place.networkID as NetworkID;
    const attachment = { id, name: place.networkName, overlay: true } as const;
    // Overlay networks have the families that they were made with, whatever the mesh's own has here.
    const network = runtimeNetworkOf(mesh(), attachment, false);
    try {
      if (network === undefined) {
        throw new UnavailableError(`network ${place.networkName} is not known here yet`);
      }
      await runtime.ensureNetwork(network);
    } catch (error) {
      this.settle(place.attachmentID);
      throw error;
    }
    return place;
  }

  async #ask(desk: AttachmentDesk, request: AttachmentRequest): Promise<AttachmentPlace> {
    this.#asking += 1;
    try {
      const place = await desk.attach(request);
      const { attachmentID } = place;
      const timer = this.#components.clock.timer("attachment", SETTLE_MS_MAX, () =>
        this.settle(attachmentID),
      );
      this.#unsettled.set(attachmentID, timer);
      return place;
    } finally {
      this.#asking -= 1;
      this.markDirty();
    }
  }

  /** The container is there, or will never be: from now on the runtime's word counts. */
  settle(attachmentID: string): void {
    this.#unsettled.get(attachmentID)?.cancel();
    this.#unsettled.delete(attachmentID);
    this.markDirty();
  }

  /** Name of the network on this node's runtime; undefined for one that is not of the cluster, or not here. */
  localName(reference: string): string | undefined {
    const networks = this.#components.mesh()?.networks ?? [];
    const found =
      networks.find(({ networkID, name }) => networkID === reference || name === reference) ??
      networks.find(({ networkID }) => reference !== "" && networkID.startsWith(reference));
    return found?.name;
  }

  async #pass(): Promise<void> {
    this.#timer?.cancel();
    const { mesh, nodeID, runtime } = this.#components;
    const self = mesh()?.nodes.find((node) => node.nodeID === nodeID)?.index;
    const own = (mesh()?.networks ?? []).flatMap(({ name, containers }) => {
      const here = containers.filter(({ nodeIndex }) => nodeIndex === self);
      return here.length === 0 ? [] : [{ name, here }];
    });
    if (own.length === 0) return;
    this.#armTimer();
    // As of before the look: what is settled meanwhile may be of a container that the look did not see yet.
    const spared = new Set(this.#unsettled.keys());
    const ids = new Set(own.flatMap(({ here }) => here.map(({ taskID }) => taskID)));
    if (this.#asking === 0) this.#seen = ids;
    const seen = this.#seen;
    const free: string[] = [];
    for (const { name, here } of own) {
      const held = await runtime.addressesIn(name);
      for (const { taskID, addresses } of here) {
        const isHeld = addresses.some((address) => held.has(address));
        if (!isHeld && seen.has(taskID) && !spared.has(taskID)) free.push(taskID);
      }
    }
    if (free.length > 0) this.#desk?.detach(free);
  }

  #armTimer(): void {
    if (this.#stopped) return;
    const { clock } = this.#components;
    this.#timer = clock.timer("attachments", LOOK_MS, () => this.markDirty());
  }
}
