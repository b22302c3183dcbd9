/** One command of the transcript, and the words that many of them begin with. */

export interface Step {
  readonly args: readonly string[];
  readonly stdin?: string;
  /** As an older client, or one from the future, speaks. */
  readonly apiVersion?: string;
  /** The command is typed again until its output says this: a cluster takes its time. */
  readonly until?: RegExp;
  /** Its JSON is compared by fields and their types, not by values. */
  readonly shape?: true;
  /** Nothing is compared: what it says is the program's own. */
  readonly silent?: true;
}

/** Arguments separated by single blanks; what holds blanks is given as a list. */
export function step(args: string | readonly string[], more: Omit<Step, "args"> = {}): Step {
  return { args: typeof args === "string" ? args.split(" ") : args, ...more };
}

export const SHAPE = { shape: true } as const;
export const RUN = "service create --detach --no-resolve-image";
export const SLEEP = "busybox sleep 10000";
export const CREATE = "network create -d overlay";

/** Until a service has these replicas, as `service ls` shows them. */
export function waitFor(name: string, replicas: string): Step {
  const until = new RegExp(`^${replicas.replaceAll(/[()/]/g, "\\$&")}$`, "m");
  return step(["service", "ls", "--filter", `name=${name}`, "--format", "{{.Replicas}}"], {
    until,
  });
}
