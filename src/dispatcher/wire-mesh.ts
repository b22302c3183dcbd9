/** The mesh on the wire: each value of datapath/view.ts as its message, and back. */
import { create } from "@bufbuild/protobuf";
import type { MeshNode, MeshPort, MeshProtocol, PublishedTask } from "../datapath/view.ts";
import type { MeshConfig, ToldEndpoint, ToldService } from "./assignment.ts";
import {
  type MeshNetwork as MeshNetworkMessage,
  MeshNetworkSchema,
  type MeshNode as MeshNodeMessage,
  MeshNodeSchema,
  type MeshService as MeshServiceMessage,
  MeshServiceSchema,
} from "./gen/weft_pb.ts";

export type MeshNetwork = NonNullable<MeshConfig["network"]>;

export function encodeMeshNetwork(network: MeshNetwork): MeshNetworkMessage {
  return create(MeshNetworkSchema, network);
}

export function decodeMeshNetwork(message: MeshNetworkMessage): MeshNetwork {
  const { name, subnet, subnet6, vni, dataPathPort, mtu } = message;
  const network = { name, subnet, vni, dataPathPort, ...(mtu === undefined ? {} : { mtu }) };
  return subnet6 === "" ? network : { ...network, subnet6 };
}

export function encodeMeshNode(node: MeshNode): MeshNodeMessage {
  return create(MeshNodeSchema, {
    nodeId: node.nodeID,
    index: node.index,
    underlayAddress: node.underlayAddress,
    tunnelAddress: node.tunnelAddress ?? "",
    overlayAddress: node.overlayAddress,
    addresses: [...node.addresses],
    publishDefault: [...(node.publishDefault ?? [])],
    interfaces: (node.interfaces ?? []).map(({ name, addresses }) => ({
      name,
      addresses: [...addresses],
    })),
    down: node.down === true,
  });
}

export function decodeMeshNode(message: MeshNodeMessage): MeshNode {
  const { nodeId: nodeID, index, underlayAddress, overlayAddress, addresses } = message;
  const { tunnelAddress, down, publishDefault, interfaces } = message;
  return {
    ...{ nodeID, index, underlayAddress, overlayAddress, addresses },
    ...(tunnelAddress === "" ? {} : { tunnelAddress }),
    ...(publishDefault.length === 0 ? {} : { publishDefault }),
    ...(interfaces.length === 0
      ? {}
      : { interfaces: interfaces.map((one) => ({ name: one.name, addresses: one.addresses })) }),
    ...(down ? { down } : {}),
  };
}

export function encodeMeshService(service: ToldService): MeshServiceMessage {
  return create(MeshServiceSchema, {
    serviceId: service.serviceID,
    serviceName: service.serviceName,
    ports: service.ports.map(({ allowedSources = [], boundTo = [], ...port }) => ({
      ...port,
      allowedSources: [...allowedSources],
      boundTo: [...boundTo],
    })),
    endpoints: service.endpoints.map((endpoint) => ({
      taskId: endpoint.taskID,
      address: endpoint.address,
      nodeIndex: endpoint.nodeIndex,
      draining: endpoint.state === "draining",
      ipv6Ports: [...(endpoint.ipv6Ports ?? [])],
      starting: endpoint.state === "starting",
    })),
    published: (service.published ?? []).map(({ taskID: taskId, boundTo = [], ...task }) => ({
      ...task,
      taskId,
      boundTo: [...boundTo],
    })),
  });
}

export function decodeMeshService(message: MeshServiceMessage): ToldService {
  return {
    serviceID: message.serviceId,
    serviceName: message.serviceName,
    ports: message.ports.map(decodeMeshPort),
    endpoints: message.endpoints.map(
      (endpoint): ToldEndpoint => ({
        taskID: endpoint.taskId,
        address: endpoint.address,
        nodeIndex: endpoint.nodeIndex,
        state: endpoint.starting ? "starting" : endpoint.draining ? "draining" : "live",
        ...(endpoint.ipv6Ports.length === 0 ? {} : { ipv6Ports: endpoint.ipv6Ports }),
      }),
    ),
    ...(message.published.length === 0
      ? {}
      : { published: message.published.map(decodePublishedTask) }),
  };
}

function decodePublishedTask(task: MeshServiceMessage["published"][number]): PublishedTask {
  const { taskId: taskID, publishedPort, targetPort, nodeIndex, boundTo } = task;
  return {
    ...{ taskID, protocol: protocolOf(task), publishedPort, targetPort, nodeIndex },
    ...(boundTo.length === 0 ? {} : { boundTo }),
  };
}

function decodeMeshPort(port: MeshServiceMessage["ports"][number]): MeshPort {
  const { publishedPort, targetPort, allowedSources, boundTo } = port;
  return {
    ...{ protocol: protocolOf(port), publishedPort, targetPort },
    ...(allowedSources.length === 0 ? {} : { allowedSources }),
    ...(boundTo.length === 0 ? {} : { boundTo }),
  };
}

/** Believed here; the node looks at it with all else before it becomes part of a rule. */
function protocolOf({ protocol }: { readonly protocol: string }): MeshProtocol {
  return protocol as MeshProtocol;
}
