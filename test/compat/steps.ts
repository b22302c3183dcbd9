/**
 * What a user types, in order: the same list for a real Engine in swarm mode, when its answers are recorded, and
 * for Weft. It begins outside of any swarm and ends there.
 */

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
function step(args: string | readonly string[], more: Omit<Step, "args"> = {}): Step {
  return { args: typeof args === "string" ? args.split(" ") : args, ...more };
}

const SHAPE = { shape: true } as const;
const RUN = "service create --detach --no-resolve-image";
const SLEEP = "busybox sleep 10000";

function waitFor(name: string, replicas: string): Step {
  const until = new RegExp(`^${replicas.replaceAll(/[()/]/g, "\\$&")}$`, "m");
  return step(["service", "ls", "--filter", `name=${name}`, "--format", "{{.Replicas}}"], {
    until,
  });
}

const SWARM: readonly Step[] = [
  step("node ls"),
  step("service ls"),
  step("secret ls"),
  step("swarm ca"),
  step("swarm leave"),
  step("swarm update --task-history-limit 3"),
  step("swarm init --advertise-addr {ip} --task-history-limit 3 --cert-expiry 720h", {
    silent: true,
  }),
  step("swarm init --advertise-addr {ip}"),
  step("swarm join --token x {ip}:2377"),
  step([
    "info",
    "--format",
    "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.Swarm.Error}} {{.Swarm.Managers}} {{.Swarm.Nodes}}",
  ]),
  step(["info", "--format", "{{json .Swarm}}"], SHAPE),
  step([
    "info",
    "--format",
    "{{.Swarm.Cluster.Spec.Orchestration.TaskHistoryRetentionLimit}} {{.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}} {{.Swarm.Cluster.Spec.Dispatcher.HeartbeatPeriod}}",
  ]),
  step("swarm update --dispatcher-heartbeat 7s --cert-expiry 1440h --task-history-limit 4"),
  step([
    "info",
    "--format",
    "{{.Swarm.Cluster.Spec.Orchestration.TaskHistoryRetentionLimit}} {{.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}} {{.Swarm.Cluster.Spec.Dispatcher.HeartbeatPeriod}}",
  ]),
  step("swarm update --cert-expiry 1m"),
  step("swarm update --dispatcher-heartbeat -1s"),
  step("swarm update"),
  step("swarm ca"),
  step("swarm unlock-key"),
  step("swarm unlock", { stdin: "x\n" }),
  step("swarm join-token worker"),
  step("swarm join-token -q manager"),
  step("swarm join-token foo"),
  step("swarm join-token --rotate -q worker"),
  step("swarm leave"),
];

const NODES: readonly Step[] = [
  step(
    [
      "node",
      "ls",
      "--format",
      "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}} {{.Self}} {{.TLSStatus}}",
    ],
    { until: /Ready/ },
  ),
  step("node ls"),
  step("node inspect self", SHAPE),
  step("node inspect n1 --pretty", { silent: true }),
  step("node inspect zzz"),
  step("node update --label-add rack=a --label-add zone=b n1"),
  step("node update --label-rm zone n1"),
  step("node update --label-rm none n1"),
  step(["node", "inspect", "n1", "--format", "{{json .Spec}}"]),
  step("node ls --filter node.label=rack=a --format {{.Hostname}}"),
  step("node ls --filter node.label=rack=b --format {{.Hostname}}"),
  step("node ls --filter role=worker --format {{.Hostname}}"),
  step("node ls --filter role=manager --format {{.Hostname}}"),
  step("node ls --filter role=foo"),
  step("node ls --filter foo=bar"),
  step("node ls --filter membership=accepted --format {{.Hostname}}"),
  step("node update --availability foo n1"),
  step("node update --availability pause n1"),
  step("node ls --format {{.Availability}}"),
  step("node update --availability active n1"),
  step("node demote n1"),
  step("node promote n1"),
  step("node rm n1"),
  step("node rm --force n1"),
  step("node rm zzz"),
  step("node ps zzz"),
];

const PAYLOADS: readonly Step[] = [
  step("secret create key -", { stdin: "hush", silent: true }),
  step("secret create key -", { stdin: "hush" }),
  step("secret create empty -", { stdin: "" }),
  step(["secret", "create", "a b", "-"], { stdin: "x" }),
  step("secret create --label a=b other -", { stdin: "x", silent: true }),
  step(["secret", "ls", "--format", "{{.Name}} {{.Driver}} {{.Labels}}"]),
  step("secret ls --filter label=a --format {{.Name}}"),
  step("secret ls --filter name=k --format {{.Name}}"),
  step("secret ls --filter foo=bar"),
  step("secret inspect key", SHAPE),
  step("secret inspect --pretty other", { silent: true }),
  step("secret inspect none"),
  step("config create conf -", { stdin: "open", silent: true }),
  step("config create conf -", { stdin: "open" }),
  step("config inspect conf", SHAPE),
  step(["config", "inspect", "conf", "--format", "{{json .Spec}}"]),
  step("config ls --format {{.Name}}"),
  step("config inspect none"),
  step("config create --template-driver golang tpl -", { stdin: "{{.Node.ID}}" }),
  step(
    `${RUN} --name reader --secret key --secret source=key,target=other,mode=0400 --config source=conf,target=/etc/conf ${SLEEP}`,
  ),
  step(`${RUN} --name none --secret none ${SLEEP}`),
  step(`${RUN} --name none --config none ${SLEEP}`),
  step(`${RUN} --name none --secret key --secret key ${SLEEP}`),
  waitFor("reader", "1/1"),
  // The CLI itself puts secrets and variables in any order.
  step([
    "service",
    "inspect",
    "reader",
    "--format",
    "{{len .Spec.TaskTemplate.ContainerSpec.Secrets}} {{json .Spec.TaskTemplate.ContainerSpec.Configs}}",
  ]),
  step("secret rm key"),
  step("config rm conf"),
  step("service update --detach --secret-rm key --secret-add other reader"),
  step("secret rm none"),
  step("service rm reader"),
  step("secret rm key other"),
  step("config rm conf"),
];

const SERVICES: readonly Step[] = [
  step(
    `${RUN} --name web --replicas 2 --publish 8080:80 --env A=1 --label a=b --limit-memory 64m ${SLEEP}`,
  ),
  waitFor("web", "2/2"),
  step("service ls"),
  step("service inspect web", SHAPE),
  step("service inspect web --pretty", { silent: true }),
  step(["service", "inspect", "web", "--format", "{{json .Spec}}"]),
  step("service ps web"),
  step("service ps web --filter desired-state=shutdown"),
  step("service ps web --filter desired-state=foo"),
  step("service ps web --filter name=web.1 --format {{.Name}}"),
  step("service ps web --filter node=n1 --format {{.Name}}"),
  step("service ps web --filter node=zzz"),
  step("service ps web --filter foo=bar"),
  step("service ps web zzz"),
  // The reader before it takes its time to end.
  step("node ps --format {{.Name}}", { until: /^web\.1\nweb\.2\n$/ }),
  step(`${RUN} --name web ${SLEEP}`),
  step(`${RUN} --name other --publish 8080:80 ${SLEEP}`),
  step(`${RUN} --name _bad ${SLEEP}`),
  step(`${RUN} --name none --network none ${SLEEP}`),
  step(`${RUN} --name none --constraint node.foo==bar ${SLEEP}`),
  step(`${RUN} --name none --limit-memory 1m ${SLEEP}`),
  step(`${RUN} --name none --mode foo ${SLEEP}`),
  step(`${RUN} --name none --env X={{.Foo}} ${SLEEP}`),
  step(`${RUN} --name none --mount type=cluster,src=a,dst=/b ${SLEEP}`),
  step(`${RUN} --name gpu --generic-resource gpu=1 ${SLEEP}`),
  step("service scale --detach web=1"),
  waitFor("web", "1/1"),
  step("service update --detach --env-add B=2 --update-delay 1s web"),
  step(["service", "inspect", "web", "--format", "{{.UpdateStatus.State}}"], {
    until: /completed/,
  }),
  step([
    "service",
    "inspect",
    "web",
    "--format",
    "{{len .Spec.TaskTemplate.ContainerSpec.Env}} {{json .PreviousSpec.TaskTemplate.ContainerSpec.Env}}",
  ]),
  step("service ps web"),
  step("service rollback --detach web"),
  step(
    ["service", "inspect", "web", "--format", "{{.UpdateStatus.State}} {{.UpdateStatus.Message}}"],
    { until: /rollback_completed/ },
  ),
  step("service update --detach --publish-rm 8080 --force web"),
  step("service update --detach --replicas 0 web"),
  waitFor("web", "0/0"),
  step("service ls --filter mode=global --format {{.Name}}"),
  step("service ls --filter label=a --format {{.Name}}"),
  step("service ls --filter foo=bar"),
  step("service inspect zzz"),
  step("service rollback --detach zzz"),
  step("service scale --detach zzz=1"),
  step("service logs zzz"),
  step("service rm zzz"),
  step(`${RUN} --name all --mode global ${SLEEP}`),
  waitFor("all", "1/1"),
  step("service ls --filter name=all"),
  step("service scale --detach all=2"),
  step(`${RUN} --name host --network host ${SLEEP}`),
  waitFor("host", "1/1"),
  step(`${RUN} --name fails --restart-condition none busybox false`),
  step(["service", "ps", "fails", "--format", "{{.Name}} {{.DesiredState}} {{.Error}}"], {
    until: /Shutdown.*non-zero/,
  }),
  step(`${RUN} --name nothing --restart-condition none busybox /nothing`),
  step(
    [
      "service",
      "ps",
      "nothing",
      "--no-trunc",
      "--format",
      "{{.Name}} {{.DesiredState}} {{.Error}}",
    ],
    { until: /Shutdown.*no such file/ },
  ),
  step(`${RUN} --name far --constraint node.role==worker ${SLEEP}`),
  step(
    ["service", "ps", "far", "--no-trunc", "--format", "{{.Name}} {{.DesiredState}} {{.Error}}"],
    { until: /no suitable/ },
  ),
  step(`${RUN} --name says busybox sh -c`, { silent: true }),
  step([
    ...RUN.split(" "),
    "--name",
    "talks",
    "busybox",
    "sh",
    "-c",
    "echo one; echo two; sleep 10000",
  ]),
  step("service logs --raw talks", { until: /two/ }),
  step("service logs --raw --tail 1 talks"),
  step("service rm web all host fails nothing far says talks", { silent: true }),
];

const JOBS: readonly Step[] = [
  step(`${RUN} --name job --mode replicated-job --replicas 3 --max-concurrent 2 busybox true`),
  waitFor("job", "0/2 (3/3 completed)"),
  step("service ls --filter name=job"),
  step(["service", "inspect", "job", "--format", "{{json .Spec.Mode}} {{json .UpdateStatus}}"]),
  step(["service", "ps", "job", "--format", "{{.DesiredState}} {{.Error}}"]),
  step("service update --detach --force job"),
  step(["service", "inspect", "job", "--format", "{{.JobStatus.JobIteration.Index}}"]),
  step(`${RUN} --name each --mode global-job busybox true`),
  waitFor("each", "0/0 (1/1 completed)"),
  step("service ls --filter mode=global-job --format {{.Name}}"),
  step(`${RUN} --name none --mode replicated-job --update-delay 1s busybox true`),
  step(`${RUN} --name none --mode global-job --replicas 2 busybox true`),
  step("service rm job each"),
];

const CREATE = "network create -d overlay";

const NETWORKS: readonly Step[] = [
  step(`${CREATE} lan`),
  step(`${CREATE} lan`),
  step("network create lan"),
  step(
    `${CREATE} --attachable --internal --subnet 10.99.0.0/24 --gateway 10.99.0.254 --ip-range 10.99.0.128/25 --opt com.docker.network.driver.mtu=1400 --label a=b own`,
  ),
  step(`${CREATE} --subnet 10.77.0.0/24 --gateway 10.78.0.1 bad`),
  step(`${CREATE} --subnet 10.77.0.0/24 --ip-range 10.78.0.0/25 bad`),
  step(`${CREATE} --subnet 10.77.0.0/33 bad`),
  step(`${CREATE} --ipam-driver nope bad`),
  step(`${CREATE} --ingress bad`),
  step(`${CREATE} --ingress --attachable bad`),
  step(`${CREATE} host`),
  step(`${CREATE} ingress`),
  step(`${CREATE} _bad`),
  step("network create --ingress bad"),
  step("network create -d nope --scope swarm bad"),
  step("network inspect lan", SHAPE),
  step([
    "network",
    "inspect",
    "own",
    "--format",
    "{{json .IPAM}} {{.Internal}} {{.Attachable}} {{.Scope}} {{.Driver}} {{json .Labels}}",
  ]),
  step("network inspect none-such"),
  step("network ls --filter driver=overlay --format {{.Name}}"),
  step(["network", "ls", "--filter", "label=a=b", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"]),
  step("network ls --filter foo=bar"),
  step("network ls --filter type=foo"),
  step("network ls --filter dangling=foo"),
  step(`${RUN} --name front --network lan --network name=own,alias=www ${SLEEP}`),
  step(["service", "inspect", "front", "--format", "{{len .Endpoint.VirtualIPs}}"], {
    until: /2/,
  }),
  step(`${RUN} --name robin --network lan --endpoint-mode dnsrr ${SLEEP}`),
  step([
    "service",
    "inspect",
    "robin",
    "--format",
    "{{.Endpoint.Spec.Mode}} {{len .Endpoint.VirtualIPs}}",
  ]),
  step(`${RUN} --name bad --network lan --endpoint-mode dnsrr --publish 8090:80 ${SLEEP}`),
  step(`${RUN} --name bad --network none-such ${SLEEP}`),
  step(`${RUN} --name bad --network ingress ${SLEEP}`),
  step("network rm own"),
  step("service update --detach --network-add lan front"),
  step("service update --detach --network-rm none-such front"),
  step("service update --detach --network-rm own front"),
  step(["service", "inspect", "front", "--format", "{{len .Endpoint.VirtualIPs}}"], {
    until: /1/,
  }),
  step("run --detach --name mine busybox sleep 10000", { silent: true }),
  step("network connect lan mine"),
  step("network connect none-such mine"),
  step("network connect own none-such"),
  step("network connect own mine"),
  step("network connect own mine"),
  step(["inspect", "mine", "--format", '{{(index .NetworkSettings.Networks "own").IPPrefixLen}}'], {
    silent: true,
  }),
  step("network disconnect own mine"),
  step("network disconnect none-such mine"),
  step("rm --force mine"),
  step("service rm front robin", { silent: true }),
  step("network rm own", { until: /^own$/m }),
  step("network rm lan", { until: /^lan$/m }),
  step("network rm none-such"),
  step(`${CREATE} --opt encrypted --label gone hidden`),
  step("network prune --force --filter label=gone", { silent: true }),
  step(`${CREATE} --label tidy idle`, { silent: true }),
  step("network prune --force --filter label=tidy"),
  step("network prune --force --filter foo=bar"),
  step("network ls --filter scope=swarm --format {{.Name}}", { until: /^ingress\n$/ }),
  step("network inspect ingress", SHAPE),
  step("network rm ingress", { stdin: "y\n" }),
  step(`${RUN} --name bad --publish 8090:80 ${SLEEP}`),
  step(`${CREATE} --ingress --subnet 10.11.0.0/16 --gateway 10.11.0.2 my-ingress`),
  step(`${CREATE} --ingress bad`),
  step(["network", "inspect", "my-ingress", "--format", "{{json .IPAM.Config}} {{.Ingress}}"]),
];

const STACKS: readonly Step[] = [
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

const OTHERS: readonly Step[] = [
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

/** Every flag that a Linux Engine can honour, and templates where there may be some. */
const FLAGS: readonly Step[] = [
  step([
    ..."service create --detach --no-resolve-image --name flags --replicas 2".split(" "),
    ...["--hostname", "{{.Service.Name}}-{{.Task.Slot}}", "--env", "WHERE={{.Node.Hostname}}"],
    ...["--env", "NUL=", "--user", "1000:1000", "--group", "100", "--workdir", "/tmp"],
    ...["--entrypoint", "sh -c", "--stop-signal", "SIGQUIT", "--stop-grace-period", "3s"],
    ...["--health-cmd", "true", "--health-interval", "1s", "--health-timeout", "2s"],
    ...["--health-retries", "4", "--health-start-period", "3s"],
    ...["--limit-cpu", ".5", "--limit-memory", "64m", "--limit-pids", "50"],
    ...["--reserve-cpu", ".1", "--reserve-memory", "16m"],
    ...["--restart-condition", "on-failure", "--restart-delay", "1s", "--restart-window", "9s"],
    ...["--restart-max-attempts", "3", "--update-parallelism", "2", "--update-delay", "1s"],
    ...["--update-failure-action", "rollback", "--update-max-failure-ratio", ".25"],
    ...["--update-monitor", "2s", "--update-order", "start-first"],
    ...["--rollback-parallelism", "0", "--rollback-delay", "1s", "--rollback-monitor", "2s"],
    ...["--rollback-failure-action", "continue", "--rollback-max-failure-ratio", ".5"],
    ...["--rollback-order", "start-first", "--constraint", "node.role==manager"],
    ...["--placement-pref", "spread=node.labels.zone", "--replicas-max-per-node", "5"],
    ...["--log-driver", "json-file", "--log-opt", "max-size=1m", "--dns", "10.0.0.1"],
    ...["--dns-search", "example.com", "--dns-option", "ndots:1", "--host", "a:10.0.0.2"],
    ...["--init", "--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "--read-only", "--tty"],
    ...["--sysctl", "net.ipv4.ip_unprivileged_port_start=80", "--ulimit", "nofile=100:200"],
    ...["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770"],
    ...["--mount", "type=volume,src=kept,dst=/v,volume-label=a=b,volume-nocopy"],
    ...["--mount", "type=bind,src=/tmp,dst=/b,readonly,bind-propagation=rprivate"],
    ...["--container-label", "c=d", "--label", "e=f", "--publish"],
    ...["mode=host,target=80,published=8079,protocol=udp", "busybox", "echo $(hostname) $WHERE"],
  ]),
  step(["service", "inspect", "flags", "--format", "{{json .Spec.Mode}} {{json .Spec.Labels}}"]),
  step([
    ...["service", "inspect", "flags", "--format"],
    "{{json .Spec.UpdateConfig}} {{json .Spec.RollbackConfig}} {{json .Spec.EndpointSpec}}",
  ]),
  step([
    ...["service", "inspect", "flags", "--format"],
    "{{json .Spec.TaskTemplate.Resources}} {{json .Spec.TaskTemplate.RestartPolicy}} {{json .Spec.TaskTemplate.Placement}} {{json .Spec.TaskTemplate.LogDriver}}",
  ]),
  step([
    ...["service", "inspect", "flags", "--format"],
    "{{json .Spec.TaskTemplate.ContainerSpec.Mounts}} {{json .Spec.TaskTemplate.ContainerSpec.Healthcheck}} {{json .Spec.TaskTemplate.ContainerSpec.DNSConfig}}",
  ]),
  step("service inspect flags", SHAPE),
  step("service rm flags"),
  step([
    ...`${RUN} --name said --replicas 2 --restart-condition none`.split(" "),
    ...["--hostname", "{{.Service.Name}}-{{.Task.Slot}}", "--env", "WHERE={{.Node.Hostname}}"],
    ...["--mount", "type=volume,src=v{{.Task.Slot}},dst=/v", "busybox"],
    ...["sh", "-c", "echo $(hostname) on $WHERE has $(mount | grep -c /v)"],
  ]),
  step(["service", "ps", "said", "--format", "{{.Name}} {{.DesiredState}} {{.Error}}"], {
    until: /said\.\d Shutdown.*\n.*said\.\d Shutdown/,
  }),
  step(["volume", "ls", "--format", "{{.Name}}", "--filter", "name=v1"]),
  step(["volume", "ls", "--format", "{{.Name}}", "--filter", "name=v2"]),
  step("service logs --raw --since 1h said", {
    until: /said-1[^]*said-2|said-2[^]*said-1/,
    silent: true,
  }),
  step("service rm said"),
  step("system df --format {{.Type}}"),
];

/** What fails is tried again as the policy says, and the history tells it. */
const HISTORY: readonly Step[] = [
  step(
    `${RUN} --name again --restart-delay 100ms --restart-max-attempts 2 --restart-window 60s busybox false`,
  ),
  step(["service", "ps", "again", "--format", "{{.Name}} {{.DesiredState}} {{.Error}}"], {
    until: /(?:.*Shutdown.*\n){3}/,
  }),
  step("service ls --filter name=again --format {{.Replicas}}"),
  step("service rm again"),
  step(
    `${RUN} --name steps --update-monitor 500ms --update-failure-action rollback --rollback-monitor 500ms --stop-grace-period 1s ${SLEEP}`,
  ),
  waitFor("steps", "1/1"),
  step("service update --detach --no-resolve-image --args /nothing --restart-condition none steps"),
  step(["service", "inspect", "steps", "--format", "{{.UpdateStatus.State}}"], {
    until: /rollback_completed/,
  }),
  step([
    "service",
    "inspect",
    "steps",
    "--format",
    "{{json .Spec.TaskTemplate.ContainerSpec.Args}}",
  ]),
  step(["service", "inspect", "steps", "--format", "{{json .PreviousSpec}}"]),
  step("service update --detach --rollback steps"),
  step("service rm steps"),
];

/** As clients of other ages speak. */
const AGES: readonly Step[] = [
  step(["node", "ls", "--format", "{{.Hostname}}"], { apiVersion: "1.24" }),
  step("network ls --filter scope=swarm --format {{.Name}}", { apiVersion: "1.24" }),
  step("config ls", { apiVersion: "1.29" }),
  step("config create c -", { apiVersion: "1.29", stdin: "x" }),
  step("service ls", { apiVersion: "1.99" }),
];

/** Another root, the cluster's or the user's own. */
const AUTHORITIES: readonly Step[] = [
  step("swarm ca --cert-expiry 720h"),
  step("swarm ca --rotate --cert-expiry 30m"),
  step("swarm ca --rotate --ca-key {ca}/own.key"),
  step("swarm ca --rotate --ca-cert {ca}/own.crt"),
  step("swarm ca --rotate --ca-cert {ca}/own.crt --ca-key {ca}/other.key"),
  step("swarm ca --rotate --ca-cert {ca}/own.key --ca-key {ca}/own.key"),
  step("swarm ca --rotate --ca-cert {ca}/two.crt --ca-key {ca}/own.key"),
  step("swarm ca --rotate --ca-cert {ca}/own.crt --ca-key {stack}/key.txt"),
  step("swarm ca --rotate --external-ca protocol=cfssl,url=https://127.0.0.1:1"),
  step("swarm ca --rotate --quiet"),
  step(
    "swarm ca --rotate --quiet --cert-expiry 1440h --ca-cert {ca}/own.crt --ca-key {ca}/own.key",
  ),
  step([
    ...["info", "--format"],
    "{{.Swarm.Cluster.RootRotationInProgress}} {{.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}}",
  ]),
  step(["info", "--format", '{{.Swarm.Cluster.TLSInfo.CertIssuerSubject | printf "%x"}}']),
  step("swarm ca --rotate --quiet --ca-cert {ca}/own.crt --ca-key {ca}/own.key"),
  step("swarm ca --rotate --quiet --detach"),
  step(["info", "--format", "{{.Swarm.Cluster.RootRotationInProgress}}"], { until: /false/ }),
  step(["node", "ls", "--format", "{{.Hostname}} {{.TLSStatus}}"], { until: /Ready/ }),
  step("swarm join-token -q worker"),
  step(["swarm", "update", "--autolock=false"]),
];

const END: readonly Step[] = [step("swarm leave"), step("swarm leave --force"), step("node ls")];

export const STEPS: readonly Step[] = [
  ...SWARM,
  ...NODES,
  ...PAYLOADS,
  ...SERVICES,
  ...JOBS,
  ...OTHERS,
  ...NETWORKS,
  ...STACKS,
  ...FLAGS,
  ...HISTORY,
  ...AGES,
  ...AUTHORITIES,
  ...END,
];
