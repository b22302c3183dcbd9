/** Options that several commands share. */
import { fileURLToPath } from "node:url";
import { LOG_LEVELS, type LogLevel } from "../base/logger.ts";
import { UsageError } from "./command.ts";
import type { OptionSpec } from "./options.ts";

/** What runs `weft`: the keeper is started by it too. */
export const EXECUTABLE = fileURLToPath(new URL("../../bin/weft", import.meta.url));

export const DEFAULT_CONFIG_FILE = "/etc/weft/config.json";

export const LOG_LEVEL_OPTION = {
  kind: "string",
  env: "WEFT_LOG_LEVEL",
  value: "LEVEL",
  help: LOG_LEVELS.join(", "),
  default: "info",
} as const satisfies OptionSpec;

/** Where a command asks a daemon. */
export const DAEMON_HOST_OPTION = {
  kind: "string",
  env: "WEFT_HOST",
  value: "unix://PATH",
  default: "unix:///run/weft.sock",
  help: "the socket of a daemon",
} as const satisfies OptionSpec;

/** The same, of what only a manager's can answer. */
export const MANAGER_HOST_OPTION = {
  ...DAEMON_HOST_OPTION,
  help: "the socket of a manager's daemon",
} as const satisfies OptionSpec;

export const TABLE_FORMAT_OPTION = {
  kind: "string",
  value: "table|json",
  default: "table",
  help: "how it is printed",
} as const satisfies OptionSpec;

export function logLevelOf(text: string): LogLevel {
  const level = LOG_LEVELS.find((candidate) => candidate === text);
  if (level === undefined)
    throw new UsageError(`log level must be one of ${LOG_LEVELS.join(", ")}, not "${text}"`);
  return level;
}
