/** A manager's side of the API for tests: a store in memory, a cluster of one in it, and logs that say hello. */

import type { GossipReport } from "../agent/gossip-report.ts";
import { ForbiddenError } from "../base/errors.ts";
import { makeCluster, makeNetwork, makeNode } from "../cluster/factories.ts";
import { findNetwork } from "../cluster/finders.ts";
import type { Network } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Store } from "../cluster/store.ts";
import type { TraceQuestion } from "../datapath/host-trace.ts";
import type {
  AttachmentPlace,
  AttachmentRequest,
  LogSubscription,
  NodeTrace,
  TaskLogMessage,
} from "../dispatcher/assignment.ts";
import type { LocalNodeStatus, ManagerBackend, NodeBackend } from "./backend.ts";

export const NODE_ID = "n1n1n1n1n1n1n1n1n1n1n1n1n";

const OUTSIDE: LocalNodeStatus = {
  state: "inactive",
  nodeID: "",
  nodeAddr: "",
  controlAvailable: false,
  error: "",
  remoteManagers: [],
};

const MANAGER: LocalNodeStatus = {
  state: "active",
  nodeID: NODE_ID,
  nodeAddr: "192.168.99.100",
  controlAvailable: true,
  error: "",
  remoteManagers: [{ nodeID: NODE_ID, addr: "192.168.99.100:2377" }],
};

const WORKER: LocalNodeStatus = { ...MANAGER, controlAvailable: false };

const GOSSIP: GossipReport = {
  fault: "",
  keys: ["0a1b2c3d"],
  counters: {
    packetsIn: 5,
    packetsOut: 4,
    bytesOut: 400,
    undecodable: 0,
    unsealed: 1,
    exchanges: 1,
    exchangesFailed: 0,
  },
  disputed: 0,
  ailments: [{ kind: "udp", host: "192.168.99.101" }],
  members: [
    { nodeID: NODE_ID, hostname: "n1", address: "192.168.99.100:7946", state: "alive" },
    {
      nodeID: "n2n2n2n2n2n2n2n2n2n2n2n2n",
      hostname: "n2",
      address: "192.168.99.101:7946",
      state: "suspect",
      lag: 2,
      agrees: false,
      answeredMsAgo: 1_200,
    },
  ],
};

/** The node behind an API under test; what was asked of it is in `calls`. */
export class FakeBackend implements NodeBackend {
  readonly store: Store = createMemoryStore();
  /** What nodes say of packets: nothing, until a test says what. */
  traces: (nodeID: string, packet: TraceQuestion) => NodeTrace = () => ({ revision: 0 });
  readonly calls: string[] = [];
  part: "outside" | "worker" | "manager" = "manager";

  async populate(): Promise<void> {
    await this.store.update((tx) => {
      tx.put(
        "cluster",
        makeCluster({ joinTokens: { worker: "SWMTKN-1-w", manager: "SWMTKN-1-m" } }),
      );
      const addr = "192.168.99.100:2377";
      const managerStatus = { leader: true, reachability: "reachable", addr } as const;
      tx.put("node", makeNode({ id: NODE_ID, hostname: "n1", role: "manager", managerStatus }));
      tx.put("network", makeNetwork());
    });
    // Versions beyond the first, so that a stale one can be named.
    await this.store.update((tx) => {
      for (const kind of ["cluster", "node"] as const) {
        for (const object of tx.list(kind)) {
          tx.put(kind, { ...object, spec: { ...object.spec, labels: { a: "b" } } } as never);
        }
      }
    });
  }

  status(): LocalNodeStatus {
    return { outside: OUTSIDE, worker: WORKER, manager: MANAGER }[this.part];
  }

  manager(): ManagerBackend | undefined {
    if (this.part !== "manager") return undefined;
    return {
      store: this.store,
      changeRoot: async (asked, write) => {
        const { forceRotate } = asked;
        if (forceRotate > 0 || asked.signingCACert !== "") {
          await this.#record(`change root ${JSON.stringify(asked)}`);
        }
        await write({});
      },
      rotateGossipKey: () => this.#record("rotate gossip key"),
      rotateJoinToken: (role) => this.#record(`rotate ${role}`),
      logs: (subscription) => this.#logs(subscription),
      hostRoutes: () => [],
      surveyMesh: async () => ({
        mesh: { revision: 0, nodes: [], services: [], networks: [] },
        kernels: new Map(),
      }),
      traceOn: async (nodeID, packet) => this.traces(nodeID, packet),
    };
  }

  networks(): readonly Network[] {
    return this.part === "outside" ? [] : this.store.view().list("network");
  }

  gossip(): GossipReport | undefined {
    return this.part === "outside" ? undefined : GOSSIP;
  }

  async attach(request: AttachmentRequest): Promise<AttachmentPlace> {
    await this.#record(`attach ${JSON.stringify(request)}`);
    const network = findNetwork(this.store.view(), request.network);
    if (!network.spec.attachable) {
      throw new ForbiddenError(
        `rpc error: code = PermissionDenied desc = network ${network.spec.name} not manually attachable`,
      );
    }
    const addresses = [request.address ?? "10.0.1.9"];
    const networkName = network.spec.name;
    return { attachmentID: "a1", networkID: network.id, networkName, addresses };
  }

  settle(attachmentID: string): void {
    this.calls.push(`settle ${attachmentID}`);
  }

  localNetwork(reference: string): string | undefined {
    const networks = this.store.view().list("network");
    return networks.find(({ id, spec }) => id === reference || spec.name === reference)?.spec.name;
  }

  async init(request: Parameters<NodeBackend["init"]>[0]): Promise<string> {
    await this.#record(`init ${JSON.stringify(request)}`);
    this.part = "manager";
    return NODE_ID;
  }

  async join(request: Parameters<NodeBackend["join"]>[0]): Promise<void> {
    await this.#record(`join ${JSON.stringify(request)}`);
    this.part = "worker";
  }

  async leave(force: boolean): Promise<void> {
    await this.#record(`leave ${force}`);
    this.part = "outside";
  }

  async #record(call: string): Promise<void> {
    this.calls.push(call);
  }

  async *#logs(subscription: LogSubscription): AsyncIterable<TaskLogMessage> {
    await this.#record(`logs ${JSON.stringify({ ...subscription, id: "" })}`);
    for (const taskID of subscription.taskIDs) {
      for (const stream of ["stdout", "stderr"] as const) {
        const nodeID = this.store.view().get("task", taskID)?.nodeID ?? "";
        const timestamp = "2026-01-02T03:04:05.000000006Z";
        yield { taskID, nodeID, stream, timestamp, data: Buffer.from(`hello from ${taskID}\n`) };
      }
    }
  }
}
