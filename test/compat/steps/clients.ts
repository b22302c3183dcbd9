/** Events of the swarm, and clients of other ages. */
import { RUN, SHAPE, SLEEP, type Step, step } from "./step.ts";

export const EVENTS: readonly Step[] = [
  step([
    "events",
    "--since",
    "0",
    "--until",
    "0s",
    "--filter",
    "type=secret",
    "--format",
    "{{.Action}} {{.Actor.Attributes.name}}",
  ]),
  step(
    [
      "events",
      "--since",
      "0",
      "--until",
      "0s",
      "--filter",
      "type=node",
      "--filter",
      "event=update",
      "--format",
      "{{.Action}} {{.Actor.Attributes.name}}",
    ],
    { silent: true },
  ),
  step([
    "events",
    "--since",
    "0",
    "--until",
    "0s",
    "--filter",
    "type=service",
    "--filter",
    "service=job",
    "--filter",
    "event=create",
    "--format",
    "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}",
  ]),
  step([
    "events",
    "--since",
    "0",
    "--until",
    "0s",
    "--filter",
    "type=config",
    "--filter",
    "config=conf",
    "--format",
    "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}",
  ]),
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
