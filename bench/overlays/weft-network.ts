/** An overlay network of Weft's between two hosts: clients on the first, a service's only task on the second. */
import type { Host } from "../../src/lab/host.ts";
import type { Place } from "../../src/lab/place.ts";
import { until } from "../../src/lab/until.ts";
import { startServers } from "../paths/servers.ts";
import { formWeftCluster } from "../weft-cluster.ts";

const NETWORK = "bench-net";
const SERVICE = "bench-served";
const CLIENTS = "bench-clients";
const START_TIMEOUT_MS = 30_000;

export interface WeftNetwork {
  readonly clients: readonly [Place, Place];
  /** Of the task itself. */
  readonly address: string;
  readonly virtualIP: string;
}

/** Each path has a client of its own: its ports are its own too. */
export async function makeWeftNetwork(entry: Host, server: Host): Promise<WeftNetwork> {
  await formWeftCluster([entry, server]);
  await entry.dockerOk(["network", "create", "--driver", "overlay", NETWORK]);
  const create = async (name: string, host: Host, replicas: number) => {
    const where = ["--network", NETWORK, "--constraint", `node.hostname==${host.name}`];
    const service = ["service", "create", "--detach", "--name", name, ...where];
    await entry.dockerOk([...service, "--replicas", `${replicas}`, "busybox", "sleep", "1000000"]);
    return await placesOf(name, host, replicas);
  };
  const [task] = await create(SERVICE, server, 1);
  const [one, two] = await create(CLIENTS, entry, 2);
  if (task === undefined || one === undefined || two === undefined) {
    throw new Error(`${NETWORK} lacks a task`);
  }
  await startServers(server, task);
  const addressOf = async (name: string) => {
    const { stdout } = await one.exec(["dig", "+short", "@127.0.0.11", name]);
    return stdout.trim();
  };
  const look = async () => {
    const [address, virtualIP] = [await addressOf(`tasks.${SERVICE}`), await addressOf(SERVICE)];
    return address !== "" && virtualIP !== "" && address !== virtualIP && { address, virtualIP };
  };
  return { clients: [one, two], ...(await until(look, { what: "the service's addresses" })) };
}

async function placesOf(service: string, host: Host, count: number): Promise<readonly Place[]> {
  const list = async () => {
    const ids = await host.engineOk(["ps", "--quiet", "--filter", `name=${service}.`]);
    return ids.split("\n").filter((id) => id !== "");
  };
  await until(async () => (await list()).length === count, {
    what: `${count} tasks of ${service} on ${host.name}`,
    timeoutMs: START_TIMEOUT_MS,
  });
  return await Promise.all((await list()).map((id) => host.container(id)));
}
