/**
 * Overlay networks on the wire: each value of datapath/overlay/view.ts as its message, and back. Values are believed
 * here; the node looks at them with all else before they become parts of rules, of links and of names.
 */
import { create } from "@bufbuild/protobuf";
import { SystemError } from "../base/errors.ts";
import type { OverlayEndpoint, OverlayService } from "../datapath/overlay/view.ts";
import {
  type Overlay,
  type OverlayEndpoint as OverlayEndpointMessage,
  OverlayEndpointSchema,
  type OverlayNetwork as OverlayNetworkMessage,
  OverlayNetworkSchema,
  OverlaySchema,
  type OverlayService as OverlayServiceMessage,
  OverlayServiceSchema,
} from "./gen/weft_pb.ts";
import { applyDelta } from "./keyed-delta.ts";
import type { OverlayDelta, OverlayHead, OverlayTable } from "./overlays.ts";

export function encodeOverlay(delta: OverlayDelta): Overlay {
  return create(OverlaySchema, {
    networkId: delta.networkID,
    complete: delta.complete,
    removed: delta.removed,
    ...(delta.head === undefined ? {} : { network: encodeHead(delta.head) }),
    putServices: delta.services.put.map(encodeService),
    removeServices: [...delta.services.remove],
    putContainers: delta.containers.put.map(encodeEndpoint),
    removeContainers: [...delta.containers.remove],
  });
}

/** A node's table of one network after this change of it; undefined when it is gone. */
export function applyOverlay(
  known: OverlayTable | undefined,
  frame: Overlay,
): OverlayTable | undefined {
  if (frame.removed) return undefined;
  const before = frame.complete ? undefined : known;
  const head =
    frame.network === undefined ? before?.head : decodeHead(frame.networkId, frame.network);
  if (head === undefined) {
    throw new SystemError(
      `the manager changed network "${frame.networkId}", which it never told of`,
    );
  }
  return {
    head,
    services: applyDelta(
      before?.services ?? new Map(),
      { put: frame.putServices.map(decodeService), remove: frame.removeServices },
      ({ serviceID }) => serviceID,
    ),
    containers: applyDelta(
      before?.containers ?? new Map(),
      { put: frame.putContainers.map(decodeEndpoint), remove: frame.removeContainers },
      ({ taskID }) => taskID,
    ),
  };
}

function encodeHead({ name, vni, subnets, mtu, internal }: OverlayHead): OverlayNetworkMessage {
  return create(OverlayNetworkSchema, {
    ...{ name, vni, subnets: [...subnets], internal },
    ...(mtu === undefined ? {} : { mtu }),
  });
}

function decodeHead(networkID: string, message: OverlayNetworkMessage): OverlayHead {
  const { name, vni, subnets, mtu, internal } = message;
  return { networkID, name, vni, subnets, internal, ...(mtu === undefined ? {} : { mtu }) };
}

function encodeService(service: OverlayService): OverlayServiceMessage {
  return create(OverlayServiceSchema, {
    serviceId: service.serviceID,
    serviceName: service.serviceName,
    aliases: [...service.aliases],
    virtualIps: [...service.virtualIPs],
    endpoints: service.endpoints.map(encodeEndpoint),
  });
}

function decodeService(message: OverlayServiceMessage): OverlayService {
  const { serviceId: serviceID, serviceName, aliases, virtualIps: virtualIPs } = message;
  return {
    serviceID,
    serviceName,
    aliases,
    virtualIPs,
    endpoints: message.endpoints.map(decodeEndpoint),
  };
}

function encodeEndpoint(endpoint: OverlayEndpoint): OverlayEndpointMessage {
  const { taskID: taskId, taskName, aliases, addresses, nodeIndex, state } = endpoint;
  return create(OverlayEndpointSchema, {
    ...{ taskId, taskName, nodeIndex, state },
    aliases: [...aliases],
    addresses: [...addresses],
  });
}

function decodeEndpoint(message: OverlayEndpointMessage): OverlayEndpoint {
  const { taskId: taskID, taskName, aliases, addresses, nodeIndex } = message;
  const state = message.state as OverlayEndpoint["state"];
  return { taskID, taskName, aliases, addresses, nodeIndex, state };
}
