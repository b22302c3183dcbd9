/**
 * `weft demo`: three hosts form a cluster, a service is published, every host answers, and goes on answering
 * while a task and a daemon are killed. Each step types what a user would type and checks what it should do.
 */
import { messageOf } from "../../base/errors.ts";
import type { Host } from "../host.ts";
import { Lab } from "../lab.ts";
import { until } from "../until.ts";
import { Asker, type Sample, table, tally } from "./asker.ts";
import type { Screen } from "./screen.ts";

const SERVICE = "my-web";
const PORT = 8080;
const SECOND_PORT = 9090;
const HOSTS = 3;
/** How often each host is asked in the live view. */
const ASK_INTERVAL_MS = 150;
const STEP_TIMEOUT_MS = 30_000;

export interface TourResult {
  readonly lab: Lab;
  readonly wrong: number;
}

/** Runs the whole tour. The lab is left up for the caller, who takes it down. */
export async function runTour(screen: Screen, signal: AbortSignal): Promise<TourResult> {
  screen.title("Three hosts");
  screen.note(
    "Network namespaces on a LAN of their own, each with its own Docker Engine; a client beside them.",
  );
  const lab = await Lab.create({ hosts: HOSTS, clients: 1, images: ["nginx"] });
  const tour = new Tour(lab, screen, signal);
  for (const host of lab.hosts) screen.right(`${host.name} at ${host.ip}, Docker Engine up`);
  const steps = [
    () => tour.startDaemons(),
    () => tour.formCluster(),
    () => tour.publish(),
    () => tour.everyHostAnswers(),
    () => tour.killTask(),
    () => tour.killDaemon(),
    () => tour.changeService(),
  ];
  for (const step of steps) {
    signal.throwIfAborted();
    try {
      await step();
    } catch (error) {
      tour.fail(messageOf(error));
      break;
    }
  }
  return { lab, wrong: tour.wrong };
}

class Tour {
  wrong = 0;
  readonly #lab: Lab;
  readonly #screen: Screen;
  readonly #signal: AbortSignal;

  constructor(lab: Lab, screen: Screen, signal: AbortSignal) {
    this.#lab = lab;
    this.#screen = screen;
    this.#signal = signal;
  }

  fail(text: string): void {
    this.wrong += 1;
    this.#screen.wrong(text);
  }

  async startDaemons(): Promise<void> {
    this.#screen.title("Weft beside each Engine");
    await Promise.all(this.#lab.hosts.map((host) => host.startDaemon()));
    for (const host of this.#lab.hosts) {
      this.#screen.command(`${host.name}#`, ["weft", "daemon"]);
    }
    this.#screen.right("each answers Docker's API on unix:///run/weft.sock");
  }

  async formCluster(): Promise<void> {
    this.#screen.title("A cluster, with Docker's own command");
    const [first, ...others] = this.#lab.hosts as [Host, ...Host[]];
    await this.#type(first, ["swarm", "init", "--advertise-addr", first.ip]);
    const token = (await first.dockerOk(["swarm", "join-token", "-q", "worker"])).trim();
    for (const host of others)
      await this.#type(host, ["swarm", "join", "--token", token, `${first.ip}:2377`]);
    await until(async () => (await this.#readyNodes(first)) === HOSTS, {
      what: "three nodes to be ready",
      timeoutMs: STEP_TIMEOUT_MS,
    });
    await this.#type(first, ["node", "ls"]);
    this.#screen.right(`${HOSTS} nodes are ready`);
  }

  async publish(): Promise<void> {
    this.#screen.title("A service with a published port");
    const publish = `published=${PORT},target=80`;
    await this.#type(this.#manager, [
      ...["service", "create", "--detach", "--name", SERVICE, "--publish", publish],
      ...["--replicas", "2", "nginx"],
    ]);
    await this.#untilRunning(2);
    await this.#type(this.#manager, ["service", "ls"]);
    await this.#type(this.#manager, ["service", "ps", SERVICE]);
  }

  async everyHostAnswers(): Promise<void> {
    this.#screen.title("Every host answers, whichever runs the tasks");
    this.#screen.note(
      `The client, ${this.#lab.client().ip}, asks port ${PORT} of each host in turn.`,
    );
    const samples = await this.#watch(PORT, 3_000);
    this.#check(samples, { failures: 0, tasks: 2 });
  }

  async killTask(): Promise<void> {
    this.#screen.title("A task is killed");
    const { host, container } = await this.#someTask();
    let killed = false;
    const samples = await this.#watch(PORT, 8_000, async () => {
      if (killed) return;
      killed = true;
      this.#screen.settle();
      this.#screen.command(`${host.name}#`, ["docker", "kill", container]);
      await host.engineOk(["kill", container]);
    });
    await this.#untilRunning(2);
    await this.#type(this.#manager, ["service", "ps", SERVICE]);
    const after = await this.#watch(PORT, 2_000);
    const failed = samples.filter((sample) => !sample.ok).length;
    this.#screen.right(
      `answers went on: ${samples.length - failed} of ${samples.length}, and a new task runs`,
    );
    this.#check(after, { failures: 0, tasks: 2 });
  }

  async killDaemon(): Promise<void> {
    this.#screen.title("A host's daemon is killed, and comes back");
    const host = this.#lab.host(2);
    let ticks = 0;
    const samples = await this.#watch(PORT, 6_000, async () => {
      ticks += 1;
      if (ticks === 1) {
        this.#screen.settle();
        this.#screen.command(`${host.name}#`, ["kill", "-9", String(host.daemonPid())]);
        await host.killDaemon("SIGKILL");
      }
      if (ticks === 3) {
        this.#screen.settle();
        this.#screen.command(`${host.name}#`, ["weft", "daemon"]);
        await host.startDaemon();
      }
    });
    this.#check(samples, { failures: 0 });
    await until(async () => (await this.#readyNodes(this.#manager)) === HOSTS, {
      what: "the node to be ready again",
      timeoutMs: STEP_TIMEOUT_MS,
    });
    await this.#type(this.#manager, ["node", "ls"]);
  }

  async changeService(): Promise<void> {
    this.#screen.title("The service changes while it is used");
    const publish = `published=${SECOND_PORT},target=80`;
    await this.#type(this.#manager, [
      "service",
      "update",
      "--detach",
      "--publish-add",
      publish,
      SERVICE,
    ]);
    await this.#type(this.#manager, ["service", "scale", "--detach", `${SERVICE}=5`]);
    await this.#untilRunning(5);
    this.#check(await this.#watch(SECOND_PORT, 3_000), { failures: 0, tasks: 5 });
    await this.#type(this.#manager, ["service", "ls"]);
  }

  // ---- typing and looking

  get #manager(): Host {
    return this.#lab.host(1);
  }

  async #type(host: Host, words: readonly string[]): Promise<void> {
    this.#screen.command(`${host.name}#`, ["docker", ...words]);
    this.#screen.output(await host.dockerOk(words, { timeoutMs: STEP_TIMEOUT_MS }));
  }

  async #readyNodes(host: Host): Promise<number> {
    const states = await host.dockerOk(["node", "ls", "--format", "{{.Status}}"]);
    return states.split("\n").filter((state) => state === "Ready").length;
  }

  /** Waits until that many tasks run and every host has been told. */
  async #untilRunning(replicas: number): Promise<void> {
    await until(
      async () => {
        const shown = await this.#manager.dockerOk(["service", "ls", "--format", "{{.Replicas}}"]);
        return shown.trim() === `${replicas}/${replicas}`;
      },
      { what: `${replicas} running tasks`, timeoutMs: STEP_TIMEOUT_MS },
    );
  }

  async #someTask(): Promise<{ host: Host; container: string }> {
    for (const host of this.#lab.hosts) {
      const names = await host.engineOk(["ps", "--format", "{{.Names}}"]);
      const container = names.split("\n").find((name) => name.startsWith(`${SERVICE}.`));
      if (container !== undefined) return { host, container };
    }
    throw new Error(`no host runs a task of ${SERVICE}`);
  }

  /** Shows the live view for a while; `onSecond` is called at the end of each second of it. */
  async #watch(port: number, forMs: number, onSecond?: () => Promise<void>): Promise<Sample[]> {
    const targets = this.#lab.hosts.map((host) => `${host.name}=http://${host.ip}:${port}/`);
    const names = this.#lab.hosts.map((host) => host.name);
    const asker = await Asker.start(this.#lab.client(), targets, ASK_INTERVAL_MS);
    const samples: Sample[] = [];
    try {
      const end = performance.now() + forMs;
      while (performance.now() < end) {
        await second(this.#signal);
        samples.push(...asker.news());
        this.#screen.live(table(tally(samples, names)));
        await onSecond?.();
      }
    } finally {
      await asker.stop();
      this.#screen.settle();
    }
    return samples;
  }

  #check(samples: readonly Sample[], expected: { failures: number; tasks?: number }): void {
    const rows = tally(
      samples,
      this.#lab.hosts.map((host) => host.name),
    );
    const failed = rows.reduce((sum, row) => sum + row.failed, 0);
    const silent = rows.filter((row) => row.sent === row.failed).map((row) => row.host);
    const clients = new Set(rows.flatMap((row) => [...row.clients]));
    const tasks = new Set(rows.flatMap((row) => [...row.tasks]));
    const client = this.#lab.client().ip;
    if (silent.length > 0) this.fail(`no answer from ${silent.join(", ")}`);
    else this.#screen.right("every host answers");
    if (failed > expected.failures) this.fail(`${failed} of ${samples.length} requests failed`);
    else this.#screen.right(`${samples.length} requests, ${failed} failed`);
    if (clients.size !== 1 || !clients.has(client))
      this.fail(`tasks saw ${[...clients].join(", ")} instead of the client's address ${client}`);
    else this.#screen.right(`tasks see the client's own address, ${client}`);
    if (expected.tasks !== undefined && tasks.size !== expected.tasks)
      this.fail(`${tasks.size} of ${expected.tasks} tasks answered`);
    else if (expected.tasks !== undefined)
      this.#screen.right(`all ${expected.tasks} tasks take their share`);
  }
}

function second(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, 1_000);
    function onAbort() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
