/** What the Engine's `GET /containers/{id}/json` says, as the state that a task is led by. */
import type { ContainerHealth, ContainerPhase, ContainerState } from "../runtime.ts";
import { TASK_LABEL } from "./container-create.ts";
import { definedOf, numberOf, recordOf, stringOf } from "./decode.ts";

/** Undefined for a container that is not Weft's. */
export function containerStateOf(inspected: unknown): ContainerState | undefined {
  const container = recordOf(inspected);
  const state = recordOf(container["State"]);
  const containerID = stringOf(container["Id"]);
  const taskID = stringOf(recordOf(recordOf(container["Config"])["Labels"])[TASK_LABEL]);
  if (containerID === undefined || taskID === undefined) return undefined;
  const phase = phaseOf(stringOf(state["Status"]));
  const error = stringOf(state["Error"]);
  return {
    containerID,
    taskID,
    phase,
    health: phase === "running" ? healthOf(state["Health"]) : "none",
    ...definedOf({
      pid: phase === "running" ? numberOf(state["Pid"]) : undefined,
      exposedPorts: exposedOf(recordOf(container["Config"])["ExposedPorts"]),
      exitCode: phase === "exited" ? numberOf(state["ExitCode"]) : undefined,
      error: error === "" ? undefined : error,
      oomKilled: state["OOMKilled"] === true ? true : undefined,
    }),
  };
}

/** From "80/tcp", the image's and the user's alike. */
function exposedOf(ports: unknown): readonly string[] | undefined {
  const keys = Object.keys(recordOf(ports)).flatMap((key) => {
    const [, port, protocol] = /^(\d+)\/(tcp|udp)$/.exec(key) ?? [];
    return port === undefined ? [] : `${protocol}/${port}`;
  });
  return keys.length === 0 ? undefined : keys;
}

function phaseOf(status: string | undefined): ContainerPhase {
  if (status === "created") return "created";
  const lives = status === "running" || status === "paused" || status === "restarting";
  return lives ? "running" : "exited";
}

/** Only of a running container: the Engine calls every stopped one unhealthy. */
function healthOf(health: unknown): ContainerHealth {
  const status = stringOf(recordOf(health)["Status"]);
  return status === "starting" || status === "healthy" || status === "unhealthy" ? status : "none";
}
