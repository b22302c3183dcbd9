/** What is done to the cluster while it is under load. Each resolves once everything has settled again. */
import type { Random } from "../../src/base/random.ts";
import { randomBelow } from "../../src/base/random.ts";
import { HTTPKeeperClient } from "../../src/keeper/client.ts";
import { KEEPER_SOCKET } from "../../src/keeper/protocol.ts";
import { LabError } from "../../src/lab/errors.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import { until } from "../../src/lab/until.ts";
import { NEXT_IMAGE, SERVICES, type ServiceName, type SoakCluster } from "./cluster.ts";

export interface Operation {
  readonly name: string;
  /** Whether a user does it on purpose: then no request may fail. A failure of a task or node is not. */
  readonly planned: boolean;
  run(cluster: SoakCluster): Promise<void>;
}

const START_FIRST = ["--update-order", "start-first", "--rollback-order", "start-first"];
const STOP_FIRST = ["--update-order", "stop-first", "--rollback-order", "stop-first"];

export type Order = "start-first" | "stop-first";

/** A new task for every old one, of the same spec. */
export function force(service: ServiceName, order: Order): Operation {
  return planned(`update --force ${service}, ${order}`, async (cluster) => {
    await cluster.update(service, "--force", ...orderFlags(order));
  });
}

export function changeEnv(service: ServiceName, value: number, order: Order): Operation {
  return planned(`update --env-add ${service}, ${order}`, async (cluster) => {
    await cluster.update(service, "--env-add", `SOAK=${value}`, ...orderFlags(order));
  });
}

/** To another image and back. */
export function changeImage(order: Order): Operation {
  return planned(`update --image web and rollback, ${order}`, async (cluster) => {
    const flags = ["--no-resolve-image", "--update-parallelism", "2", ...orderFlags(order)];
    await cluster.update("web", "--image", NEXT_IMAGE, ...flags);
    await cluster.settled();
    await cluster.docker("service", "rollback", "--detach", "web");
  });
}

/** Another update before the first one is through. */
export function changeTwice(service: ServiceName, order: Order): Operation {
  return planned(`update --env-add ${service} during its update, ${order}`, async (cluster) => {
    for (const value of ["first", "second"]) {
      await cluster.update(service, "--env-add", `SOAK=${value}`, ...orderFlags(order));
    }
  });
}

/** More and then fewer tasks, while they are replaced. */
export function scaleDuringUpdate(service: ServiceName, most: number, order: Order): Operation {
  return planned(`scale ${service} to ${most} and back during its update`, async (cluster) => {
    const before = await cluster.replicas(service);
    await cluster.update(service, "--force", ...orderFlags(order));
    for (const count of [most, before]) {
      await cluster.docker("service", "scale", "--detach", `${service}=${count}`);
    }
  });
}

/** To what cannot start, which its own update config takes back. */
export function failUpdate(service: ServiceName, order: Order): Operation {
  return planned(`update --entrypoint of ${service} that fails, ${order}`, async (cluster) => {
    const fails = ["--entrypoint", "/nowhere", "--update-failure-action", "rollback"];
    const watched = ["--update-monitor", "1s", "--rollback-monitor", "1s"];
    await cluster.update(service, ...fails, ...watched, ...orderFlags(order));
    await cluster.settled();
    const state = await cluster.updateState(service);
    if (state !== "rollback_completed") throw new Error(`${service} is ${state}, not rolled back`);
  });
}

/** Back in the middle of an update. */
export function rollbackEarly(order: Order): Operation {
  return planned(`rollback during an update, ${order}`, async (cluster) => {
    await cluster.update("web", "--env-add", "SOAK=early", ...orderFlags(order));
    await cluster.docker("service", "rollback", "--detach", "web");
  });
}

/** To each of these in turn. A service that is left with one task has a gap whenever that is replaced. */
export function scale(service: ServiceName, ...replicas: readonly number[]): Operation {
  return planned(`scale ${service} to ${replicas.join(", ")}`, async (cluster) => {
    for (const count of replicas) {
      await cluster.docker("service", "scale", "--detach", `${service}=${count}`);
      await cluster.settled();
    }
  });
}

/** Several at once; each must leave the others' services and nodes alone. */
export function together(...operations: readonly Operation[]): Operation {
  return {
    name: operations.map(({ name }) => name).join(" beside "),
    planned: operations.every(({ planned }) => planned),
    run: async (cluster) => {
      await Promise.all(operations.map((operation) => operation.run(cluster)));
    },
  };
}

export function drainNode(number: number): Operation {
  return planned(`drain and activate n${number}`, async (cluster) => {
    const setAvailability = (to: string) =>
      cluster.docker("node", "update", "--availability", to, `n${number}`);
    await setAvailability("drain");
    await cluster.left(`n${number}`);
    await cluster.settled();
    await setAvailability("active");
  });
}

/** The node of a service's only task: its clients find the next one before this one stops. */
export function drainOnlyTask(service: ServiceName): Operation {
  return planned(`drain the node of the only task of ${service}`, async (cluster) => {
    const before = await cluster.replicas(service);
    await cluster.docker("service", "scale", "--detach", `${service}=1`);
    await cluster.settled();
    const place = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}"];
    const node = (await cluster.docker(...place, service)).trim();
    await cluster.docker("node", "update", "--availability", "drain", node);
    await cluster.left(node);
    await cluster.settled();
    await cluster.docker("node", "update", "--availability", "active", node);
    await cluster.docker("service", "scale", "--detach", `${service}=${before}`);
  });
}

/** Told to end, and a newer version's started: its keeper too then hands over to one of the newer version. */
export function upgradeDaemon(number: number): Operation {
  return planned(`upgrade the daemon of n${number} to a newer version`, async (cluster) => {
    const host = cluster.lab.host(number);
    const { version, program } = await cluster.newerVersion();
    await host.replaceDaemon(program);
    const keeper = new HTTPKeeperClient({ socketPath: host.path(KEEPER_SOCKET) });
    const isNewer = async () => (await keeper.status()).version === version;
    await until(isNewer, { what: `n${number}'s keeper to be of the newer version` });
    const metrics = await unixHttp(host.weftSocket, { path: "/metrics" });
    if (!metrics.body.includes(`weft_build_info{version="${version}"`)) {
      throw new LabError(`the daemon of n${number} is not of version ${version}: ${metrics.body}`);
    }
  });
}

/** Restarted by its init system: told to end, and started again. */
export function restartDaemon(number: number): Operation {
  return planned(`restart the daemon of n${number}`, (cluster) =>
    cluster.lab.host(number).restartDaemon("SIGTERM"),
  );
}

/** The kernel forwards without it. */
export function killDaemon(number: number): Operation {
  return planned(`kill -9 of the daemon of n${number}`, (cluster) =>
    cluster.lab.host(number).restartDaemon("SIGKILL"),
  );
}

/** All certificates come from another root, and the old one is trusted no longer. */
export function rotateRoot(): Operation {
  return planned("swarm ca --rotate", async (cluster) => {
    await cluster.docker("swarm", "ca", "--rotate", "--quiet");
  });
}

/** The same, with a node whose daemon is away until the others have done their part. */
export function rotateRootWithout(number: number): Operation {
  return planned(`swarm ca --rotate while the daemon of n${number} is away`, async (cluster) => {
    const host = cluster.lab.host(number);
    await host.stopDaemon();
    await cluster.docker("swarm", "ca", "--rotate", "--detach");
    const format = "{{.Hostname}} {{.TLSStatus}}";
    const isWaiting = async () => {
      const lines = (await cluster.docker("node", "ls", "--format", format)).trim().split("\n");
      // Those that have turned still trust both roots; the one that is away knows nothing of it.
      return lines.every((line) => line.endsWith("Needs Rotation"));
    };
    const isOver = async () => {
      const inProgress = ["info", "--format", "{{.Swarm.Cluster.RootRotationInProgress}}"];
      return (await cluster.docker(...inProgress)).trim() === "false";
    };
    await until(isWaiting, { what: "nodes on their way to another root" });
    await host.startDaemon();
    await until(isOver, { what: "the rotation to be over" });
  });
}

/** One task's container on this host, from outside of Weft. */
export function killTask(service: ServiceName): Operation {
  return {
    name: `kill a task of ${service}`,
    planned: false,
    run: async (cluster) => {
      const { host, container } = await someTask(cluster, service);
      await host.engineOk(["kill", container]);
      // Its replacement is made only once its death is known.
      const isKnown = async () => !(await cluster.isRunning(container));
      await until(isKnown, { what: "the task's end to be known" });
      await cluster.settled();
    },
  };
}

/** Everything on a worker dies at once; later it is switched on again. */
export function crashHost(number: number): Operation {
  return {
    name: `crash n${number}`,
    planned: false,
    run: async (cluster) => {
      const host = cluster.lab.host(number);
      await host.crash();
      await nodeIs(cluster, `n${number}`, "Down");
      await cluster.settled();
      await host.restart();
      await nodeIs(cluster, `n${number}`, "Ready");
      await cluster.settled();
    },
  };
}

/** Operations drawn from the seed, without end. */
export function* drawnOperations(random: Random): Generator<Operation> {
  const order = (): Order => pick(random, ["stop-first", "start-first"]);
  const service = (): ServiceName => pick(random, SERVICES);
  const draws: readonly (() => Operation)[] = [
    () => force(service(), order()),
    () => changeEnv(service(), randomBelow(random, 1_000), order()),
    () => changeImage(order()),
    () => rollbackEarly(order()),
    () => failUpdate(service(), order()),
    () => changeTwice(service(), order()),
    () => scaleDuringUpdate(service(), 8, order()),
    () => scale(service(), pick(random, [1, 2]), 12, 2 + randomBelow(random, 4)),
    () => drainNode(1 + randomBelow(random, 3)),
    () => drainOnlyTask(service()),
    () => restartDaemon(1 + randomBelow(random, 3)),
    () => upgradeDaemon(1 + randomBelow(random, 3)),
    () => killDaemon(1 + randomBelow(random, 3)),
    () => killTask(service()),
    () => crashHost(2 + randomBelow(random, 2)),
  ];
  for (;;) yield pick(random, draws)();
}

function planned(name: string, act: (cluster: SoakCluster) => Promise<unknown>): Operation {
  return {
    name,
    planned: true,
    run: async (cluster) => {
      await act(cluster);
      await cluster.settled();
    },
  };
}

function orderFlags(order: Order): readonly string[] {
  return order === "start-first" ? START_FIRST : STOP_FIRST;
}

async function someTask(cluster: SoakCluster, service: ServiceName) {
  for (const host of cluster.lab.hosts) {
    const ids = await host.engineOk(["ps", "-q", "--filter", `name=${service}.`]);
    const [container] = ids.split("\n").filter(Boolean);
    if (container !== undefined) return { host, container };
  }
  throw new Error(`no task of ${service} runs`);
}

async function nodeIs(cluster: SoakCluster, name: string, status: string): Promise<void> {
  const look = async () => {
    const said = await cluster.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}");
    return said.split("\n").includes(`${name} ${status}`);
  };
  await until(look, { what: `${name} to be ${status}`, timeoutMs: 60_000, intervalMs: 100 });
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[randomBelow(random, from.length)] as T;
}
