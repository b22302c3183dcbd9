/** The part "scale": what thousands of services cost a node, and whether one of them is slower for the others. */

import { LabError } from "../../src/lab/errors.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import type { Place } from "../../src/lab/place.ts";
import { runWrk } from "../loads/http.ts";
import type { Run, Target } from "../loads/load.ts";
import { startServers } from "../paths/servers.ts";
import type { Progress } from "../progress.ts";
import { percentile, rotated, type Summary, summarize } from "../stats.ts";
import { ENDPOINTS_PER_SERVICE, localAddresses, publishedPortOf, TASK_LINK } from "./view.ts";
import type { ScalePlan, ScaleTimes } from "./worker.ts";

const SIZES = [1, 100, 1_000, 10_000];
const SIZES_QUICK = [1, 1_000];
const CHANGES = 10;
const ROUNDS = 5;
const ROUNDS_QUICK = 3;
const WORKER = new URL("./worker.ts", import.meta.url).pathname;
const WORKER_TIMEOUT_MS = 300_000;
const GATEWAY = "169.254.1.1";

/** A node with this many services. */
export interface ScaleResult {
  readonly services: number;
  readonly firstApplyMs: number;
  readonly change: Summary;
  readonly changeCommands: number;
  readonly cpuMsPerChange: number;
  readonly idleMs: number;
  readonly adoptMs: number;
  readonly residentBytes: number;
  readonly kernelBytes: number;
  /** New connections through the last service. */
  readonly connections: Summary;
  readonly connectionCPU: Summary;
  readonly p50Us: number;
}

export interface ScaleReport {
  readonly endpointsPerService: number;
  readonly sizes: readonly ScaleResult[];
}

export async function benchScale(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<ScaleReport> {
  const sizes = options.isQuick ? SIZES_QUICK : SIZES;
  progress.part(`Scale: ${sizes.join(", ")} services of ${ENDPOINTS_PER_SERVICE} endpoints`);
  await using lab = await Lab.create({ hosts: sizes.length, clients: 1, engine: false });
  const meshes: Mesh[] = [];
  for (const [index, services] of sizes.entries()) {
    progress.step(`${services} services: apply and change`);
    meshes.push(await makeMesh(lab.host(index + 1), services));
  }
  const runs = await askAll(
    lab.client(),
    meshes,
    options.isQuick ? ROUNDS_QUICK : ROUNDS,
    progress,
  );
  return {
    endpointsPerService: ENDPOINTS_PER_SERVICE,
    sizes: meshes.map((mesh) => resultOf(mesh, runs.get(mesh) ?? [])),
  };
}

interface Mesh {
  readonly services: number;
  readonly target: Target;
  readonly times: ScaleTimes;
}

async function makeMesh(host: Host, services: number): Promise<Mesh> {
  await startServers(host, await makeTask(host, localAddresses({ services })));
  const plan: ScalePlan = { services, underlayAddress: host.ip, changes: CHANGES };
  const argv = [process.execPath, WORKER, JSON.stringify(plan)];
  const { code, stdout, stderr } = await host.exec(argv, { timeoutMs: WORKER_TIMEOUT_MS });
  if (code !== 0) throw new LabError(`${services} services: ${stderr}`);
  const target = { address: host.ip, port: publishedPortOf(services - 1) };
  return { services, target, times: JSON.parse(stdout) as ScaleTimes };
}

/** The last service's tasks: one network with all their addresses, behind a link as the keeper makes them. */
async function makeTask(host: Host, addresses: readonly string[]): Promise<Place> {
  const enter = ["ip", "netns", "exec", "task"];
  const task: Place = {
    name: `task of ${host.name}`,
    exec: (argv, options) => host.exec([...enter, ...argv], options),
    spawn: (argv, options) => host.spawn([...enter, ...argv], options),
  };
  await host.execOk(["ip", "-batch", "-"], {
    stdin: [
      "netns add task",
      `link add ${TASK_LINK} type veth peer name eth0 netns task`,
      `address add ${GATEWAY}/32 dev ${TASK_LINK}`,
      `link set ${TASK_LINK} up`,
    ].join("\n"),
  });
  await task.exec(["ip", "-batch", "-"], {
    stdin: [
      ...addresses.map((address) => `address add ${address}/32 dev eth0`),
      "link set lo up",
      "link set eth0 up",
      `route add ${GATEWAY} dev eth0`,
      `route add default via ${GATEWAY} dev eth0`,
    ].join("\n"),
  });
  return task;
}

/** All sizes in turn, so that drift meets them alike. */
async function askAll(
  client: Machine,
  meshes: readonly Mesh[],
  rounds: number,
  progress: Progress,
): Promise<Map<Mesh, Run[]>> {
  const runs = new Map<Mesh, Run[]>(meshes.map((mesh) => [mesh, []]));
  for (let round = 0; round < rounds; round++) {
    progress.step(`new connections through the last service: round ${round + 1} of ${rounds}`);
    for (const mesh of rotated(meshes, round)) {
      runs.get(mesh)?.push(await runWrk(client, mesh.target, { connections: 32, closes: true }));
    }
  }
  return runs;
}

function resultOf({ services, times }: Mesh, runs: readonly Run[]): ScaleResult {
  const { changeMs, ...rest } = times;
  return {
    services,
    ...rest,
    change: summarize(changeMs),
    connections: summarize(runs.map(({ rate }) => rate)),
    connectionCPU: summarize(runs.map(({ cpu }) => cpu)),
    p50Us: percentile(
      runs.flatMap(({ latency }) => latency ?? []),
      0.5,
    ),
  };
}
