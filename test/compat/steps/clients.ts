/** Events of the swarm, and clients of other ages. */
import { RUN, SHAPE, SLEEP, type Step, step } from "./step.ts";

const NAMED = "{{.Action}} {{.Actor.Attributes.name}}";
const TYPED = `{{.Type}} ${NAMED}`;

export const EVENTS: readonly Step[] = [
  step(eventsOf(NAMED, "type=secret")),
  step(eventsOf(NAMED, "type=node", "event=update"), { silent: true }),
  step(eventsOf(TYPED, "type=service", "service=job", "event=create")),
  step(eventsOf(TYPED, "type=config", "config=conf")),
];

/** As clients of other ages speak. */
export const AGES: readonly Step[] = [
  step(`${RUN} --name old ${SLEEP}`, { apiVersion: "1.30" }),
  ...["1.11", "1.24", "1.30", "1.40", "1.41"].map((apiVersion) =>
    step("service ls --filter name=old --format {{.Name}}", { apiVersion }),
  ),
  step("service inspect old", { ...SHAPE, apiVersion: "1.24" }),
  step(["node", "ls", "--format", "{{.Hostname}}"], { apiVersion: "1.24" }),
  step("network ls --filter scope=swarm --format {{.Name}}", { apiVersion: "1.24" }),
  step("config ls", { apiVersion: "1.29" }),
  step("config create c -", { apiVersion: "1.29", stdin: "x" }),
  step("service ls", { apiVersion: "1.99" }),
  step("service rm old"),
];

/** All that there have been until now. */
function eventsOf(format: string, ...filters: readonly string[]): readonly string[] {
  const filtered = filters.flatMap((filter) => ["--filter", filter]);
  return ["events", "--since", "0", "--until", "0s", ...filtered, "--format", format];
}
