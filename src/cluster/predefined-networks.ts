/** Networks that every Engine has and that a service may ask for by name: nothing of them is in the store. */
import type { TaskSpec } from "./objects.ts";

/** `host` takes the place of a container's own network; `bridge` is where a container is anyway. */
export const PREDEFINED_NETWORKS = ["bridge", "host"] as const;

export function isPredefined(target: string): boolean {
  return PREDEFINED_NETWORKS.some((name) => name === target);
}

/** Whether its tasks use their hosts' own network. */
export function isOnHostNetwork(spec: TaskSpec): boolean {
  return (spec.networks ?? []).some(({ target }) => target === "host");
}
