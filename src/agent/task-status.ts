/** How the status of a task on this node changes, which is the truth that is reported. Pure; the machine puts the time. */

import type { PortConfig, Task, TaskState, TaskStatus } from "../cluster/objects.ts";
import { isTaskStateAtLeast, isTerminal } from "../cluster/objects.ts";
import { hostPortsOf } from "./container-config.ts";
import type { TaskStep } from "./task-step.ts";

/** In the status message of a task, before the ports. */
const IPV4_ALONE = "; IPv6 clients are relayed, as nothing listens on IPv6 at";

/** What a container's state says of it. */
export interface SeenContainer {
  readonly containerID: string;
  readonly pid?: number;
  readonly exitCode?: number;
}

/** What was last reported here, unless managers know better. */
export function newerStatus(told: TaskStatus, known: TaskStatus | undefined): TaskStatus {
  return known !== undefined && isTaskStateAtLeast(known.state, told.state) ? known : told;
}

/** After a step of the machine's. */
export function reported(
  status: TaskStatus,
  { state, message = status.message, err, unhealthy }: Extract<TaskStep, { kind: "report" }>,
  container: SeenContainer | undefined,
): TaskStatus {
  const { err: _before, unhealthy: _sick, ...kept } = status;
  return {
    ...kept,
    state,
    message,
    ...(err === undefined ? {} : { err }),
    ...(unhealthy === undefined ? {} : { unhealthy }),
    ...(container === undefined ? {} : { containerStatus: containerStatusOf(container) }),
  };
}

/** Of a task that waits for its connections' end; in `err` too, since that is what `service ps` shows of a task. */
export function draining(status: TaskStatus, connections: number): TaskStatus {
  const message = `draining, ${connections} ${connections === 1 ? "connection" : "connections"}`;
  return { ...status, message, err: message };
}

/**
 * With target ports that were found to be served over IPv6. What was served once counts for the task's life:
 * connections may have been led there. The status itself where none is new.
 */
export function servingIPv6(status: TaskStatus, served: readonly string[]): TaskStatus {
  const known = status.ipv6Ports ?? [];
  const ipv6Ports = [...new Set([...known, ...served])].sort();
  return ipv6Ports.length > known.length ? { ...status, ipv6Ports } : status;
}

/** Once nobody looks any more what it serves over IPv6, and some of its ports are served over IPv4 alone. */
export function relayed(status: TaskStatus, ports: readonly PortConfig[]): TaskStatus {
  const left = ports.filter((port) => status.ipv6Ports?.includes(servedKey(port)) !== true);
  const names = left.map(({ protocol, targetPort }) => `${targetPort}/${protocol}`).join(", ");
  return { ...status, message: `${status.message}${IPV4_ALONE} ${names}` };
}

/** As a target port stands in `ipv6Ports`: "tcp/80". */
export function servedKey({ protocol, targetPort }: PortConfig): string {
  return `${protocol}/${targetPort}`;
}

/** Whether a task of this state has claimed its host-mode ports. */
export function holdsPorts(task: Task, state: TaskState): boolean {
  return (
    hostPortsOf(task).length > 0 && isTaskStateAtLeast(state, "starting") && !isTerminal(state)
  );
}

function containerStatusOf({ containerID, pid, exitCode }: SeenContainer) {
  return {
    containerID,
    ...(pid === undefined ? {} : { pid }),
    ...(exitCode === undefined ? {} : { exitCode }),
  };
}
