/** The keeper as a process: from its start to a signal or the daemon's word. */
import { isAbsolute } from "node:path";
import { systemClock } from "../base/clock.ts";
import { InvalidParameterError } from "../base/errors.ts";
import { createLogger, type Logger, type LogLevel } from "../base/logger.ts";
import { boundedStderr } from "./bounded-log.ts";
import { Keeper } from "./keeper.ts";

export interface RunKeeperOptions {
  readonly dataDir: string;
  readonly version: string;
  readonly logLevel?: LogLevel;
  /** The keeper's own, with a bounded file, when absent. */
  readonly log?: Logger;
  readonly keeperSocket?: string;
  readonly pluginSocket?: string;
}

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Runs until SIGTERM, SIGINT or the daemon's stop; resolves when all that it held is let go. */
export async function runKeeper(options: RunKeeperOptions): Promise<void> {
  const { logLevel, log: given, ...init } = options;
  if (!isAbsolute(init.dataDir)) {
    throw new InvalidParameterError(`data directory ${init.dataDir} is not an absolute path`);
  }
  const level = logLevel === undefined ? {} : { level: logLevel };
  const log = given ?? createLogger({ ...level, room: "keeper", write: boundedStderr() });
  // Whoever started it may go away, with its terminal.
  process.on("SIGHUP", () => {});
  const keeper = new Keeper({ clock: systemClock, log }, init);
  await keeper.start();
  await Promise.race([keeper.stopRequested, ...SIGNALS.map(signalled)]);
  // Ending may take its time for what still runs; a second signal does not wait for it.
  for (const signal of SIGNALS) process.removeAllListeners(signal);
  await keeper.stop();
}

function signalled(name: (typeof SIGNALS)[number]): Promise<void> {
  return new Promise((resolve) => process.once(name, () => resolve()));
}
