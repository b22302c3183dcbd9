/**
 * A host of the lab: a machine with its own Docker Engine and its own Weft daemon, both as a real
 * host runs them, with their defaults.
 */
import { createReadStream, existsSync } from "node:fs";
import { join } from "node:path";
import { ConflictError } from "../base/errors.ts";
import { CommandError, LabError } from "./errors.ts";
import { keepStock, takeStock } from "./image-stock.ts";
import { type ImageName, imageArchive } from "./images.ts";
import { Machine } from "./machine.ts";
import { NetworkOf, type Place } from "./place.ts";
import { REPOSITORY } from "./places.ts";
import type { RunOptions, RunResult, Service } from "./process.ts";
import { traced } from "./trace.ts";
import { answersPing, unixHttp } from "./unix-http.ts";
import { until } from "./until.ts";

const WEFT_SOCKET = "/run/weft.sock";
const ENGINE_SOCKET = "/var/run/docker.sock";

/** An Engine starts in half a second; on a busy machine, or with a dead plugin's network, in minutes. */
const ENGINE_START_MS = 120_000;
const DAEMON_START_MS = 30_000;
const IMAGE_LOAD_MS = 60_000;

export interface DaemonOptions {
  /** What runs `weft`; this repository's own by default. */
  readonly program?: string;
  /** Behind `weft daemon`; none by default, as its defaults are right for a plain machine. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface RestartOptions {
  /** Whether to start again what ran before; both are when they had been started. */
  readonly engine?: boolean;
  readonly daemon?: boolean;
}

export interface CliOptions extends RunOptions {
  /** The CLI to use; the first `docker` on the PATH when absent (see DOCKER_CLIS). */
  readonly cli?: string;
}

/** Docker's own CLI and Debian's, where both are installed. */
export const DOCKER_CLIS: readonly string[] = ["/usr/local/bin/docker", "/usr/bin/docker"].filter(
  (path) => existsSync(path),
);

export class Host extends Machine {
  #engine: Service | undefined;
  #daemon: Service | undefined;
  #daemonOptions: DaemonOptions = {};

  /** Weft's socket as seen from outside: `docker -H unix://…` works from the real machine. */
  get weftSocket(): string {
    return this.path(WEFT_SOCKET);
  }

  get engineSocket(): string {
    return this.path(ENGINE_SOCKET);
  }

  /** Docker's CLI against Weft. */
  docker(args: readonly string[], options: CliOptions = {}): Promise<RunResult> {
    return this.#cli(WEFT_SOCKET, args, options);
  }

  /** Docker's CLI against Weft, for a command that must succeed; resolves with what it printed. */
  async dockerOk(args: readonly string[], options: CliOptions = {}): Promise<string> {
    return succeeded(["docker", ...args], await this.docker(args, options));
  }

  /** One JSON value from a command such as `inspect`; a list from `ls --format '{{json .}}'` lines. */
  async dockerJson(args: readonly string[], options: CliOptions = {}): Promise<unknown> {
    return parseJson(await this.dockerOk(args, options));
  }

  /** Docker's CLI against the host's own Engine. */
  engine(args: readonly string[], options: CliOptions = {}): Promise<RunResult> {
    return this.#cli(ENGINE_SOCKET, args, options);
  }

  async engineOk(args: readonly string[], options: CliOptions = {}): Promise<string> {
    return succeeded(["docker", ...args], await this.engine(args, options));
  }

  async engineJson(args: readonly string[], options: CliOptions = {}): Promise<unknown> {
    return parseJson(await this.engineOk(args, options));
  }

  get engineRunning(): boolean {
    return this.#engine?.running === true;
  }

  enginePid(): number {
    return started(this.#engine, `the Engine of ${this.name}`).pid;
  }

  engineLog(): string {
    return started(this.#engine, `the Engine of ${this.name}`).output();
  }

  /** Starts the Engine with its defaults; resolves when it answers. */
  async startEngine(): Promise<void> {
    if (this.engineRunning) throw new ConflictError(`the Engine of ${this.name} already runs`);
    await traced(`${this.name}: Engine up`, async () => {
      const engine = await this.spawn(["dockerd"], { name: "engine" });
      this.#engine = engine;
      await answering(engine, this.engineSocket, ENGINE_START_MS);
    });
  }

  /** Stops the Engine as an init system does: it stops its containers first. */
  async stopEngine(): Promise<void> {
    await traced(`${this.name}: Engine stop`, async () => {
      await started(this.#engine, `the Engine of ${this.name}`).end("SIGTERM");
    });
  }

  /** Kills the Engine alone; its containers go on. */
  async killEngine(): Promise<void> {
    await started(this.#engine, `the Engine of ${this.name}`).end("SIGKILL");
  }

  async restartEngine(): Promise<void> {
    await this.stopEngine();
    await this.startEngine();
  }

  /** Starts the Engine for the first time, with these images of images.ts in it. */
  async startEngineWith(names: readonly ImageName[]): Promise<void> {
    const archives = await Promise.all(names.map(imageArchive));
    const dataDir = join(this.init.dataDir, "docker");
    await takeStock(dataDir, archives);
    await this.startEngine();
    await this.loadImages(names);
    await keepStock(dataDir, archives);
  }

  /** Loads images of images.ts into the Engine, those that it has not. */
  async loadImages(names: readonly ImageName[]): Promise<void> {
    for (const name of names) {
      const path = `/images/${name}:latest/json`;
      if ((await unixHttp(this.engineSocket, { path })).status === 200) continue;
      const archive = await imageArchive(name);
      await traced(`${this.name}: load image ${name}`, () => this.loadArchive(archive));
    }
  }

  /** Loads an archive as `docker save` writes it. */
  async loadArchive(file: string): Promise<void> {
    const response = await unixHttp(this.engineSocket, {
      method: "POST",
      path: "/images/load?quiet=1",
      headers: { "content-type": "application/x-tar" },
      body: createReadStream(file),
      timeoutMs: IMAGE_LOAD_MS,
    });
    if (response.status !== 200 || response.body.includes("errorDetail")) {
      throw new LabError(`${this.name}: cannot load ${file}: ${response.body.trim()}`);
    }
  }

  /** A container of the Engine as a client: this machine's programs in its network. */
  async container(idOrName: string): Promise<Place> {
    const format = ["inspect", "--format", "{{.State.Pid}}", idOrName];
    return new NetworkOf(this, idOrName, Number(await this.engineOk(format)));
  }

  get daemonRunning(): boolean {
    return this.#daemon?.running === true;
  }

  /** Starts `weft daemon`; resolves when its socket answers. */
  async startDaemon(options: DaemonOptions = {}): Promise<void> {
    if (this.daemonRunning) throw new ConflictError(`the daemon of ${this.name} already runs`);
    this.#daemonOptions = options;
    await traced(`${this.name}: daemon up`, async () => {
      const { program = join(REPOSITORY, "bin/weft"), flags = [] } = options;
      const argv = [program, "daemon", ...flags];
      const daemon = await this.spawn(argv, { name: "daemon", env: options.env ?? {} });
      this.#daemon = daemon;
      await answering(daemon, this.weftSocket, DAEMON_START_MS);
    });
  }

  /** Stops the daemon and resolves with its exit status. Its keeper stays. */
  async stopDaemon(): Promise<number> {
    return this.killDaemon("SIGTERM");
  }

  /** Signals the daemon alone, by its process, and resolves with its exit status. */
  async killDaemon(signal: NodeJS.Signals = "SIGKILL"): Promise<number> {
    return started(this.#daemon, `the daemon of ${this.name}`).end(signal);
  }

  /** The daemon gets no CPU time for so long; what its host answers for it is the kernel's and the keeper's. */
  async pauseDaemon(ms: number): Promise<void> {
    await started(this.#daemon, `the daemon of ${this.name}`).pause(ms);
  }

  async restartDaemon(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.killDaemon(signal);
    await this.startDaemon(this.#daemonOptions);
  }

  /** Stops the daemon and starts another program's in its place, as an upgrade does. */
  async replaceDaemon(program: string): Promise<void> {
    await this.stopDaemon();
    await this.startDaemon({ ...this.#daemonOptions, program });
  }

  /** The daemon's process id as seen from outside the host. */
  daemonPid(): number {
    return started(this.#daemon, `the daemon of ${this.name}`).pid;
  }

  /** What the daemon has logged, over all its starts. */
  daemonLog(): string {
    return started(this.#daemon, `the daemon of ${this.name}`).output();
  }

  /** Switches a crashed host on again: same directories, and what had been started starts, in parallel as at a boot. */
  async restart(options: RestartOptions = {}): Promise<void> {
    const { engine = this.#engine !== undefined, daemon = this.#daemon !== undefined } = options;
    await this.boot();
    const starting = [
      ...(daemon ? [this.startDaemon(this.#daemonOptions)] : []),
      ...(engine ? [this.startEngine()] : []),
    ];
    await Promise.all(starting);
  }

  #cli(socket: string, args: readonly string[], options: CliOptions): Promise<RunResult> {
    const { cli = "docker", ...rest } = options;
    return this.exec([cli, "-H", `unix://${socket}`, ...args], rest);
  }
}

function started(service: Service | undefined, what: string): Service {
  if (service === undefined) throw new ConflictError(`${what} has not been started`);
  return service;
}

/** Waits for a server's answer, or for its end, whichever comes first. */
async function answering(server: Service, socket: string, timeoutMs: number): Promise<void> {
  const [program] = server.argv.slice(server.argv.indexOf("--") + 1);
  const what = `${program} to answer on ${socket}`;
  await until(async () => !server.running || (await answersPing(socket)), { what, timeoutMs });
  if (server.running) return;
  const status = await server.exited;
  throw new LabError(`${program} ended with status ${status}:\n${lastLines(server.output())}`);
}

const LAST_LINES = 20;

function lastLines(text: string): string {
  return text.trimEnd().split("\n").slice(-LAST_LINES).join("\n");
}

function succeeded(argv: readonly string[], result: RunResult): string {
  if (result.code !== 0) throw new CommandError(argv, result.code, result.stderr || result.stdout);
  return result.stdout;
}

/** Docker prints one JSON document, or one object a line with `--format '{{json .}}'`. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => JSON.parse(line) as unknown);
  }
}
