/**
 * The part "failures": a host loses its power, or its network and gets it back, again and again, beneath Weft and
 * beneath Docker's Swarm mode, each on three hosts of its own.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { harmSince } from "../control/answers.ts";
import { Cluster, type ClusterKind } from "../control/cluster.ts";
import { Probing } from "../control/probing.ts";
import type { Progress } from "../progress.ts";

export const FAILURES = ["crash", "cut"] as const;
export type FailureKind = (typeof FAILURES)[number];

/** All times from the failure on, but for the surplus. */
export interface FailureRound {
  readonly noticedMs: number;
  readonly runningElsewhereMs: number;
  /** The last connection through the other hosts that failed or waited; absent where no host answers. */
  readonly lastHarmedMs?: number;
  readonly failed?: number;
  /** From the network's return until no container is left of those that run elsewhere by now. */
  readonly surplusGoneMs?: number;
}

export interface FailureResult {
  readonly kind: ClusterKind;
  readonly rounds: Readonly<Record<FailureKind, readonly FailureRound[]>>;
  /** What keeps figures from being there. */
  readonly notes: readonly string[];
}

export interface FailuresReport {
  readonly clusters: readonly FailureResult[];
}

const KINDS: readonly ClusterKind[] = ["Weft", "Docker Swarm"];
const ROUNDS = 10;
const ROUNDS_QUICK = 2;
const SERVICE = "bench";
const PORT = 8080;
const REPLICAS = 6;
/** Clients go on for so long, to meet what was broken. */
const AFTERMATH_MS = 2_000;
/** A mesh that has not answered by then does not work on this kernel. */
const ANSWER_TIMEOUT_MS = 5_000;

export async function benchFailures(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<FailuresReport> {
  const count = options.isQuick ? ROUNDS_QUICK : ROUNDS;
  const clusters: FailureResult[] = [];
  for (const kind of KINDS) {
    progress.part(`Failures: three hosts with ${kind}`);
    await using lab = await Lab.create({ hosts: 3, clients: 1, images: ["nginx"] });
    const bench = new FailureBench(new Cluster(kind, lab.hosts), lab.client());
    await bench.form();
    const rounds = { crash: [] as FailureRound[], cut: [] as FailureRound[] };
    for (let round = 1; round <= count; round++) {
      for (const failure of FAILURES) {
        progress.step(`${kind}: ${failure}, ${round} of ${count}`);
        rounds[failure].push(await bench.round(failure));
      }
    }
    clusters.push({ kind, rounds, notes: await bench.notes(rounds) });
  }
  return { clusters };
}

class FailureBench {
  readonly #cluster: Cluster;
  readonly #client: Machine;
  readonly #victim: Host;
  readonly #others: readonly Host[];
  #image = "";

  constructor(cluster: Cluster, client: Machine) {
    this.#cluster = cluster;
    this.#client = client;
    this.#victim = cluster.hosts.at(-1) ?? cluster.manager;
    this.#others = cluster.hosts.filter((host) => host !== this.#victim);
  }

  async form(): Promise<void> {
    const { manager, hosts } = this.#cluster;
    await this.#cluster.start();
    await this.#manage("swarm", "init", "--advertise-addr", manager.ip);
    const token = (await this.#manage("swarm", "join-token", "-q", "worker")).trim();
    const command = ["swarm", "join", "--token", token, `${manager.ip}:2377`];
    for (const host of hosts.slice(1)) await this.#cluster.docker(host, command);
    await this.#untilAllReady();
    this.#image = await this.#cluster.imageID("nginx");
  }

  async notes(rounds: FailureResult["rounds"]): Promise<readonly string[]> {
    const isAnswered = Object.values(rounds)
      .flat()
      .some(({ lastHarmedMs }) => lastHarmedMs !== undefined);
    return isAnswered ? [] : [await this.#cluster.whyUnanswered()];
  }

  /** Begins and ends with three hosts that are well, and no service. */
  async round(failure: FailureKind): Promise<FailureRound> {
    await this.#create();
    const id = (await this.#cluster.nodes()).get(this.#victim.name)?.id;
    await using probing = await Probing.start(this.#client, this.#others, PORT);
    const isAnswered = await answers(probing);
    const [event, start] = [Date.now(), performance.now()];
    const failing = failure === "crash" ? this.#victim.crash() : this.#victim.cut();
    await this.#cluster.until(() => this.#isDown(), `${this.#victim.name} to be down`);
    const noticedMs = performance.now() - start;
    await this.#cluster.untilRunning(REPLICAS, SERVICE, id);
    const runningElsewhereMs = performance.now() - start;
    await failing;
    await pause(AFTERMATH_MS);
    const harm = isAnswered ? harmSince(probing.samples(), event) : undefined;
    const surplusGoneMs = await this.#mend(failure);
    await this.#remove();
    return {
      noticedMs,
      runningElsewhereMs,
      ...(harm === undefined ? {} : { lastHarmedMs: harm.lastMs, failed: harm.failed }),
      ...(surplusGoneMs === undefined ? {} : { surplusGoneMs }),
    };
  }

  /** How long the containers that have successors took to go; a host without power has none. */
  async #mend(failure: FailureKind): Promise<number | undefined> {
    if (failure === "crash") {
      await this.#victim.restart();
      await this.#untilAllReady();
      return undefined;
    }
    await this.#victim.mend();
    // Not before: where namespaces are cleaned up meanwhile, a kernel may let a link wait for seconds.
    const start = performance.now();
    const isFree = async () => (await this.#containers()).length === 0;
    await this.#cluster.until(isFree, "no surplus task to be left");
    const ms = performance.now() - start;
    await this.#untilAllReady();
    return ms;
  }

  async #containers(): Promise<readonly string[]> {
    const filter = `label=com.docker.swarm.service.name=${SERVICE}`;
    const listed = await this.#victim.engineOk(["ps", "-q", "--filter", filter]);
    return listed.split("\n").filter((line) => line !== "");
  }

  /** Spread anew in each round: whoever has come back has no task of the last one. */
  async #create(): Promise<void> {
    await this.#manage(
      ...["service", "create", "--detach", "--no-resolve-image", "--name", SERVICE],
      ...["--publish", `published=${PORT},target=80`, "--replicas", `${REPLICAS}`, this.#image],
    );
    await this.#cluster.untilRunning(REPLICAS, SERVICE);
  }

  async #remove(): Promise<void> {
    await this.#manage("service", "rm", SERVICE);
    const isOver = async () => (await this.#cluster.tasks()).length === 0;
    await this.#cluster.until(isOver, "no task to be left");
  }

  async #isDown(): Promise<boolean> {
    return (await this.#cluster.nodes()).get(this.#victim.name)?.state === "down";
  }

  async #untilAllReady(): Promise<void> {
    await this.#cluster.until(async () => {
      const states = [...(await this.#cluster.nodes()).values()].map(({ state }) => state);
      return states.filter((state) => state === "ready").length === this.#cluster.hosts.length;
    }, "all nodes to be ready");
  }

  #manage(...args: readonly string[]): Promise<string> {
    return this.#cluster.docker(this.#cluster.manager, args);
  }
}

/** Whether the port is answered; a hundred answers say that the client is under way. */
async function answers(probing: Probing): Promise<boolean> {
  const deadline = performance.now() + ANSWER_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const answered = probing.samples().filter(({ task }) => task !== undefined);
    if (answered.length >= 100) return true;
    await pause(50);
  }
  return false;
}
