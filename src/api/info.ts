/** `/info`: the Engine's own account, its Swarm section replaced by this node's part in the cluster. */
import { findCluster } from "../cluster/finders.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { LocalNodeStatus } from "./backend.ts";
import type { Answer, ApiCall } from "./call.ts";
import { encodeCluster } from "./wire/cluster.ts";
import { parseJson } from "./wire/json.ts";

export async function getInfo(call: ApiCall): Promise<Answer> {
  const { backend, engine } = call.context;
  const answer = await engine.get(call.url, call.signal);
  const info: unknown = parseJson(answer.body.toString("utf8"));
  if (answer.status !== 200 || typeof info !== "object") {
    return { status: answer.status, body: info };
  }
  const swarm = encodeSwarm(backend.status(), backend.manager()?.store.view());
  return { status: 200, body: { ...info, Swarm: swarm } };
}

/** The same section alone: also while the Engine is away, which `/info` is half of. */
export async function getMembership({ context: { backend } }: ApiCall): Promise<Answer> {
  return { status: 200, body: encodeSwarm(backend.status(), backend.manager()?.store.view()) };
}

function encodeSwarm(status: LocalNodeStatus, snapshot: Snapshot | undefined) {
  const managers = status.remoteManagers.map(({ nodeID, addr }) => ({
    NodeID: nodeID,
    Addr: addr,
  }));
  return {
    NodeID: status.nodeID,
    NodeAddr: status.nodeAddr,
    LocalNodeState: status.state,
    ControlAvailable: status.controlAvailable,
    Error: status.error,
    RemoteManagers: managers.length === 0 ? null : managers,
    ...(snapshot === undefined ? {} : encodeManagersView(snapshot)),
  };
}

function encodeManagersView(snapshot: Snapshot) {
  const nodes = snapshot.list("node");
  const cluster = findCluster(snapshot);
  return {
    Nodes: nodes.length,
    Managers: nodes.filter((node) => node.spec.role === "manager").length,
    ...(cluster === undefined ? {} : { Cluster: encodeCluster(cluster) }),
  };
}
