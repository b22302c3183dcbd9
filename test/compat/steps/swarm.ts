/** A swarm is made, changed and left; what its making takes and what it does not; and its root, exchanged. */
import { CREATE, SHAPE, type Step, step } from "./step.ts";

export const SWARM: readonly Step[] = [
  step("node ls"),
  step("service ls"),
  step("swarm join --token x {ip}:2377"),
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
  step("swarm unlock-key --rotate"),
  step("swarm unlock", { stdin: "x\n" }),
  step("swarm update --max-snapshots 1 --snapshot-interval 5000"),
  step(["info", "--format", "{{json .Swarm.Cluster.Spec.Raft}}"]),
  step("swarm join-token worker"),
  step("swarm join-token -q manager"),
  step("swarm join-token foo"),
  step("swarm join-token --rotate -q worker"),
  step("swarm join-token --rotate manager"),
  step("swarm leave"),
];

/** What `swarm init` takes, and what it does not. */
const INIT = "swarm init --advertise-addr {ip}";
export const INITS: readonly Step[] = [
  step("swarm init --advertise-addr nope0"),
  step(`${INIT} --listen-addr nope0`),
  step(`${INIT} --data-path-addr nope0`),
  step(`${INIT} --data-path-port 80`),
  step(`${INIT} --data-path-port 99999`),
  step(`${INIT} --default-addr-pool 10.0.0.0/33`),
  step(`${INIT} --default-addr-pool 10.20.0.0/16 --default-addr-pool-mask-length 8`),
  step(`${INIT} --default-addr-pool 10.20.0.0/16 --default-addr-pool-mask-length 30`),
  step(`${INIT} --availability foo`),
  step(["info", "--format", "{{.Swarm.LocalNodeState}}"]),
  step(
    `${INIT} --listen-addr {ip}:2377 --data-path-port 7777 --default-addr-pool 10.20.0.0/16 --default-addr-pool-mask-length 26 --availability drain --dispatcher-heartbeat 8s`,
    { silent: true },
  ),
  step(["info", "--format", "{{.Swarm.Cluster.DefaultAddrPool}} {{.Swarm.Cluster.SubnetSize}}"]),
  step(["info", "--format", "{{.Swarm.Cluster.DataPathPort}} {{.Swarm.NodeAddr}}"]),
  step("node ls --format {{.Availability}}", { until: /Drain/ }),
  step(`${CREATE} pooled`),
  step(["network", "inspect", "pooled", "--format", "{{(index .IPAM.Config 0).Subnet}}"], {
    silent: true,
  }),
  step("network rm pooled"),
  step("swarm leave --force"),
  // The Engine has a swarm all the same: nothing can come after it.
  step(`${INIT} --cert-expiry 1m`),
];

/** Another root, the cluster's or the user's own. */
export const AUTHORITIES: readonly Step[] = [
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

export const END: readonly Step[] = [
  step("swarm leave"),
  step("swarm leave --force"),
  step("node ls"),
];
