/** The measures of the control plane, in the order in which they are taken of one cluster of three hosts. */
import { setTimeout as pause } from "node:timers/promises";
import type { Machine } from "../../src/lab/machine.ts";
import { timed } from "../../src/lab/timed.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import type { Progress } from "../progress.ts";
import { type Summary, summarize } from "../stats.ts";
import { allAnswering, type Harm, harmSince, lastAnswerBy } from "./answers.ts";
import type { Cluster } from "./cluster.ts";
import { type Footprint, footprintOf } from "./footprint.ts";
import { Probing } from "./probing.ts";

export interface ControlResult {
  readonly kind: Cluster["kind"];
  /** Two workers: commands given at once, until the manager shows both as ready. */
  readonly joinMs: number;
  /** Six tasks with a published port: until all run, and until every host answers. */
  readonly runningMs: Summary;
  readonly answeringMs: Summary | undefined;
  readonly footprint: Footprint;
  readonly killed: Harm | undefined;
  readonly scaled: { readonly lastConnectionMs: number; readonly harm: Harm } | undefined;
  readonly crash: {
    readonly noticedMs: number;
    readonly runningElsewhereMs: number;
    readonly harm: Harm | undefined;
  };
  readonly many: {
    readonly services: number;
    readonly acceptedMs: number;
    readonly runningMs: number;
  };
  readonly scheduled: { readonly tasks: number; readonly ms: number };
  /** What could not be measured, and why. */
  readonly notes: readonly string[];
}

export interface ControlSizes {
  readonly creates: number;
  readonly services: number;
  readonly tasks: number;
}

const SERVICE = "bench";
const PORT = 8080;
const REPLICAS = 6;
/** After an event, clients go on for so long, to meet what it broke. */
const AFTERMATH_MS = 2_000;
/** What runs must come to rest before its memory and CPU time say anything. */
const SETTLE_MS = 3_000;
/** A mesh that has not answered by then does not work on this kernel. */
const ANSWER_TIMEOUT_MS = 5_000;
const CREATE = [
  ...["service", "create", "--detach", "--no-resolve-image", "--name", SERVICE],
  ...["--publish", `published=${PORT},target=80`, "--replicas", `${REPLICAS}`],
];

export async function measureControl(
  cluster: Cluster,
  client: Machine,
  sizes: ControlSizes,
  progress: Progress,
): Promise<ControlResult> {
  const step = (text: string) => progress.step(`${cluster.kind}: ${text}`);
  step("two workers join");
  await cluster.start();
  const joinMs = await join(cluster);
  const creates: Created[] = [];
  for (let create = 1; create <= sizes.creates; create++) {
    step(`six tasks with a published port, ${create} of ${sizes.creates}`);
    if (create > 1) await remove(cluster);
    creates.push(await createService(cluster, client));
  }
  const answering = creates.flatMap(({ answeringMs }) => answeringMs ?? []);
  const hasMesh = answering.length > 0;
  step("at rest");
  await pause(SETTLE_MS);
  const footprint = await footprintOf(cluster.hosts[1] ?? cluster.manager, cluster.kind);
  step("a task is killed");
  const killed = hasMesh ? await killTask(cluster, client) : undefined;
  step("three of six tasks are stopped");
  const scaled = hasMesh ? await scaleDown(cluster, client) : undefined;
  await cluster.docker(cluster.manager, ["service", "scale", "--detach", `${SERVICE}=${REPLICAS}`]);
  await cluster.untilRunning(REPLICAS, SERVICE);
  await remove(cluster);
  step(`${sizes.services} services at once`);
  const many = await createMany(cluster, sizes.services);
  step(`${sizes.tasks} tasks scheduled`);
  const scheduled = await scheduleMany(cluster, sizes.tasks);
  step("a node crashes");
  const crash = await crashNode(cluster, client, hasMesh);
  return {
    kind: cluster.kind,
    joinMs,
    runningMs: summarize(creates.map(({ runningMs }) => runningMs)),
    answeringMs: hasMesh ? summarize(answering) : undefined,
    footprint,
    killed,
    scaled,
    crash,
    many,
    scheduled,
    notes: hasMesh ? [] : [await cluster.whyUnanswered()],
  };
}

async function join(cluster: Cluster): Promise<number> {
  const { manager, hosts } = cluster;
  await cluster.docker(manager, ["swarm", "init", "--advertise-addr", manager.ip]);
  const token = (await cluster.docker(manager, ["swarm", "join-token", "-q", "worker"])).trim();
  const workers = hosts.slice(1);
  const command = ["swarm", "join", "--token", token, `${manager.ip}:2377`];
  return await timed(async () => {
    await Promise.all(workers.map((host) => cluster.docker(host, command)));
    await cluster.until(async () => {
      const ready = [...(await cluster.nodes()).values()].filter(({ state }) => state === "ready");
      return ready.length === hosts.length;
    }, "all nodes to be ready");
  });
}

interface Created {
  readonly runningMs: number;
  readonly answeringMs: number | undefined;
}

async function createService(cluster: Cluster, client: Machine): Promise<Created> {
  await using probing = await Probing.start(client, cluster.hosts, PORT);
  const image = await cluster.imageID("nginx");
  const event = Date.now();
  const runningMs = await timed(async () => {
    await cluster.docker(cluster.manager, [...CREATE, image]);
    await cluster.untilRunning(REPLICAS, SERVICE);
  });
  const names = cluster.hosts.map(({ name }) => name);
  const look = () => allAnswering(probing.samples(), names, event);
  const deadline = performance.now() + ANSWER_TIMEOUT_MS;
  while (look() === undefined && performance.now() < deadline) await pause(100);
  const answeringMs = look();
  return { runningMs, answeringMs };
}

async function remove(cluster: Cluster): Promise<void> {
  await cluster.docker(cluster.manager, ["service", "rm", SERVICE]);
  await cluster.until(async () => (await cluster.tasks()).length === 0, "no task to be left");
}

/** A container is killed behind the cluster's back. */
async function killTask(cluster: Cluster, client: Machine): Promise<Harm> {
  const host = cluster.hosts[1] ?? cluster.manager;
  const listed = await unixHttp(host.engineSocket, { path: "/containers/json" });
  const [container] = JSON.parse(listed.body) as readonly { readonly Id: string }[];
  await using probing = await Probing.start(client, cluster.hosts, PORT);
  await untilAsking(cluster, probing);
  const event = Date.now();
  await unixHttp(host.engineSocket, { method: "POST", path: `/containers/${container?.Id}/kill` });
  await pause(AFTERMATH_MS);
  const harm = harmSince(probing.samples(), event);
  await cluster.untilRunning(REPLICAS, SERVICE);
  return harm;
}

async function scaleDown(cluster: Cluster, client: Machine): Promise<ControlResult["scaled"]> {
  const before = await runningContainers(cluster);
  await using probing = await Probing.start(client, cluster.hosts, PORT);
  await untilAsking(cluster, probing);
  const event = Date.now();
  await cluster.docker(cluster.manager, ["service", "scale", "--detach", `${SERVICE}=3`]);
  await pause(AFTERMATH_MS);
  const after = await runningContainers(cluster);
  const stopped = new Set([...before].filter((container) => !after.has(container)));
  const samples = probing.samples();
  return {
    lastConnectionMs: lastAnswerBy(samples, stopped, event),
    harm: harmSince(samples, event),
  };
}

/** Host names of the tasks that are meant to run. */
async function runningContainers(cluster: Cluster): Promise<Set<string>> {
  const tasks = await cluster.tasks(SERVICE);
  const wanted = tasks.filter(({ desiredState }) => desiredState === "running");
  return new Set(wanted.map(({ containerID }) => containerID.slice(0, 12)));
}

async function untilAsking(cluster: Cluster, probing: Probing): Promise<void> {
  await cluster.until(async () => probing.samples().length > 100, "the client to be under way");
}

/** Power loss of the last host: clients ask the two others. */
async function crashNode(
  cluster: Cluster,
  client: Machine,
  hasMesh: boolean,
): Promise<ControlResult["crash"]> {
  await cluster.docker(cluster.manager, [...CREATE, await cluster.imageID("nginx")]);
  await cluster.untilRunning(REPLICAS, SERVICE);
  const victim = cluster.hosts.at(-1) ?? cluster.manager;
  const id = (await cluster.nodes()).get(victim.name)?.id;
  const others = cluster.hosts.filter((host) => host !== victim);
  await using probing = await Probing.start(client, others, PORT);
  if (hasMesh) await untilAsking(cluster, probing);
  const [event, start] = [Date.now(), performance.now()];
  const crashing = victim.crash();
  const isDown = async () => (await cluster.nodes()).get(victim.name)?.state === "down";
  await cluster.until(isDown, `${victim.name} to be down`);
  const noticedMs = performance.now() - start;
  await cluster.untilRunning(REPLICAS, SERVICE, id);
  const runningElsewhereMs = performance.now() - start;
  await crashing;
  await pause(AFTERMATH_MS);
  const harm = hasMesh ? harmSince(probing.samples(), event) : undefined;
  return { noticedMs, runningElsewhereMs, harm };
}

/** Each with a published port and one task, created side by side. */
async function createMany(cluster: Cluster, services: number): Promise<ControlResult["many"]> {
  const names = Array.from({ length: services }, (_, index) => `many-${index}`);
  const Image = await cluster.imageID("busybox");
  const start = performance.now();
  await Promise.all(
    names.map((name, index) =>
      cluster.call("POST", "/services/create", {
        Name: name,
        TaskTemplate: {
          ContainerSpec: { Image, Args: ["sleep", "1000000"], StopSignal: "SIGKILL" },
        },
        Mode: { Replicated: { Replicas: 1 } },
        EndpointSpec: {
          Ports: [{ Protocol: "tcp", PublishedPort: 20_000 + index, TargetPort: 80 }],
        },
      }),
    ),
  );
  const acceptedMs = performance.now() - start;
  await cluster.untilRunning(services);
  const runningMs = performance.now() - start;
  await Promise.all(names.map((name) => cluster.call("DELETE", `/services/${name}`)));
  await cluster.until(async () => (await cluster.tasks()).length === 0, "no task to be left");
  return { services, acceptedMs, runningMs };
}

/**
 * Until all have a node. They want a directory that is nowhere, so that no Engine has to start a thousand
 * containers; and are not restarted, so that they are a thousand and no more.
 */
async function scheduleMany(cluster: Cluster, tasks: number): Promise<ControlResult["scheduled"]> {
  const Image = await cluster.imageID("busybox");
  const ms = await timed(async () => {
    await cluster.call("POST", "/services/create", {
      Name: "scheduled",
      TaskTemplate: {
        ContainerSpec: {
          Image,
          Mounts: [{ Type: "bind", Source: "/nowhere", Target: "/nowhere" }],
        },
        RestartPolicy: { Condition: "none" },
      },
      Mode: { Replicated: { Replicas: tasks } },
    });
    await cluster.until(async () => {
      const listed = await cluster.tasks("scheduled");
      return listed.filter(({ nodeID }) => nodeID !== "").length === tasks;
    }, `${tasks} tasks to have a node`);
  });
  await cluster.call("DELETE", "/services/scheduled");
  await cluster.until(async () => (await cluster.tasks()).length === 0, "no task to be left");
  return { tasks, ms };
}
