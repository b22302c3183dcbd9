/** Nodes as Docker's JSON has them (api/types/swarm/node.go). */
import { InvalidParameterError } from "../../base/errors.ts";
import {
  NODE_AVAILABILITIES,
  type Node,
  type NodeDescription,
  type NodeSpec,
} from "../../cluster/objects.ts";

import { encodeMeta } from "./meta.ts";
import {
  type Codec,
  type Field,
  labels,
  required,
  struct,
  text,
  textOf,
  unlessEmpty,
} from "./schema.ts";
import { resources } from "./service.ts";
import { encodeNodeTlsInfo } from "./trust-root.ts";

export const nodeSpec: Codec<NodeSpec> = struct<NodeSpec>("swarm.NodeSpec", {
  name: unlessEmpty("Name", text),
  labels: required("Labels", labels, {}),
  role: mandatory("Role", "swarm.NodeRole", ["worker", "manager"]),
  availability: mandatory("Availability", "swarm.NodeAvailability", NODE_AVAILABILITIES),
});

export function encodeNode(node: Node) {
  const message = statusMessage(node);
  return {
    ...encodeMeta(node),
    Spec: nodeSpec.encode(node.spec),
    Description: encodeDescription(node.description),
    Status: {
      State: node.status.state,
      ...(message === "" ? {} : { Message: message }),
      Addr: node.status.addr,
    },
    ...(node.managerStatus === undefined
      ? {}
      : { ManagerStatus: encodeManagerStatus(node.managerStatus) }),
  };
}

/** What is the matter with the node: the ports that it could not hold and its network, beside what the dispatcher says. */
function statusMessage(node: Node): string {
  const ports = (node.portProblems ?? []).map(
    ({ protocol, publishedPort, reason }) => `port ${publishedPort}/${protocol}: ${reason}`,
  );
  return [node.status.message ?? "", ...ports, ...(node.networkProblems ?? [])]
    .filter((part) => part !== "")
    .join("; ");
}

function encodeManagerStatus(status: NonNullable<Node["managerStatus"]>) {
  return {
    ...(status.leader ? { Leader: true } : {}),
    Reachability: status.reachability,
    Addr: status.addr,
  };
}

function encodeDescription(description: NodeDescription | undefined) {
  if (description === undefined) {
    return { Platform: {}, Resources: {}, Engine: {}, TLSInfo: {} };
  }
  const { hostname, platform, engine } = description;
  return {
    Hostname: hostname,
    Platform: { Architecture: platform.architecture, OS: platform.os },
    Resources: resources.encode(description.resources),
    Engine: {
      EngineVersion: engine.engineVersion,
      ...(Object.keys(engine.labels).length === 0 ? {} : { Labels: engine.labels }),
      Plugins: engine.plugins.map(({ type, name }) => ({ Type: type, Name: name })),
    },
    TLSInfo: encodeNodeTlsInfo(description.tlsInfo),
  };
}

/** Unlike elsewhere, saying nothing is refused too: a node's spec says all of it, or is a mistake. */
function mandatory<const Word extends string>(
  wire: string,
  goType: string,
  words: readonly Word[],
): Field<Word> {
  return {
    wire,
    write: (word) => word,
    read(value, at) {
      const given = textOf(goType).decode(value, at);
      const word = words.find((candidate) => candidate === given.toLowerCase());
      if (word === undefined) throw new InvalidParameterError(`invalid ${wire}: "${given}"`);
      return word;
    },
  };
}
