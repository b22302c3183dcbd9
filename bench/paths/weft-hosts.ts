/** Two hosts of a Weft cluster and a task on the second: its published ports are asked at either host. */
import type { Host } from "../../src/lab/host.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { until } from "../../src/lab/until.ts";
import { SERVED, type Served, type Target } from "../loads/load.ts";
import { formWeftCluster } from "../weft-cluster.ts";
import { type Path, ROUTED, ROUTED_VXLAN, WEFT_LOCAL, WEFT_REMOTE } from "./path.ts";
import { SERVED_PORTS, startServers } from "./servers.ts";

/** A published port is the task's own port and this. */
const OFFSET = 20_000;
const SERVICE = "bench";

/** Forms the cluster and publishes the task's ports; its programs are started in its network. */
export async function setUpWeftHosts(entry: Host, server: Host): Promise<void> {
  await formWeftCluster([entry, server]);
  const publish = SERVED.flatMap((served) => {
    const port = SERVED_PORTS[served];
    const protocol = served === "udp" ? "udp" : "tcp";
    return ["--publish", `published=${port + OFFSET},target=${port},protocol=${protocol}`];
  });
  await entry.dockerOk([
    ...["service", "create", "--detach", "--name", SERVICE, ...publish],
    ...["--constraint", `node.hostname==${server.name}`, "busybox", "sleep", "1000000"],
  ]);
  const container = await until(
    async () => (await server.engineOk(["ps", "--quiet", "--filter", `name=${SERVICE}.`])).trim(),
    { what: `the task of ${SERVICE} on ${server.name}`, timeoutMs: 30_000 },
  );
  await startServers(server, await server.container(container));
}

/** Asked at the task's own node. */
export function weftLocalPath(client: Machine, server: Host): Path {
  return { name: WEFT_LOCAL, limit: ROUTED, client, targets: targetsAt(server) };
}

/** Asked at the node that does not run the task. */
export function weftRemotePath(client: Machine, entry: Host): Path {
  return { name: WEFT_REMOTE, limit: ROUTED_VXLAN, client, targets: targetsAt(entry) };
}

function targetsAt(host: Host): Record<Served, Target> {
  const target = (served: Served) =>
    [served, { address: host.ip, port: SERVED_PORTS[served] + OFFSET }] as const;
  return Object.fromEntries(SERVED.map(target)) as Record<Served, Target>;
}
