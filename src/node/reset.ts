/** Takes every trace of Weft off a host whose daemon does not run. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { removeTaskFiles, SECRETS_DIRECTORY } from "../agent/task-files.ts";
import { systemClock } from "../base/clock.ts";
import { messageOf, UnavailableError } from "../base/errors.ts";
import { lockNetworkNamespace } from "../base/lock.ts";
import type { Logger } from "../base/logger.ts";
import { VERSION } from "../base/version.ts";
import { openDatapath } from "../datapath/open.ts";
import { HTTPKeeperClient } from "../keeper/client.ts";
import { ensureKeeper } from "../keeper/launch.ts";
import { KEEPER_SOCKET, PLUGIN_SOCKET } from "../keeper/protocol.ts";
import { answers } from "../keeper/unix-listener.ts";
import { DockerRuntime } from "../runtime/docker/docker-runtime.ts";
import { DAEMON_LOCK } from "./daemon.ts";

export interface ResetOptions {
  readonly dataDir: string;
  /** Path of the Engine's unix socket. */
  readonly engineSocket: string;
  readonly apiSockets: readonly string[];
  /** What runs `weft`, for a keeper where none runs. */
  readonly executable: readonly string[];
  readonly log: Logger;
  /** Told what is being done, a line each. */
  readonly say: (text: string) => void;
}

/** Resolves with what could not be removed, in plain words; empty when nothing of Weft is left. */
export async function resetHost(options: ResetOptions): Promise<readonly string[]> {
  const { log, say } = options;
  const lock = await lockNetworkNamespace(
    DAEMON_LOCK,
    "a weft daemon runs on this host: stop it first",
  );
  const failures: string[] = [];
  const step = async (what: string, work: () => Promise<void>) => {
    say(what);
    try {
      await work();
    } catch (error) {
      failures.push(`${what}: ${messageOf(error)}`);
    }
  };
  // Containers and networks first: the Engine asks the keeper's plugin while it removes them.
  await step("removing tasks' containers and Weft's networks", () => removeFromEngine(options));
  await step("stopping the keeper", () => stopKeeper());
  await step("removing links, routes and rules", async () => {
    const kernel = await openDatapath({ log, clock: systemClock });
    await kernel.datapath.reset();
    await kernel.close();
  });
  await step(`removing state in ${options.dataDir}`, async () => {
    for (const path of [KEEPER_SOCKET, PLUGIN_SOCKET, ...options.apiSockets]) {
      rmSync(path, { force: true });
    }
    await removeTaskFiles(SECRETS_DIRECTORY);
    rmSync("/run/weft", { recursive: true, force: true });
    for (const entry of STATE)
      rmSync(join(options.dataDir, entry), { recursive: true, force: true });
  });
  lock.release();
  return failures;
}

/** What Weft keeps below its data directory; the directory itself may be the user's. */
const STATE = [
  ...["store", "certificates", "agent", "keeper", "node.json"],
  ...["daemon.lock", "daemon.lock-journal"],
];

/** With the keeper up, as each removal asks its plugin, and without an answer the Engine waits for long. */
async function removeFromEngine(options: ResetOptions): Promise<void> {
  const { engineSocket, dataDir, executable, log } = options;
  // The file outlives an Engine that was killed.
  if (!(await answers(engineSocket))) {
    if (!existsSync(join(dataDir, "node.json"))) return;
    throw new UnavailableError(
      "the Docker Engine does not run: start it and run 'weft reset --force' again for the containers and networks that it has of Weft's",
    );
  }
  const runtime = new DockerRuntime({ clock: systemClock }, { socketPath: engineSocket });
  const [containers, networks] = await Promise.all([runtime.list(), runtime.networks()]);
  if (containers.length + networks.length === 0) return;
  await ensureKeeper({ dataDir, version: VERSION, executable, log });
  await Promise.all(containers.map(({ containerID }) => runtime.remove(containerID)));
  for (const name of networks) await runtime.removeNetwork(name);
}

async function stopKeeper(): Promise<void> {
  // The file outlives a keeper that was killed.
  if (!(await answers(KEEPER_SOCKET))) return;
  await new HTTPKeeperClient({ socketPath: KEEPER_SOCKET }).stop();
}
