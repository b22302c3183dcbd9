/**
 * Structured log lines: one constant message, fields beside it, a child logger per room.
 * Written as logfmt to stderr, so that journald and grep both read it. Secrets are never fields.
 */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(room: string): Logger;
}

export interface LoggerInit {
  readonly level?: LogLevel;
  readonly room?: string;
  readonly write?: (line: string) => void;
}

export function createLogger(init: LoggerInit = {}): Logger {
  const write = init.write ?? ((line: string) => void process.stderr.write(line));
  const threshold = LOG_LEVELS.indexOf(init.level ?? "info");
  const log =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (LOG_LEVELS.indexOf(level) < threshold) return;
      const room = init.room === undefined ? "" : ` room=${init.room}`;
      const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${formatValue(value)}`);
      const time = new Date().toISOString();
      write(`time=${time} level=${level}${room} msg=${JSON.stringify(message)}${rest.join("")}\n`);
    };
  return {
    debug: log("debug"),
    info: log("info"),
    warn: log("warn"),
    error: log("error"),
    child: (room) =>
      createLogger({ ...init, room: init.room === undefined ? room : `${init.room}.${room}` }),
  };
}

/** For tests and for whoever does not care. */
export const silentLogger: Logger = createLogger({ write: () => {} });

function formatValue(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  if (typeof value === "string") return /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? "undefined";
}
