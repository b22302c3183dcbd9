/**
 * What a task's machine does next: pure, so that every way through a task's life can be tried. States only
 * move forward, in the order of TASK_STATES; what a container does by itself moves them as much as what is
 * desired. After SwarmKit's exec.Do; the messages are Docker's.
 */
import { isTaskStateAtLeast, isTerminal, type TaskState } from "../cluster/objects.ts";
import { mustStop } from "../dispatcher/assignment.ts";
import type { ContainerState } from "../runtime/runtime.ts";

export const UNHEALTHY = "dockerexec: unhealthy container";
/** Of a running task that lost its network: it cannot be given another. */
export const CUT_OFF =
  "the task's network link on the host was deleted by somebody, and a running container cannot get another";
export const DESTROYED = "dockerexec: container destroyed";

/** Before what the runtime says of a container that it could not start. */
export const START_FAILED = "starting container failed: ";

export interface TaskView {
  /** The task's own state, as last reported. */
  readonly state: TaskState;
  readonly desired: TaskState;
  /** False once no manager assigns the task any more: nothing of it is to be left. */
  readonly assigned: boolean;
  readonly container: ContainerState | undefined;
  /** Whether its container was stopped because its health check failed. */
  readonly sick: boolean;
  /** Whether managers were told that its health check fails. */
  readonly unhealthy: boolean;
  /** Whether the mesh leads new connections to it. */
  readonly live: boolean;
  /** Whether its link was there and is gone for good. */
  readonly cutOff: boolean;
  /** Whether packets to it arrive: its link is there and the kernel has the route, or it needs neither. */
  readonly reachable: boolean;
  /** Whether it serves the ports that it publishes, or had its time to. */
  readonly serving: boolean;
  /** Whether its connections are done, or had their time to. */
  readonly drained: boolean;
}

export type TaskStep =
  | { readonly kind: "wait" }
  | {
      readonly kind: "report";
      readonly state: TaskState;
      /** The message before stays when absent: a failure is told by `err`. */
      readonly message?: string;
      readonly err?: string;
      readonly unhealthy?: true;
    }
  /** Image, network, container. */
  | { readonly kind: "prepare" }
  | { readonly kind: "start" }
  | { readonly kind: "stop"; readonly sick?: boolean }
  | { readonly kind: "remove" }
  /** Nothing of the task is left on this node. */
  | { readonly kind: "done" };

const WAIT: TaskStep = { kind: "wait" };

export function nextStep(view: TaskView): TaskStep {
  const { state, desired, container } = view;
  const runs = container?.phase === "running";
  if (!view.assigned) {
    if (runs) return { kind: "stop" };
    return { kind: container === undefined ? "done" : "remove" };
  }
  if (isTerminal(state)) return runs ? { kind: "stop" } : WAIT;
  if (mustStop(desired)) {
    if (!runs) return { kind: "report", state: "shutdown", message: "shutdown" };
    return state === "running" && !view.drained ? WAIT : { kind: "stop" };
  }
  if (state === "preparing") {
    if (container === undefined) return { kind: "prepare" };
    return { kind: "report", state: "ready", message: "prepared" };
  }
  if (state === "starting") return nextWhileStarting(view);
  if (state === "running") return nextWhileRunning(view);
  return nextBeforeStart(view);
}

/** The states in which a task pauses until more is desired. */
function nextBeforeStart({ state, desired, container }: TaskView): TaskStep {
  if (isTaskStateAtLeast(state, desired)) return WAIT;
  if (state === "ready") {
    if (container === undefined) return { kind: "report", state: "rejected", err: DESTROYED };
    return { kind: "report", state: "starting", message: "starting" };
  }
  if (state === "accepted") return { kind: "report", state: "preparing", message: "preparing" };
  return { kind: "report", state: "accepted", message: "accepted" };
}

function nextWhileStarting(view: TaskView): TaskStep {
  const { container, reachable, serving } = view;
  if (container === undefined) return { kind: "report", state: "failed", err: DESTROYED };
  if (container.phase === "exited") return ended(view, container);
  if (container.phase === "created") {
    if (container.error === undefined) return { kind: "start" };
    return { kind: "report", state: "failed", err: `${START_FAILED}${container.error}` };
  }
  if (container.health === "unhealthy") return { kind: "stop", sick: true };
  if (container.health === "starting" || !reachable || !serving) return WAIT;
  return { kind: "report", state: "running", message: "started" };
}

function nextWhileRunning(view: TaskView): TaskStep {
  const { container } = view;
  if (container === undefined || container.phase === "created") {
    return { kind: "report", state: "failed", err: DESTROYED };
  }
  if (container.phase === "exited") return ended(view, container);
  // Told before the container is stopped, so that nobody sends it anything meanwhile.
  if (view.cutOff) return { kind: "report", state: "failed", err: CUT_OFF };
  if (container.health !== "unhealthy") return WAIT;
  if (!view.unhealthy) {
    return { kind: "report", state: "running", message: "unhealthy container", unhealthy: true };
  }
  return view.live ? WAIT : { kind: "stop", sick: true };
}

function ended({ sick }: TaskView, container: ContainerState): TaskStep {
  const code = container.exitCode ?? 0;
  if (code === 0 && !sick) return { kind: "report", state: "complete", message: "finished" };
  const cause = sick ? UNHEALTHY : container.error;
  const err = `task: non-zero exit (${code})${cause === undefined ? "" : `: ${cause}`}`;
  return { kind: "report", state: "failed", err };
}
