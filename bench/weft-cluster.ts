/** A cluster of Weft on hosts of the lab, driven with Docker's own commands. */
import type { Host } from "../src/lab/host.ts";
import { until } from "../src/lab/until.ts";

const READY_TIMEOUT_MS = 30_000;

/** Starts the daemons and forms a cluster; the first host is its manager. Resolves when all nodes are ready. */
export async function formWeftCluster(hosts: readonly Host[]): Promise<void> {
  const [manager, ...workers] = hosts;
  if (manager === undefined) return;
  await Promise.all(hosts.map((host) => host.startDaemon()));
  await manager.dockerOk(["swarm", "init", "--advertise-addr", manager.ip]);
  await joinWorkers(manager, workers);
}

/** The workers join side by side; resolves when the manager shows all as ready. */
export async function joinWorkers(manager: Host, workers: readonly Host[]): Promise<void> {
  const token = (await manager.dockerOk(["swarm", "join-token", "-q", "worker"])).trim();
  const joins = workers.map((host) =>
    host.dockerOk(["swarm", "join", "--token", token, `${manager.ip}:2377`]),
  );
  await Promise.all(joins);
  const ready = async () => {
    const listed = await manager.dockerOk(["node", "ls", "--format", "{{.Status}}"]);
    return listed.split("\n").filter((line) => line === "Ready").length === workers.length + 1;
  };
  await until(ready, { what: "all nodes to be ready", timeoutMs: READY_TIMEOUT_MS });
}
