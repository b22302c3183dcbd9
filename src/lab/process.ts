/**
 * Programs run by the lab: an argument array, never a shell; output captured within bounds; in an
 * environment of their own, so that neither a proxy setting nor a test runner's variable leaks in.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { CommandError, LabError } from "./errors.ts";

export interface RunOptions {
  readonly stdin?: string | Uint8Array;
  readonly timeoutMs?: number;
  /** Added to the lab's small environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunResult {
  /** The exit status; 128 + n when signal n ended it, as a shell reports it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** At this much output a command is killed and its call rejected: tests print less. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const RUN_TIMEOUT_MS = 60_000;

/** Runs a program to its end. Rejects when it cannot be started or outlives its time, not for its status. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { stdin, timeoutMs = RUN_TIMEOUT_MS, env } = options;
  return new Promise((resolve, reject) => {
    const child = start(argv, {
      env,
      stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const stop = (why: string) => {
      killTree(child);
      reject(new CommandError(argv, undefined, stderr.text(), why));
    };
    const timer = setTimeout(() => stop(`no end within ${timeoutMs} ms`), timeoutMs);
    for (const output of [stdout, stderr]) {
      output.onOverflow = () => stop(`more than ${OUTPUT_BYTES_MAX} bytes of output`);
    }
    child.once("error", (cause) => {
      clearTimeout(timer);
      reject(new LabError(`cannot run ${argv[0]}: ${cause.message}`, { cause }));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code: exitStatus(code, signal), stdout: stdout.text(), stderr: stderr.text() });
    });
    child.stdin?.on("error", () => {}); // a program may end without reading its input
    child.stdin?.end(stdin);
  });
}

/** Runs a program that must succeed; resolves with its standard output. */
export async function runOk(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code !== 0) throw new CommandError(argv, result.code, result.stderr || result.stdout);
  return result.stdout;
}

export interface ServeOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Standard output and error are appended to this file. */
  readonly logFile: string;
  /** True when argv[0] forks the program proper (nsenter with a PID namespace, unshare --fork). */
  readonly forks?: boolean;
}

/** A program that runs until it is killed, in a session of its own: a terminal's Ctrl-C does not reach it. */
export class Service {
  readonly argv: readonly string[];
  readonly logFile: string;
  /** Its process id as this process sees it. */
  readonly pid: number;
  /** Resolves with the exit status, as RunResult's code. */
  readonly exited: Promise<number>;
  readonly #child: ChildProcess;
  #running = true;

  private constructor(argv: readonly string[], child: ChildProcess, pid: number, logFile: string) {
    this.argv = argv;
    this.logFile = logFile;
    this.pid = pid;
    this.#child = child;
    this.exited = new Promise((resolve) => {
      const ended = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#running = false;
        resolve(exitStatus(code, signal));
      };
      if (child.exitCode !== null || child.signalCode !== null) {
        ended(child.exitCode, child.signalCode);
      } else child.once("exit", ended);
    });
  }

  static async start(argv: readonly string[], options: ServeOptions): Promise<Service> {
    const log = openSync(options.logFile, "a");
    const child = start(argv, { env: options.env, stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    await spawned(argv, child);
    child.unref();
    const pid = options.forks === true ? await forkedPid(child) : child.pid;
    return new Service(argv, child, pid ?? 0, options.logFile);
  }

  get running(): boolean {
    return this.#running;
  }

  /** Everything it has printed so far, both streams. */
  output(): string {
    return readFileSync(this.logFile, "utf8");
  }

  /** Sends a signal to the program itself; harmless when it has ended. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#running || this.pid === 0) return;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  /** Stands still for so long. What has entered the machine for it stops when it does, and has to go on first. */
  async pause(ms: number): Promise<void> {
    this.signal("SIGSTOP");
    await pause(ms);
    this.#child.kill("SIGCONT");
    this.signal("SIGCONT");
  }

  /** Sends a signal and resolves with the exit status. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    // A running service does not keep this process alive; waiting for its end does.
    if (this.#running) this.#child.ref();
    this.signal(signal);
    return this.exited;
  }
}

/** The lab's environment for whatever it starts. */
export function labEnvironment(
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const { NODE_COMPILE_CACHE: compiled, GOGC: collected } = process.env;
  return {
    PATH: `${standard}:${dirname(process.execPath)}`,
    HOME: process.env["HOME"] ?? "/root",
    LANG: "C.UTF-8",
    TERM: process.env["TERM"] ?? "dumb",
    // Our own programs inside are small: compiling them is most of what they cost.
    ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }),
    // How much garbage the Engines may keep.
    ...(collected === undefined ? {} : { GOGC: collected }),
    ...extra,
  };
}

type StartOptions = {
  readonly env: Readonly<Record<string, string>> | undefined;
  readonly stdio: ("ignore" | "pipe" | number)[];
  readonly detached?: boolean;
};

function start(
  argv: readonly string[],
  { env, stdio, detached = false }: StartOptions,
): ChildProcess {
  const [program = "", ...args] = argv;
  return spawn(program, args, { stdio, detached, cwd: "/", env: labEnvironment(env) });
}

function spawned(argv: readonly string[], child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => {
      reject(new LabError(`cannot run ${argv[0]}: ${cause.message}`, { cause }));
    });
  });
}

/** Pauses of one millisecond that a forking program gets to fork, or to end, before that is an error. */
const FORK_LOOKS_MAX = 5_000;

async function forkedPid(child: ChildProcess): Promise<number | undefined> {
  for (let look = 0; look < FORK_LOOKS_MAX; look++) {
    if (child.exitCode !== null || child.signalCode !== null) return undefined;
    const pid = childrenOf(child.pid)[0];
    if (pid !== undefined) return pid;
    await pause(1);
  }
  throw new LabError(`${child.spawnfile} (process ${child.pid}) started no child process`);
}

function childrenOf(pid: number | undefined): number[] {
  if (pid === undefined) return [];
  try {
    const list = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return list.split(" ").filter(Boolean).map(Number);
  } catch {
    return []; // it has ended
  }
}

function killTree(child: ChildProcess): void {
  for (const pid of childrenOf(child.pid)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it has ended
    }
  }
  child.kill("SIGKILL");
}

interface Collected {
  text(): string;
  onOverflow: () => void;
}

function collect(stream: NodeJS.ReadableStream | null): Collected {
  const chunks: Buffer[] = [];
  let size = 0;
  const collected: Collected = {
    text: () => Buffer.concat(chunks).toString("utf8"),
    onOverflow: () => {},
  };
  stream?.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > OUTPUT_BYTES_MAX) collected.onOverflow();
    else chunks.push(chunk);
  });
  return collected;
}

const SIGNAL_STATUS_BASE = 128;

function exitStatus(code: number | null, signal: NodeJS.Signals | null): number {
  if (code !== null) return code;
  return SIGNAL_STATUS_BASE + (signal === null ? 0 : constants.signals[signal]);
}
