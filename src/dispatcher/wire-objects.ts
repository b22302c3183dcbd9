/** Whole objects on the wire: JSON, as everywhere. */
import { isIP } from "node:net";
import { create } from "@bufbuild/protobuf";
import { InvalidParameterError } from "../base/errors.ts";
import { isLinkName } from "../base/link-name.ts";
import { reachableAddress } from "../cluster/cidr6.ts";
import type { Network, NodeDescription, Resources, Task, TLSInfo } from "../cluster/objects.ts";
import { TASK_STATES } from "../cluster/objects.ts";
import { parsePlaces } from "../cluster/publish-labels.ts";
import type { LogSubscription, TaskAssignment, TaskLogMessage } from "./assignment.ts";
import {
  type Assignment,
  AssignmentSchema,
  type LogLine,
  LogLineSchema,
  type SubscribeLogs,
  SubscribeLogsSchema,
} from "./gen/weft_pb.ts";

/** A description is a few hundred bytes; plugins and labels may make it some kilobytes. */
const DESCRIPTION_BYTES_MAX = 65_536;
/** IPv4 addresses of one host that the mesh takes note of; the rest are not known as members' own. */
const ADDRESSES_MAX = 256;
/** As much of what is no address is repeated in its refusal. */
const ADDR_LENGTH_SHOWN = 64;

export function encodeDescription(description: NodeDescription): Uint8Array {
  return Buffer.from(JSON.stringify(description));
}

/** What a node says of itself, field by field: it is stored, shown and scheduled by. */
export function decodeDescription(bytes: Uint8Array): NodeDescription {
  if (bytes.length > DESCRIPTION_BYTES_MAX) throw invalid("it is too long");
  const root = record(parse(bytes), "description");
  const platform = record(root["platform"], "platform");
  const engine = record(root["engine"], "engine");
  const plugins = list(engine["plugins"], "engine.plugins").map((value) => {
    const plugin = record(value, "engine.plugins");
    return { type: text(plugin["type"], "type"), name: text(plugin["name"], "name") };
  });
  return {
    hostname: text(root["hostname"], "hostname"),
    platform: {
      architecture: text(platform["architecture"], "platform.architecture"),
      os: text(platform["os"], "platform.os"),
    },
    resources: decodeResources(record(root["resources"], "resources")),
    engine: {
      engineVersion: text(engine["engineVersion"], "engine.engineVersion"),
      labels: decodeLabels(record(engine["labels"], "engine.labels")),
      plugins,
    },
    addresses: addressesOf(root["addresses"]),
    ...(root["interfaces"] === undefined
      ? {}
      : { interfaces: decodeInterfaces(root["interfaces"]) }),
    ...(root["publishDefault"] === undefined
      ? {}
      : { publishDefault: decodePlaces(root["publishDefault"]) }),
    ...(root["tlsInfo"] === undefined ? {} : { tlsInfo: decodeTLSInfo(root["tlsInfo"]) }),
    ...(root["runtimeProblem"] === undefined
      ? {}
      : { runtimeProblem: text(root["runtimeProblem"], "runtimeProblem") }),
  };
}

function addressesOf(value: unknown): readonly string[] {
  return list(value, "addresses")
    .map((address) => text(address, "addresses"))
    .filter((address) => isIP(address) !== 0 && !address.includes("%"))
    .slice(0, ADDRESSES_MAX);
}

function decodeInterfaces(value: unknown): NonNullable<NodeDescription["interfaces"]> {
  return list(value, "interfaces")
    .map((one) => {
      const found = record(one, "interfaces");
      const name = text(found["name"], "interfaces.name");
      return { name, addresses: addressesOf(found["addresses"]) };
    })
    .filter(({ name }) => isLinkName(name))
    .slice(0, ADDRESSES_MAX);
}

function decodePlaces(value: unknown): readonly string[] {
  const places = list(value, "publishDefault").map((place) => text(place, "publishDefault"));
  return parsePlaces("publishDefault", places.join());
}

function decodeTLSInfo(value: unknown): TLSInfo {
  const info = record(value, "tlsInfo");
  return {
    trustRoot: text(info["trustRoot"], "tlsInfo.trustRoot"),
    certIssuerSubject: text(info["certIssuerSubject"], "tlsInfo.certIssuerSubject"),
    certIssuerPublicKey: text(info["certIssuerPublicKey"], "tlsInfo.certIssuerPublicKey"),
  };
}

/**
 * Where a node wants to be reached, or its tunnels to end; undefined when it leaves that to its manager. It becomes
 * part of every other node's rules, so nothing but an address may come through here.
 */
export function decodeNodeAddr(addr: string, what = "advertised"): string | undefined {
  if (addr === "") return undefined;
  const address = reachableAddress(addr);
  if (address === undefined)
    throw new InvalidParameterError(
      `invalid ${what} address "${addr.slice(0, ADDR_LENGTH_SHOWN)}": expected an IP address`,
    );
  return address;
}

export function encodeAssignment(assignment: TaskAssignment): Assignment {
  const { task, registryAuth } = assignment;
  return create(AssignmentSchema, {
    task: Buffer.from(JSON.stringify(task)),
    ...(registryAuth === undefined ? {} : { registryAuth }),
  });
}

/** From a manager, whose word is the authority: only that it is a task at all is checked. */
export function decodeAssignment(message: Assignment): TaskAssignment {
  const value = record(parse(message.task), "task");
  text(value["id"], "id");
  if (!TASK_STATES.some((state) => state === value["desiredState"])) throw invalid("desiredState");
  const task = value as unknown as Task;
  const { registryAuth } = message;
  return registryAuth === undefined ? { task } : { task, registryAuth };
}

export function encodeNetwork(network: Network): Uint8Array {
  return Buffer.from(JSON.stringify(network));
}

/** From a manager, to be shown: that it can be is all that is checked. */
export function decodeNetwork(bytes: Uint8Array): Network {
  const value = record(parse(bytes), "network");
  const spec = record(value["spec"], "network.spec");
  for (const key of ["name", "driver"]) text(spec[key], key);
  record(spec["labels"], "network.spec.labels");
  list(record(value["ipam"], "network.ipam")["config"], "network.ipam.config");
  text(value["id"], "id");
  text(value["createdAt"], "createdAt");
  return value as unknown as Network;
}

export function encodeSubscription(subscription: LogSubscription): SubscribeLogs {
  const { id, taskIDs, ...rest } = subscription;
  return create(SubscribeLogsSchema, { ...rest, subscriptionId: id, taskIds: [...taskIDs] });
}

export function decodeSubscription(message: SubscribeLogs): LogSubscription {
  const { tail, since, until } = message;
  return {
    id: message.subscriptionId,
    taskIDs: message.taskIds,
    stdout: message.stdout,
    stderr: message.stderr,
    follow: message.follow,
    ...(tail === undefined ? {} : { tail }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

export function encodeLogLine(message: TaskLogMessage): LogLine {
  return create(LogLineSchema, {
    taskId: message.taskID,
    stderr: message.stream === "stderr",
    timestamp: message.timestamp,
    data: message.data,
  });
}

export function decodeLogLine(line: LogLine, nodeID: string): TaskLogMessage {
  return {
    taskID: line.taskId,
    nodeID,
    stream: line.stderr ? "stderr" : "stdout",
    timestamp: line.timestamp,
    data: line.data,
  };
}

function decodeResources(value: Readonly<Record<string, unknown>>): Resources {
  const amount = (key: string) => {
    const found = value[key];
    if (found === undefined) return {};
    if (typeof found !== "number" || !(found >= 0)) throw invalid(`resources.${key}`);
    return { [key]: found };
  };
  return { ...amount("nanoCPUs"), ...amount("memoryBytes"), ...amount("pids") };
}

function decodeLabels(value: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(value).map(([key, label]) => [key, text(label, "labels")]),
  );
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch (cause) {
    throw invalid("it is not JSON", cause);
  }
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(what);
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(what);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string") throw invalid(what);
  return value;
}

function invalid(what: string, cause?: unknown): InvalidParameterError {
  return new InvalidParameterError(`malformed message: ${what}`, { cause });
}
