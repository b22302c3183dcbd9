/**
 * Places in networks for containers that users run themselves: a node asks, the allocator gives addresses, and the
 * node is answered once it knows the network. The node says when a place is free again.
 */
import { isIPv4 } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ForbiddenError,
  InvalidParameterError,
  messageOf,
  UnavailableError,
  WeftError,
} from "../base/errors.ts";
import { type AttachmentID, type NodeID, newID } from "../base/ids.ts";
import { findNetwork } from "../cluster/finders.ts";
import type { Network } from "../cluster/objects.ts";
import type { Snapshot, Store } from "../cluster/store.ts";
import type { Attach, AttachedSchema } from "./gen/weft_pb.ts";

/** Containers of users on one node; a further one is refused. */
const ATTACHMENTS_PER_NODE_MAX = 1_024;
/** Of names and aliases, which are answered as names: what is longer, or more, is refused. */
const NAME_LENGTH_MAX = 253;
const ALIASES_MAX = 64;

export type AttachedInit = MessageInitShape<typeof AttachedSchema>;

/** A node that waits for its answer. */
interface Waiting {
  readonly nodeID: string;
  readonly question: number;
}

export class Attachments {
  readonly #store: Store;
  readonly #waiting = new Map<string, Waiting>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Puts the attachment; what is refused at once is answered here, the rest by `answers`. */
  async ask(nodeID: NodeID, frame: Attach): Promise<AttachedInit | undefined> {
    const { question } = frame;
    const id = newID<AttachmentID>();
    this.#waiting.set(id, { nodeID, question });
    try {
      await this.#store.update((tx) => {
        const network = attachableNetwork(tx, frame.network);
        checkNames(frame);
        const own = tx.list("attachment").filter((each) => each.nodeID === nodeID);
        if (own.length >= ATTACHMENTS_PER_NODE_MAX) {
          throw new UnavailableError("too many containers of this node are attached to networks");
        }
        tx.put("attachment", {
          ...{ id, nodeID, networkID: network.id, addresses: [] },
          ...{ containerName: frame.containerName, aliases: frame.aliases },
          ...(frame.address === "" ? {} : { wanted: frame.address }),
        });
      });
      return undefined;
    } catch (error) {
      this.#waiting.delete(id);
      return refusal(question, error);
    }
  }

  /** What this node's questions have come to by now. */
  answers(snapshot: Snapshot, nodeID: string): readonly AttachedInit[] {
    return [...this.#waiting].flatMap(([id, waiting]) => {
      if (waiting.nodeID !== nodeID) return [];
      const attachment = snapshot.get("attachment", id);
      const network = attachment && snapshot.get("network", attachment.networkID);
      const { question } = waiting;
      if (attachment === undefined || network === undefined) {
        // Its transaction is not done yet, or somebody removed the network in between.
        return attachment === undefined ? [] : this.#refuse(id, question, "the network is gone");
      }
      if (attachment.err !== undefined) return this.#refuse(id, question, attachment.err);
      if (attachment.addresses.length === 0) return [];
      this.#waiting.delete(id);
      const addresses = attachment.addresses.map((address) => address.split("/")[0] ?? address);
      const networkName = network.spec.name;
      return [{ question, attachmentId: id, networkId: network.id, networkName, addresses }];
    });
  }

  /** Given up by the node that has them; whose they are not is left alone. */
  async release(nodeID: string, ids: readonly string[]): Promise<void> {
    await this.#store.update((tx) => {
      for (const id of ids) {
        if (tx.get("attachment", id)?.nodeID === nodeID) tx.delete("attachment", id);
      }
    });
  }

  /** Nobody waits there any more; what was put all the same is given up by the node. */
  forgetQuestions(nodeID: string): void {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.nodeID === nodeID) this.#waiting.delete(id);
    }
  }

  /** The node is no member any more. */
  async releaseAll(nodeID: string): Promise<void> {
    this.forgetQuestions(nodeID);
    await this.#store.update((tx) => {
      for (const attachment of tx.list("attachment")) {
        if (attachment.nodeID === nodeID) tx.delete("attachment", attachment.id);
      }
    });
  }

  #refuse(id: string, question: number, reason: string): readonly AttachedInit[] {
    const nodeID = this.#waiting.get(id)?.nodeID ?? "";
    this.#waiting.delete(id);
    // A failure leaves an attachment that its node finds nobody using, and gives up again.
    this.release(nodeID, [id]).catch(() => {});
    return [refusal(question, new ForbiddenError(reason))];
  }
}

function attachableNetwork(snapshot: Snapshot, reference: string): Network {
  const network = findNetwork(snapshot, reference);
  if (network.spec.attachable) return network;
  throw new ForbiddenError(
    `rpc error: code = PermissionDenied desc = network ${network.spec.name} not manually attachable`,
  );
}

function checkNames({ containerName, aliases, address }: Attach): void {
  const isBad = [containerName, ...aliases].some((name) => name.length > NAME_LENGTH_MAX);
  if (isBad || aliases.length > ALIASES_MAX) {
    throw new InvalidParameterError(
      "a container's name or alias is too long, or they are too many",
    );
  }
  if (address !== "" && !isIPv4(address)) {
    throw new InvalidParameterError(`invalid IPv4 address: ${address.slice(0, NAME_LENGTH_MAX)}`);
  }
}

function refusal(question: number, error: unknown): AttachedInit {
  const code = error instanceof WeftError ? error.code : "system";
  return { question, err: messageOf(error), code };
}
