/** The daemon as a process: from its options to a node whose API answers, and back to nothing at a signal. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ZoneInit } from "../agent/names.ts";
import { type MetricsAddress, MetricsServer } from "../api/metrics.ts";
import { ApiServer } from "../api/server.ts";
import { delay, systemClock } from "../base/clock.ts";
import { ConflictError, InvalidParameterError, UnavailableError } from "../base/errors.ts";
import { lockFile, lockNetworkNamespace } from "../base/lock.ts";
import type { Logger, LogLevel } from "../base/logger.ts";
import { Meters } from "../base/meters.ts";
import { systemRandom } from "../base/random.ts";
import { ResidentCode } from "../base/resident.ts";
import { VERSION } from "../base/version.ts";
import { openDatapath } from "../datapath/open.ts";
import { ensureKeeper } from "../keeper/launch.ts";
import { DockerRuntime } from "../runtime/docker/docker-runtime.ts";
import { EngineClient } from "../runtime/docker/engine-client.ts";
import { WeftNode } from "./node.ts";

export interface DaemonOptions {
  readonly hosts: readonly string[];
  readonly dataDir: string;
  readonly dockerHost: string;
  readonly logLevel: LogLevel;
  readonly tls?: {
    readonly tlscacert: string;
    readonly tlscert: string;
    readonly tlskey: string;
  };
  readonly zone: ZoneInit;
  /** Networks of this host's addresses at which ports are answered whose service does not say; all when empty. */
  readonly publishDefault: readonly string[];
  /** Where the metrics page is answered beside the API's socket. */
  readonly metricsAddr?: MetricsAddress;
  /** What runs `weft`, for the keeper. */
  readonly executable: readonly string[];
  readonly log: Logger;
}

/** Runs until SIGTERM or SIGINT; tasks, kernel and keeper go on when it ends. What has started when it fails is stopped again. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { dataDir, log } = options;
  const socketPath = unixPathOf(options.dockerHost);
  const stopped = stopSignal();
  using locks = new DisposableStack();
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const dataLock = lockFile(
    join(dataDir, "daemon.lock"),
    `another weft daemon uses the data directory ${dataDir}; give this one its own with --data-dir`,
  );
  locks.defer(() => dataLock.release());
  const namespaceLock = await lockNetworkNamespace(
    DAEMON_LOCK,
    "another weft daemon runs in this network namespace; one host runs one daemon",
  );
  locks.defer(() => namespaceLock.release());
  const engine = new EngineClient({ socketPath });
  await refuseSwarmEngine(engine, log);
  const { executable, logLevel } = options;
  const keeperOptions = { dataDir, version: VERSION, executable, log, logLevel };
  const keeper = await ensureKeeper(keeperOptions);
  await using started = new AsyncDisposableStack();
  let isEngineUp = false;
  const meters = new Meters();
  const kernel = await openDatapath(
    { log, clock: systemClock, meters },
    { mayForward: () => isEngineUp },
  );
  started.defer(() => kernel.close());
  const stopping = new AbortController();
  const engineWait = engineUp(engine, stopping.signal).then(async () => {
    isEngineUp = true;
    await kernel.datapath.audit();
  });
  engineWait.catch((error: unknown) => log.debug("not looked at the kernel again", { error }));
  started.defer(async () => {
    stopping.abort();
    await engineWait.catch(() => {});
  });
  const node = new WeftNode(
    {
      runtime: new DockerRuntime({ clock: systemClock }, { socketPath }),
      keeper,
      ensureKeeper: async () => void (await ensureKeeper(keeperOptions)),
      datapath: kernel.datapath,
      checkHost: () => checkEngine(engine, socketPath),
      clock: systemClock,
      random: systemRandom,
      log,
      meters,
    },
    { dataDir, zone: options.zone, publishDefault: options.publishDefault },
  );
  const api = new ApiServer({
    hosts: options.hosts,
    dockerHost: options.dockerHost,
    backend: node,
    clock: systemClock,
    log,
    version: VERSION,
    metrics: () => node.metrics(),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  });
  started.defer(() => node.stop());
  await node.start();
  // It has nothing to compare with, and does nothing, while this node is part of no cluster.
  kernel.auditor.start();
  await api.start();
  started.defer(() => api.stop());
  if (options.metricsAddr !== undefined) {
    const page = () => node.metrics();
    const metrics = new MetricsServer({ ...options.metricsAddr, page, log });
    await metrics.start();
    started.defer(() => metrics.stop());
  }
  const code = new ResidentCode({ clock: systemClock });
  code.start();
  started.defer(() => code.stop());
  log.info("the daemon is up", { version: VERSION, pid: process.pid });
  log.info("the daemon stops", { signal: await stopped });
}

/** Held by the daemon of a network namespace as long as it lives. */
export const DAEMON_LOCK = "weft-daemon";

const SWARM_ENGINE =
  "the local Docker Engine is in swarm mode itself, and Weft takes that place: run 'docker swarm leave' on the Engine first";

/** An Engine that boots may in turn wait for our keeper, so it is not waited for longer than this. */
const ENGINE_ANSWER_MS = 1_000;

/** An Engine that does not answer yet is no reason to refuse: it may start after us. */
async function refuseSwarmEngine(engine: EngineClient, log: Logger): Promise<void> {
  const patience = delay(systemClock, "engine answer", ENGINE_ANSWER_MS).then(() => {
    throw new UnavailableError(`no answer within ${ENGINE_ANSWER_MS} ms`);
  });
  const state = await Promise.race([swarmStateOf(engine), patience]).catch((error: unknown) => {
    log.warn("the Docker Engine does not answer yet", { error });
    return "inactive";
  });
  if (state !== "inactive") throw new ConflictError(SWARM_ENGINE);
}

/** How often an Engine that does not answer is asked again, and how long each time. */
const ENGINE_POLL_MS = 500;
const ENGINE_POLL_TIMEOUT_MS = 2_000;

/** Resolves when the Engine has answered, or rejects when the signal is aborted. */
async function engineUp(engine: EngineClient, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await engine.call("GET", "/version", { timeoutMs: ENGINE_POLL_TIMEOUT_MS, signal });
      return;
    } catch {
      await delay(systemClock, "engine up", ENGINE_POLL_MS, signal);
    }
  }
}

/** Before this node becomes a member its Engine must be there. */
async function checkEngine(engine: EngineClient, socketPath: string): Promise<void> {
  const state = await swarmStateOf(engine);
  if (state !== "inactive") throw new ConflictError(`${SWARM_ENGINE} (${socketPath})`);
}

async function swarmStateOf(engine: EngineClient): Promise<string> {
  const info = await engine.call("GET", "/info");
  const swarm = isRecord(info) ? info["Swarm"] : undefined;
  const state = isRecord(swarm) ? swarm["LocalNodeState"] : undefined;
  return typeof state === "string" && state !== "" ? state : "inactive";
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function unixPathOf(dockerHost: string): string {
  if (dockerHost.startsWith("unix:///")) return dockerHost.slice("unix://".length);
  throw new InvalidParameterError(
    `the local Docker Engine is reached by a unix socket, such as unix:///var/run/docker.sock, not "${dockerHost}"`,
  );
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
}
