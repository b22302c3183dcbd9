/**
 * What nodes report, on the wire. Decoding believes nothing: a member with a valid certificate may still
 * run other code than ours, so shape, range and state are checked here, once.
 */
import { create } from "@bufbuild/protobuf";
import { InvalidParameterError } from "../base/errors.ts";
import {
  isTaskStateAtLeast,
  PORT_PROTOCOLS,
  type PortConfig,
  type PortProblem,
  type PortProtocol,
  TASK_STATES,
  type TaskState,
  type TaskStatus,
} from "../cluster/objects.ts";
import { PEER_PROBLEM_KINDS, type PeerProblem, type TaskStatusUpdate } from "./assignment.ts";
import {
  type PeerProblems as PeerProblemsMessage,
  PeerProblemsSchema,
  type PortProblems as PortProblemsMessage,
  PortProblemsSchema,
  type PublishedPort as PublishedPortMessage,
  type TaskStatusReport,
  TaskStatusReportSchema,
} from "./gen/weft_pb.ts";

/** Texts beyond this are cut: they are for a line of `service ps`, and the store keeps them. */
const TEXT_LENGTH_MAX = 4_096;
/** A node reports at most this many problems; the rest would be a fault of its own. */
const PORT_PROBLEMS_MAX = 65_536;
/** And this many of peers: a node that hears nobody is told so by fewer. */
const PEER_PROBLEMS_MAX = 1_024;
/** They become a node's status message. */
const DETAIL_LENGTH_MAX = 256;
const PORT_MAX = 65_535;
/** Neither a time nor a container's id is longer; what is, is refused, since the store keeps both. */
const WORD_LENGTH_MAX = 128;

export function encodeStatus(update: TaskStatusUpdate): TaskStatusReport {
  const { status } = update;
  const container = status.containerStatus;
  return create(TaskStatusReportSchema, {
    taskId: update.taskID,
    timestamp: status.timestamp,
    state: status.state,
    message: status.message,
    ...(status.err === undefined ? {} : { err: status.err }),
    ...(container === undefined
      ? {}
      : {
          container: {
            ...(container.containerID === undefined ? {} : { containerId: container.containerID }),
            ...(container.pid === undefined ? {} : { pid: container.pid }),
            ...(container.exitCode === undefined ? {} : { exitCode: container.exitCode }),
          },
        }),
    ...(status.portStatus === undefined
      ? {}
      : { ports: { ports: status.portStatus.ports.map((port) => ({ ...port })) } }),
    ...(status.unhealthy === true ? { unhealthy: true } : {}),
    ipv6Ports: [...(status.ipv6Ports ?? [])],
  });
}

export function decodeStatus(message: TaskStatusReport): TaskStatusUpdate {
  const { container, ports } = message;
  const status: TaskStatus = {
    timestamp: decodeTime(message.timestamp),
    state: decodeReportedState(message.state),
    message: message.message.slice(0, TEXT_LENGTH_MAX),
    ...(message.err === undefined ? {} : { err: message.err.slice(0, TEXT_LENGTH_MAX) }),
    ...(container === undefined
      ? {}
      : {
          containerStatus: {
            ...(container.containerId === undefined
              ? {}
              : { containerID: decodeContainerID(container.containerId) }),
            ...(container.pid === undefined ? {} : { pid: container.pid }),
            ...(container.exitCode === undefined ? {} : { exitCode: container.exitCode }),
          },
        }),
    ...(ports === undefined ? {} : { portStatus: { ports: ports.ports.map(decodePort) } }),
    ...(message.unhealthy ? { unhealthy: true } : {}),
    ...ipv6Ports(message.ipv6Ports),
  };
  return { taskID: message.taskId, status };
}

export function encodePortProblems(problems: readonly PortProblem[]): PortProblemsMessage {
  return create(PortProblemsSchema, { problems: problems.map((problem) => ({ ...problem })) });
}

export function decodePortProblems(message: PortProblemsMessage): readonly PortProblem[] {
  return message.problems.slice(0, PORT_PROBLEMS_MAX).map((problem) => ({
    protocol: decodeProtocol(problem.protocol),
    publishedPort: decodePortNumber(problem.publishedPort),
    reason: problem.reason.slice(0, TEXT_LENGTH_MAX),
  }));
}

export function encodePeerProblems(problems: readonly PeerProblem[]): PeerProblemsMessage {
  return create(PeerProblemsSchema, {
    problems: problems.map(({ kind, peer, detail = "" }) => ({ kind, peer, detail })),
  });
}

/** Of a kind that a newer node may know and this manager does not, nothing is taken. */
export function decodePeerProblems(message: PeerProblemsMessage): readonly PeerProblem[] {
  return message.problems.slice(0, PEER_PROBLEMS_MAX).flatMap(({ kind, peer, detail }) => {
    const known = PEER_PROBLEM_KINDS.find((each) => each === kind);
    if (known === undefined || peer.length > WORD_LENGTH_MAX) return [];
    const text = detail.slice(0, DETAIL_LENGTH_MAX);
    return [{ kind: known, peer, ...(text === "" ? {} : { detail: text }) }];
  });
}

/** Only states that an agent brings a task into; what comes before and `remove`, `orphaned` are the managers' to say. */
function decodeReportedState(text: string): TaskState {
  const state = TASK_STATES.find((known) => known === text);
  const isAgents =
    state !== undefined &&
    isTaskStateAtLeast(state, "assigned") &&
    state !== "remove" &&
    state !== "orphaned";
  if (!isAgents) throw new InvalidParameterError(`an agent cannot report task state "${text}"`);
  return state;
}

function decodeTime(text: string): string {
  // The length too: JavaScript takes any comment in a date.
  if (text.length > WORD_LENGTH_MAX || Number.isNaN(Date.parse(text))) {
    throw new InvalidParameterError(`invalid time "${text.slice(0, WORD_LENGTH_MAX)}"`);
  }
  return text;
}

/** A service publishes no more ports than there are. */
function ipv6Ports(keys: readonly string[]): Pick<TaskStatus, "ipv6Ports"> {
  const sound = keys.slice(0, PORT_PROBLEMS_MAX).filter((key) => /^(tcp|udp)\/\d{1,5}$/.test(key));
  return sound.length === 0 ? {} : { ipv6Ports: sound };
}

function decodeContainerID(text: string): string {
  if (text.length > WORD_LENGTH_MAX) throw new InvalidParameterError("invalid container id");
  return text;
}

function decodePort(port: PublishedPortMessage): PortConfig {
  return {
    ...(port.name === undefined ? {} : { name: port.name }),
    protocol: decodeProtocol(port.protocol),
    targetPort: decodePortNumber(port.targetPort),
    ...(port.publishedPort === undefined
      ? {}
      : { publishedPort: decodePortNumber(port.publishedPort) }),
    publishMode: port.publishMode === "host" ? "host" : "ingress",
  };
}

function decodeProtocol(text: string): PortProtocol {
  const protocol = PORT_PROTOCOLS.find((known) => known === text);
  if (protocol === undefined) throw new InvalidParameterError(`unknown protocol "${text}"`);
  return protocol;
}

function decodePortNumber(port: number): number {
  if (port < 1 || port > PORT_MAX) throw new InvalidParameterError(`port ${port} is out of range`);
  return port;
}
