/** Compose files: deployed, changed, pruned, removed. */
import { CREATE, type Step, step } from "./step.ts";

export const STACKS: readonly Step[] = [
  step("stack ls"),
  step("stack services app"),
  step("stack ps app"),
  step("stack rm app"),
  step("stack config --compose-file {stack}/stack.yml"),
  step("stack deploy --resolve-image never --compose-file {stack}/stack.yml app"),
  step(`${CREATE} --attachable shared`),
  step("stack deploy --detach --resolve-image never --compose-file {stack}/stack.yml app", {
    silent: true,
  }),
  step("stack ls"),
  step(["stack", "services", "app", "--format", "{{.Name}} {{.Mode}} {{.Image}}"]),
  step(["stack", "ps", "app", "--format", "{{.Name}} {{.Image}} {{.DesiredState}}"], {
    until: /web\.2/,
  }),
  step("network ls --filter label=com.docker.stack.namespace=app --format {{.Name}}"),
  step("config ls --filter label=com.docker.stack.namespace=app --format {{.Name}}"),
  step("secret ls --filter label=com.docker.stack.namespace=app --format {{.Name}}"),
  step([
    "service",
    "inspect",
    "app_db",
    "--format",
    "{{json .Spec.TaskTemplate.Networks}} {{json .Spec.Labels}} {{json .Spec.EndpointSpec}}",
  ]),
  step("stack services --filter label=tier=front --format {{.Name}} app"),
  step("stack ps --filter name=app_db --format {{.Name}} app"),
  step("stack services --filter name=app_web --format {{.Name}} app"),
  step("stack deploy --detach --resolve-image never --compose-file {stack}/changed.yml app"),
  step("stack deploy --detach --compose-file {stack}/none.yml app"),
  step(
    "stack deploy --detach --prune --resolve-image never --compose-file {stack}/smaller.yml app",
    { silent: true },
  ),
  step(["stack", "services", "app", "--format", "{{.Name}} {{.Mode}}"]),
  step(["service", "inspect", "app_web", "--format", "{{.Spec.Mode.Replicated.Replicas}}"]),
  step("stack rm app", { silent: true }),
  step("stack ls"),
  step("service ls --filter label=com.docker.stack.namespace=app"),
  step("config ls --filter label=com.docker.stack.namespace=app --format {{.Name}}"),
  step("network rm shared", { until: /^shared$/m }),
  step("network ls --filter scope=swarm --format {{.Name}}", { until: /^(my-)?ingress\n$/ }),
];
