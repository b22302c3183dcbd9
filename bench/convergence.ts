/**
 * How fast the control plane brings the mesh to a new state: `node bench/convergence.ts`. Three lab
 * hosts, Docker's CLI as a user types it, one line per figure. Nothing here is asserted.
 */
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { Host } from "../src/lab/host.ts";
import { Lab } from "../src/lab/lab.ts";
import { until } from "../src/lab/until.ts";
import { probe } from "../test/e2e/support/probing.ts";
import { type RunningTask, Swarm } from "../test/e2e/support/swarm.ts";

/** Looks at what is measured this often: the resolution of every figure. */
const LOOK_MS = 5;
const REST_MS = 10_000;
const CLOCK_TICKS_PER_SECOND = 100;

const lab = await Lab.create({ images: ["nginx"] });
await using swarm = new Swarm(lab);
await Promise.all(lab.hosts.map((host) => host.startDaemon()));

print("machine", `${cpus().length} CPUs, ${cpus()[0]?.model ?? "unknown"}`);
await joining();
await creating();
await vanishing();
await resting();
await crashing();

async function joining(): Promise<void> {
  await swarm.docker("swarm", "init", "--advertise-addr", swarm.manager.ip);
  const token = await swarm.docker("swarm", "join-token", "-q", "worker");
  const join = ["swarm", "join", "--token", token, `${swarm.manager.ip}:2377`];
  const since = stopwatch();
  await Promise.all(swarm.hosts.slice(1).map((host) => host.dockerOk(join)));
  print("two workers join: the command returns", since());
  await look("three ready nodes", async () => (await swarm.readyNodes()) === 3);
  print("two workers join: node ls shows them ready", since());
}

async function creating(): Promise<void> {
  for (const round of [1, 2]) {
    const name = `web${round}`;
    const port = 8080 + round;
    const since = stopwatch();
    const args = ["--detach", "--name", name, "-p", `${port}:80`, "--replicas", "6", "nginx"];
    await swarm.docker("service", "create", ...args);
    print(`six tasks (${name}): the command returns`, since());
    await look("six tasks", async () => (await swarm.running(name)).length === 6);
    print(`six tasks (${name}): all run`, since());
    const probes = swarm.hosts.map(({ ip }) => ({ kind: "http" as const, address: ip, port }));
    await look("answers", async () =>
      (await probe(swarm.client(), probes)).every(({ error }) => error === undefined),
    );
    print(`six tasks (${name}): all nodes answer`, since());
  }
  await swarm.remove("web2");
}

async function vanishing(): Promise<void> {
  const [victim] = (await swarm.running("web1")) as [RunningTask];
  const address = await addressOf(victim);
  const pid = await victim.host.engineOk(["inspect", "-f", "{{.State.Pid}}", victim.containerID]);
  const since = stopwatch();
  await victim.host.execOk(["kill", "-9", pid.trim()]);
  await Promise.all(
    swarm.hosts.map((host) => look("rules", async () => !(await targets(host)).includes(address))),
  );
  print("an endpoint's process was killed: no node connects to it", since());
  await look("a replacement", async () => (await swarm.running("web1")).length === 6);
  print("an endpoint's process was killed: replaced (5 s of it are the restart delay)", since());

  const scaled = (await swarm.running("web1")).map(addressOf);
  const addresses = await Promise.all(scaled);
  const scaling = stopwatch();
  await swarm.docker("service", "scale", "--detach", "web1=3");
  await Promise.all(
    swarm.hosts.map((host) =>
      look("rules", async () => {
        const rules = await targets(host);
        return addresses.filter((each) => rules.includes(each)).length === 3;
      }),
    ),
  );
  print("scaled from 6 to 3: no node connects to the three", scaling());
  await look("three", async () => (await swarm.containersOf(["web1"])).length === 3);
  print("scaled from 6 to 3: their containers are gone", scaling());
}

async function resting(): Promise<void> {
  const host = swarm.host(2);
  const pids = await weftProcesses(host);
  const before = ticks(pids);
  await pause(REST_MS);
  const share = (ticks(pids) - before) / CLOCK_TICKS_PER_SECOND / (REST_MS / 1_000);
  for (const pid of pids) {
    const name = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(1, 4).join(" ");
    print(
      `at rest on a worker: ${name}`,
      `${kilobytes(pid, "Rss")} kB resident, ${kilobytes(pid, "Pss")} kB proportional`,
    );
  }
  print("at rest on a worker: share of a core", `${(share * 100).toFixed(2)} %`);
}

async function crashing(): Promise<void> {
  await swarm.docker("service", "scale", "--detach", "web1=6");
  await swarm.converged("web1");
  const n3 = swarm.host(3);
  const lost = (await swarm.running("web1")).filter(({ host }) => host === n3);
  const addresses = await Promise.all(lost.map(addressOf));
  const since = stopwatch();
  await n3.crash();
  const crashed = since();
  const state = ["node", "inspect", "--format", "{{.Status.State}}", "n3"];
  await look("down", async () => (await swarm.docker(...state)) === "down");
  print(`a host crashes (${crashed} of it for the crash itself): noticed`, since());
  await Promise.all(
    [swarm.host(1), swarm.host(2)].map((host) =>
      look("rules", async () => {
        const rules = await targets(host);
        return addresses.every((address) => !rules.includes(address));
      }),
    ),
  );
  print("a host crashes: no node connects to its tasks", since());
  await look("six", async () => (await swarm.running("web1")).length === 6);
  print("a host crashes: its tasks run elsewhere", since());
}

/** What a host's kernel may lead new connections to. */
async function targets(host: Host): Promise<string> {
  const rules = await host.execOk(["nft", "list", "ruleset"]);
  return rules
    .split("\n")
    .filter((line) => /dnat|: \d+\.\d+\.\d+\.\d+/.test(line))
    .join("\n");
}

async function addressOf({ host, containerID }: RunningTask): Promise<string> {
  const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
  return (await host.engineOk(["inspect", "--format", format, containerID])).trim();
}

/** The daemon and its keeper, by their ids outside. */
async function weftProcesses(host: Host): Promise<number[]> {
  const daemon = host.daemonPid();
  const namespace = readFileSync(`/proc/${daemon}/mountinfo`, "utf8");
  const listing = await host.execOk(["ps", "-eo", "pid,args"]);
  const keeper = listing.split("\n").find((line) => /\bkeeper\b/.test(line));
  const inside = Number(keeper?.trim().split(/\s+/)[0]);
  return [daemon, ...outsidePids(inside, namespace)];
}

/** A process of a machine, seen from outside: the one with that innermost id and the same mounts. */
function outsidePids(inside: number, mountinfo: string): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      if (!new RegExp(`^NSpid:.*\\t${inside}$`, "m").test(status)) return false;
      return readFileSync(`/proc/${pid}/mountinfo`, "utf8") === mountinfo;
    } catch {
      return false; // it has ended
    }
  });
}

function kilobytes(pid: number, field: string): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(new RegExp(`^${field}: +(\\d+) kB`, "m").exec(rollup)?.[1]);
}

function ticks(pids: readonly number[]): number {
  return pids
    .map((pid) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [])
    .reduce((sum, fields) => sum + Number(fields[11]) + Number(fields[12]), 0);
}

async function look(what: string, seen: () => Promise<boolean>): Promise<void> {
  await until(seen, { what, timeoutMs: 60_000, intervalMs: LOOK_MS });
}

function stopwatch(): () => string {
  const startedAt = performance.now();
  return () => `${Math.round(performance.now() - startedAt)} ms`;
}

function print(what: string, figure: string): void {
  process.stdout.write(`${what.padEnd(76)} ${figure}\n`);
}
