/** What has changed since the last pass, so that a pass costs what changed and not what there is. */
import type { Task } from "../cluster/objects.ts";
import type { Change, Snapshot } from "../cluster/store.ts";
import type { MeshDirt } from "./mesh.ts";

export interface TakenDirt {
  readonly mesh: MeshDirt;
  /** Nodes whose assignments may have changed. */
  readonly sessions: Set<string> | "all";
}

export class Dirt {
  #all = false;
  #mesh = false;
  #nodeIDs = new Set<string>();
  #serviceIDs = new Set<string>();
  #networkIDs = new Set<string>();
  #sessions = new Set<string>();

  markAll(): void {
    this.#all = true;
  }

  markSession(nodeID: string): void {
    this.#sessions.add(nodeID);
  }

  /** A node's own entry in the mesh, and every endpoint on it. */
  markNode(nodeID: string, snapshot: Snapshot): void {
    this.#nodeIDs.add(nodeID);
    for (const attachment of snapshot.list("attachment")) {
      if (attachment.nodeID === nodeID) this.#networkIDs.add(attachment.networkID);
    }
    for (const { serviceID } of snapshot.tasksOfNode(nodeID)) this.#serviceIDs.add(serviceID);
  }

  markChange(change: Change): void {
    switch (change.kind) {
      case "cluster":
        this.#mesh = true;
        break;
      case "network":
        if (change.object.spec.ingress) this.#mesh = true;
        else this.#networkIDs.add(change.object.id);
        break;
      case "node":
        this.#nodeIDs.add(change.object.id);
        break;
      case "service":
        this.#serviceIDs.add(change.object.id);
        break;
      case "task":
        this.#markTask(change.object);
        if (change.action === "update") this.#markTask(change.old);
        break;
      case "attachment":
        this.#networkIDs.add(change.object.networkID);
        this.#sessions.add(change.object.nodeID);
        break;
      case "secret":
      case "config":
        // Its data never changes, and it is there before a task refers to it.
        break;
      default:
        change satisfies never;
    }
  }

  #markTask({ serviceID, nodeID }: Task): void {
    this.#serviceIDs.add(serviceID);
    if (nodeID !== undefined) this.#sessions.add(nodeID);
  }

  take(): TakenDirt {
    const taken: TakenDirt = {
      mesh:
        this.#all || this.#mesh
          ? "all"
          : {
              nodeIDs: this.#nodeIDs,
              serviceIDs: this.#serviceIDs,
              networkIDs: this.#networkIDs,
            },
      sessions: this.#all ? "all" : this.#sessions,
    };
    this.#all = false;
    this.#mesh = false;
    this.#nodeIDs = new Set();
    this.#serviceIDs = new Set();
    this.#networkIDs = new Set();
    this.#sessions = new Set();
    return taken;
  }
}
