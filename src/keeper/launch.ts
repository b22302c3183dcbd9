/**
 * Makes sure that this host's keeper runs, is of the daemon's version, and is this daemon's own. It is
 * started in a session of its own, so that neither the daemon's end nor its terminal's takes it along.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ConflictError, messageOf, SystemError, UnavailableError } from "../base/errors.ts";
import type { Logger, LogLevel } from "../base/logger.ts";
import { HTTPKeeperClient } from "./client.ts";
import { KEEPER_SOCKET, type KeeperClient, type KeeperStatus } from "./protocol.ts";

export interface EnsureKeeperOptions {
  readonly dataDir: string;
  /** The daemon's version: a keeper of another one hands over to a new one. */
  readonly version: string;
  /** What runs `weft`; `keeper` and its flags are added. Absent when a service manager runs the keeper: then it is only waited for. */
  readonly executable?: readonly string[];
  readonly log: Logger;
  readonly logLevel?: LogLevel;
  readonly socketPath?: string;
}

/** A keeper is up in a quarter of a second; one that is not by now never will be. */
const START_TIMEOUT_MS = 20_000;
const LOOK_MS = 20;
/** As often as this a keeper that ended at once is started again: the one before may just have been ending. */
const STARTS_MAX = 3;
const START_AGAIN_MS = 500;

export async function ensureKeeper(options: EnsureKeeperOptions): Promise<KeeperClient> {
  const { log, version, socketPath = KEEPER_SOCKET } = options;
  const client = new HTTPKeeperClient({ socketPath });
  const { executable } = options;
  const running = await statusOf(client);
  const status =
    running ??
    (executable === undefined
      ? await appearing(client, socketPath)
      : await start({ ...options, executable }, client));
  assertOurs(status, options.dataDir, socketPath);
  if (running === undefined) log.info("the keeper is up", { pid: status.pid });
  if (status.version === version) return client;
  if (executable === undefined) {
    log.warn("the keeper is of another version: restart its service", { of: status.version });
  } else {
    log.info("the keeper is of another version and hands over", { of: status.version });
    try {
      await client.handOver(commandOf({ ...options, executable }));
    } catch (error) {
      // The old one holds the ports and answers the Engine as before: no reason to be without a daemon too.
      log.error("the keeper did not hand over and goes on as it is", { of: status.version, error });
    }
  }
  return client;
}

/** The keeper that a service manager starts. */
async function appearing(client: KeeperClient, socketPath: string): Promise<KeeperStatus> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const status = await statusOf(client);
    if (status !== undefined) return status;
    await pause(LOOK_MS);
  }
  throw new UnavailableError(`no keeper answers at ${socketPath}: is its service running?`);
}

type LaunchOptions = EnsureKeeperOptions & { readonly executable: readonly string[] };

/** Undefined when none answers. */
async function statusOf(client: KeeperClient): Promise<KeeperStatus | undefined> {
  try {
    return await client.status();
  } catch (error) {
    if (error instanceof UnavailableError) return undefined;
    throw error;
  }
}

function assertOurs(status: KeeperStatus, dataDir: string, socketPath: string): void {
  const who = `the keeper at ${socketPath} (process ${status.pid})`;
  if (status.networkNamespace !== readlinkSync("/proc/self/ns/net")) {
    throw new ConflictError(
      `${who} serves another network namespace: give this host a /run of its own, or stop that keeper`,
    );
  }
  if (status.dataDir !== dataDir) {
    throw new ConflictError(
      `${who} serves another daemon, with data directory ${status.dataDir}, not ${dataDir}: a host has one`,
    );
  }
}

/** Resolves with the status of whichever keeper answers first; a second one refuses itself. */
async function start(options: LaunchOptions, client: KeeperClient): Promise<KeeperStatus> {
  const { dataDir } = options;
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (let starts = 1; ; starts++) {
    const child = await launch(options);
    while (child.exitCode === null && child.signalCode === null) {
      const status = await statusOf(client);
      if (status !== undefined) return status;
      if (performance.now() > deadline) {
        child.kill("SIGKILL");
        throw new SystemError(`the keeper does not come up; its log is ${logPath(dataDir)}`);
      }
      await pause(LOOK_MS);
    }
    if (starts === STARTS_MAX) throw new SystemError(whyEnded(child, dataDir));
    await pause(START_AGAIN_MS);
  }
}

async function launch(options: LaunchOptions): Promise<ChildProcess> {
  const [program = "", ...args] = commandOf(options);
  mkdirSync(join(options.dataDir, "keeper"), { recursive: true, mode: 0o700 });
  const file = openSync(logPath(options.dataDir), "a", 0o600);
  try {
    const stdio = ["ignore", file, file] as const;
    const child = spawn(program, args, { cwd: "/", detached: true, stdio: [...stdio] });
    await once(child, "spawn");
    child.unref();
    return child;
  } catch (cause) {
    throw new SystemError(`the keeper cannot be started: ${messageOf(cause)}`, { cause });
  } finally {
    closeSync(file);
  }
}

function commandOf({ executable, dataDir, logLevel = "info" }: LaunchOptions) {
  return [...executable, "keeper", "--data-dir", dataDir, "--log-level", logLevel];
}

function logPath(dataDir: string): string {
  return join(dataDir, "keeper", "keeper.log");
}

function whyEnded(child: ChildProcess, dataDir: string): string {
  const end = child.exitCode ?? child.signalCode;
  const last = readFileSync(logPath(dataDir), "utf8").trimEnd().split("\n").at(-1) ?? "";
  return `the keeper ended at once (${end}): ${last} (its log is ${logPath(dataDir)})`;
}
