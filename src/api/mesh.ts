/**
 * `/weft/mesh`: for each published port the endpoints as each node's kernel has them, read back for this answer,
 * beside what the managers want. Weft's own path; Docker has nothing of the kind.
 */
import { findService } from "../cluster/finders.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import { type MeshPort, portKey } from "../datapath/view.ts";
import type { MeshSurvey, ToldEndpoint, ToldService } from "../dispatcher/assignment.ts";
import type { Answer, ApiCall } from "./call.ts";
import { requireManager } from "./manager.ts";

/** What a node's kernel does with packets for an endpoint. `absent`: it knows no way there. */
export type KernelState = "live" | "draining" | "hidden" | "absent";

export interface MeshAnswer {
  /** The endpoint revision that the managers have told. */
  readonly Revision: number;
  readonly Nodes: readonly MeshNodeAnswer[];
  readonly Services: readonly MeshServiceAnswer[];
}

export interface MeshNodeAnswer {
  readonly ID: string;
  readonly Hostname: string;
  /** False when it has no session, or did not answer in time. */
  readonly Answered: boolean;
  /** The endpoint revision that its kernel has. */
  readonly Revision: number;
  /** Networks of its addresses at which it answers ports whose service does not say; all when absent. */
  readonly PublishDefault?: readonly string[];
  /** Published ports that it does not answer; absent when there are none. */
  readonly Unanswered?: readonly UnansweredPort[];
}

export interface UnansweredPort {
  readonly Protocol: string;
  readonly PublishedPort: number;
  /** As "address already in use", or "no interface eth1". */
  readonly Reason: string;
}

export interface MeshServiceAnswer {
  readonly ID: string;
  readonly Name: string;
  readonly Ports: readonly MeshPortAnswer[];
}

export interface MeshPortAnswer {
  readonly Protocol: string;
  readonly PublishedPort: number;
  readonly TargetPort: number;
  readonly Endpoints: readonly MeshEndpointAnswer[];
}

export interface MeshEndpointAnswer {
  readonly TaskID: string;
  readonly Slot?: number;
  readonly Address: string;
  /** The node that runs it. */
  readonly NodeID: string;
  /** As the managers want it. */
  readonly Wanted: string;
  /** By the node's id, as its kernel has it. */
  readonly Kernels: Readonly<
    Record<string, { readonly State: KernelState; readonly Connections: number }>
  >;
}

export async function inspectMesh(call: ApiCall): Promise<Answer> {
  const manager = requireManager(call.context);
  const survey = await manager.surveyMesh();
  const service = call.query.get("service") ?? "";
  const snapshot = manager.store.view();
  const id = service === "" ? undefined : findService(snapshot, service).id;
  return { status: 200, body: meshAnswer(survey, snapshot, id) };
}

/** Pure: the survey, of all services or of one, with the names that the store has for it. */
export function meshAnswer(
  { mesh, kernels }: MeshSurvey,
  snapshot: Snapshot,
  serviceID?: string,
): MeshAnswer {
  const nodes = mesh.nodes.map(({ nodeID }): MeshNodeAnswer => {
    const kernel = kernels.get(nodeID);
    const node = snapshot.get("node", nodeID);
    const unanswered = (node?.portProblems ?? []).map(
      ({ publishedPort, protocol, reason }): UnansweredPort => ({
        ...{ Protocol: protocol, PublishedPort: publishedPort, Reason: reason },
      }),
    );
    return {
      ID: nodeID,
      Hostname: node?.description?.hostname ?? nodeID,
      Answered: kernel !== undefined,
      Revision: kernel?.revision ?? 0,
      ...(kernel?.publishDefault === undefined ? {} : { PublishDefault: kernel.publishDefault }),
      ...(unanswered.length === 0 ? {} : { Unanswered: unanswered }),
    };
  });
  const nodeIDs = new Map(mesh.nodes.map(({ index, nodeID }) => [index, nodeID]));
  const indexed = new Map([...kernels].map(([nodeID, kernel]) => [nodeID, indexOf(kernel)]));
  const services = mesh.services
    .filter((service) => serviceID === undefined || service.serviceID === serviceID)
    .map((service) => serviceAnswer(service, { snapshot, kernels: indexed, nodeIDs }));
  return { Revision: mesh.revision, Nodes: nodes, Services: services };
}

interface Facts {
  readonly snapshot: Snapshot;
  readonly kernels: ReadonlyMap<string, KernelIndex>;
  readonly nodeIDs: ReadonlyMap<number, string>;
}

/** A kernel as it is asked: each endpoint of each port, on each node. */
interface KernelIndex {
  /** Addresses that new connections to a port are led to, by `portKey`. */
  readonly live: ReadonlyMap<string, ReadonlySet<string>>;
  readonly routed: ReadonlySet<string>;
  readonly connections: ReadonlyMap<string, number>;
}

function indexOf({ ports, routed, connections }: KernelMesh): KernelIndex {
  return {
    live: new Map(
      ports.map(({ protocol, publishedPort, live }) => [
        portKey(protocol, publishedPort),
        new Set(live),
      ]),
    ),
    routed: new Set(routed),
    connections: new Map(Object.entries(connections)),
  };
}

function serviceAnswer(service: ToldService, facts: Facts): MeshServiceAnswer {
  return {
    ID: service.serviceID,
    Name: service.serviceName,
    Ports: service.ports.map((port) => ({
      Protocol: port.protocol,
      PublishedPort: port.publishedPort,
      TargetPort: port.targetPort,
      Endpoints: service.endpoints.map((endpoint) => endpointAnswer(endpoint, port, facts)),
    })),
  };
}

function endpointAnswer(endpoint: ToldEndpoint, port: MeshPort, facts: Facts): MeshEndpointAnswer {
  const slot = facts.snapshot.get("task", endpoint.taskID)?.slot;
  const kernels = [...facts.kernels].map(([nodeID, kernel]) => {
    const Connections = kernel.connections.get(endpoint.address) ?? 0;
    return [nodeID, { State: stateIn(kernel, endpoint, port), Connections }] as const;
  });
  return {
    TaskID: endpoint.taskID,
    ...(slot === undefined ? {} : { Slot: slot }),
    Address: endpoint.address,
    NodeID: facts.nodeIDs.get(endpoint.nodeIndex) ?? "",
    Wanted: endpoint.state,
    Kernels: Object.fromEntries(kernels),
  };
}

function stateIn(
  { live, routed }: KernelIndex,
  endpoint: ToldEndpoint,
  port: MeshPort,
): KernelState {
  const here = live.get(portKey(port.protocol, port.publishedPort));
  if (here?.has(endpoint.address) === true) return "live";
  if (!routed.has(endpoint.address)) return "absent";
  // Routed to and given nothing new; a kernel that is behind may be so with one that is wanted live.
  return "draining";
}
