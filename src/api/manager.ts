/** The door to the cluster's state: only a manager has it, and everybody else is told so in Docker's words. */
import { UnavailableError } from "../base/errors.ts";
import type { LocalNodeStatus, ManagerBackend } from "./backend.ts";
import type { ApiContext } from "./call.ts";

export function requireManager(context: ApiContext): ManagerBackend {
  const manager = context.backend.manager();
  if (manager === undefined) throw new UnavailableError(refusalOf(context.backend.status()));
  return manager;
}

function refusalOf(status: LocalNodeStatus): string {
  if (status.state === "locked") {
    return 'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.';
  }
  if (status.state === "inactive") {
    return 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
  }
  if (status.controlAvailable) {
    return "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.";
  }
  return "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
}
