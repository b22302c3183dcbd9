/** What happens when something dies: daemons, Engines, hosts, and ports that were not free. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Host } from "../../src/lab/host.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { timed } from "../../src/lab/timed.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import { until } from "../../src/lab/until.ts";
import { unharmed } from "./support/load.ts";
import { probe } from "./support/probing.ts";
import { type RunningTask, Swarm } from "./support/swarm.ts";
import { assertSameTraces, tracesOf } from "./support/traces.ts";

const skip = (await labUnavailable()) ?? false;

/** An Engine whose plugin does not answer waits 15 s for each call: far from what is granted here. */
const LONGER_MS = 5_000;
/** Docker's Swarm needs 14 s and 19 s; how much less it is here is the benchmark's to say. */
const NOTICED_MS = 10_000;
const ELSEWHERE_MS = 15_000;

/** Through each host. All at once and on one task they must be no more than dnsmasq's 20 connections. */
const NAMES_ASKED = 6;

describe("what survives what", { skip }, () => {
  let swarm: Swarm;
  before(async () => {
    swarm = await Swarm.create({ images: ["nginx", "dns-cache"] });
    await Promise.all([
      swarm.create("web", "-p", "8080:80", "--mode", "global", "nginx"),
      swarm.create("dns", "-p", "53:53", "-p", "53:53/udp", "--replicas", "2", "dns-cache"),
    ]);
    await swarm.answering(8080);
  });
  after(() => swarm?.[Symbol.asyncDispose]());

  const urls = () => swarm.hosts.map(({ ip }) => `http://${ip}:8080/`);
  const own = ["http://127.0.0.1:8080/", "http://[::1]:8080/"];

  for (const number of [2, 1]) {
    test(`kill -9 of ${number === 1 ? "the manager's" : "a worker's"} daemon harms no request, and it adopts what it finds`, async (t) => {
      const host = swarm.host(number);
      const containers = await startTimes(host);
      const before = (await swarm.tracesAtRest())[number - 1] ?? {};
      const counts = await unharmed([swarm.client(), host], [...urls()], async () => {
        await host.killDaemon("SIGKILL");
        await namesAreAnswered();
        for (const port of ["8080", "53"]) {
          const { code, stderr } = await host.exec(["busybox", "nc", "-l", "-p", port]);
          assert.notEqual(code, 0);
          assert.match(stderr, /Address already in use/, "the port is held");
        }
      });
      const local = await unharmed([host], own, async () => {
        await host.startDaemon();
        await allReady();
      });
      t.diagnostic(
        `${counts
          .concat(local)
          .map(({ sent }) => sent)
          .join(" + ")} requests`,
      );
      assert.deepEqual(await startTimes(host), containers);
      assertSameTraces(host, before, await tracesOf(host));
      assert.equal((await swarm.converged("web")).length, 3);
    });
  }

  test("with the daemon dead, its Engine stops, inspects and removes a task as any container", async (t) => {
    const n2 = swarm.host(2);
    const where = ["--constraint", "node.hostname==n2", "--replicas", "2"];
    const tasks = await swarm.create("victim", ...where, "nginx");
    const [stopped, removed] = tasks as [RunningTask, RunningTask];
    const plain = (await n2.engineOk(["run", "-d", "nginx"])).trim();
    const other = (await n2.engineOk(["run", "-d", "nginx"])).trim();
    await n2.killDaemon("SIGKILL");
    const engine = async (...args: string[]) => Math.round(await timed(() => n2.engineOk(args)));
    const took = {
      stop: [await engine("stop", plain), await engine("stop", stopped.containerID)],
      inspect: [await engine("inspect", plain), await engine("inspect", stopped.containerID)],
      rm: [await engine("rm", plain), await engine("rm", stopped.containerID)],
      "rm -f": [await engine("rm", "-f", other), await engine("rm", "-f", removed.containerID)],
    };
    t.diagnostic(`plain and task, ms: ${JSON.stringify(took)}`);
    for (const [command, [usual = 0, ours = 0]] of Object.entries(took)) {
      assert.ok(ours <= usual + LONGER_MS, `docker ${command} took ${ours} ms instead of ${usual}`);
    }
    await n2.startDaemon();
    await allReady();
    const old = [stopped.id, removed.id];
    await until(
      async () => {
        const present = await swarm.running("victim");
        return present.length === 2 && present.every(({ id }) => !old.includes(id));
      },
      { what: "both tasks to be replaced", timeoutMs: 30_000 },
    );
    await swarm.remove("victim");
  });

  test("an Engine restarted while the daemon is dead is not delayed", async (t) => {
    const n3 = swarm.host(3);
    const usual = Math.round(await timed(() => n3.restartEngine()));
    await swarm.converged("web", 30_000);
    await n3.killDaemon("SIGKILL");
    const took = Math.round(await timed(() => n3.restartEngine()));
    t.diagnostic(`Engine restart: ${usual} ms with the daemon, ${took} ms without`);
    assert.ok(took <= usual + 2 * LONGER_MS, `${took} ms instead of ${usual}`);
    await n3.startDaemon();
    await allReady();
    await swarm.converged("web", 30_000);
    await swarm.answering(8080);
  });

  test("an Engine restarted under a running daemon has its tasks again", async () => {
    const n2 = swarm.host(2);
    await n2.killEngine();
    await n2.startEngine();
    await until(
      async () => {
        const task = (await swarm.running("web")).find(({ host }) => host === n2);
        const filter = ["--filter", "label=com.docker.swarm.service.name=web"];
        const ids = (await n2.engineOk(["ps", "-q", "--no-trunc", ...filter])).trim();
        return task !== undefined && ids === task.containerID;
      },
      { what: "n2 to run its task again", timeoutMs: 60_000 },
    );
    await swarm.answering(8080);
  });

  test("a host whose Engine stays away is down, its tasks run elsewhere, and it goes on answering", async () => {
    const n2 = swarm.host(2);
    await swarm.create("lent", "-p", "8098:80", "--replicas", "3", "nginx");
    await swarm.answering(8098);
    await n2.killEngine();
    await until(
      async () => {
        const { State, Message } = (await swarm.node("n2")).Status;
        return State === "down" && /container runtime is away/.test(Message ?? "");
      },
      { what: "n2 to be down for want of an Engine", timeoutMs: 60_000 },
    );
    await until(
      async () => {
        const tasks = await swarm.running("lent");
        return tasks.length === 3 && tasks.every(({ host }) => host !== n2);
      },
      { what: "three tasks on the others", timeoutMs: 60_000 },
    );
    await swarm.answering(8098);
    await n2.startEngine();
    await allReady();
    await swarm.remove("lent");
    await swarm.converged("web", 60_000);
    await swarm.answering(8080);
  });

  test("kill -9 of the manager at any moment loses no acknowledged write", async (t) => {
    const { manager } = swarm;
    const acknowledged: string[] = [];
    let attempts = 0;
    for (const writes of [1, 3, 7, 12, 20]) {
      let killed: Promise<number> | undefined;
      const goal = acknowledged.length + writes;
      const write = async (): Promise<boolean> => {
        const name = `w${++attempts}`;
        try {
          const { status } = await unixHttp(manager.weftSocket, creation(name));
          if (status === 201) acknowledged.push(name);
        } catch {
          return false; // killed under it: written or not, both are right
        }
        if (acknowledged.length >= goal) killed ??= manager.killDaemon("SIGKILL");
        return killed === undefined || attempts < goal + 50;
      };
      const writer = async () => {
        while (await write());
      };
      await Promise.all([writer(), writer(), writer()]);
      assert.ok(killed, "the manager was killed while it was written to");
      await killed;
      await manager.startDaemon();
      const names = (await swarm.docker("service", "ls", "--format", "{{.Name}}")).split("\n");
      const lost = acknowledged.filter((name) => !names.includes(name));
      assert.deepEqual(lost, []);
    }
    t.diagnostic(`${acknowledged.length} writes acknowledged, none lost`);
    await allReady();
    const written = (await swarm.docker("service", "ls", "--format", "{{.Name}}")).split("\n");
    await swarm.docker("service", "rm", ...written.filter((name) => /^w\d+$/.test(name)));
    await swarm.answering(8080);
  });

  test("a port that a process has stays that process's, and is told; freed, the mesh joins in", async () => {
    const n2 = swarm.host(2);
    await n2.execOk(["mkdir", "-p", "/run/www"]);
    await n2.execOk(["tee", "/run/www/index.html"], { stdin: "the host's own\n" });
    const httpd = await n2.spawn(["busybox", "httpd", "-f", "-p", "8088", "-h", "/run/www"]);
    const fetched = async () => (await n2.exec(["curl", "-s", `http://${n2.ip}:8088/`])).stdout;
    await until(async () => (await fetched()) === "the host's own\n", {
      what: "the host's server",
    });
    await swarm.create("late", "-p", "8088:80", "--replicas", "3", "nginx");
    await swarm.answering(8088, [swarm.host(1), swarm.host(3)]);
    const asked = await swarm.client().execOk(["curl", "-s", `http://${n2.ip}:8088/`]);
    assert.equal(asked, "the host's own\n");
    assert.equal(await fetched(), "the host's own\n");
    const problem = /port 8088\/tcp: address already in use/;
    await until(async () => problem.test(await swarm.docker("node", "inspect", "n2")), {
      what: "the node to tell",
    });
    const where = /port 8088\/tcp: address already in use on n2/;
    await until(async () => where.test(await swarm.ps("late")), { what: "the service to tell" });
    await httpd.end("SIGTERM");
    await swarm.answering(8088);
    await until(async () => !problem.test(await swarm.docker("node", "inspect", "n2")), {
      what: "the node to be content",
    });
    await swarm.remove("late");
  });

  test("a crashed worker is forgotten, its tasks run elsewhere, and it comes back", async (t) => {
    const n3 = swarm.host(3);
    const where = ["--constraint", "node.role==worker", "--replicas", "4"];
    await swarm.create("moved", "-p", "8099:80", ...where, "nginx");
    await swarm.answering(8099);
    const alive = [swarm.host(1), swarm.host(2)];
    const crashedAt = performance.now();
    const since = () => Math.round(performance.now() - crashedAt);
    await n3.crash();
    const isDown = async () => (await swarm.node("n3")).Status.State === "down";
    await until(isDown, { what: "n3 to be down" });
    const noticed = since();
    await until(
      async () => {
        const live = await running("moved");
        const results = await probe(
          swarm.client(),
          alive.flatMap(({ ip }) =>
            Array.from({ length: 20 }, () => ({ kind: "http" as const, address: ip, port: 8099 })),
          ),
        );
        return results.every(({ task }) => live.includes(task));
      },
      { what: "only living tasks to be asked" },
    );
    const forgotten = since();
    await until(async () => (await swarm.running("moved")).length === 4, {
      what: "four tasks on n2",
      timeoutMs: 60_000,
    });
    const elsewhere = since();
    t.diagnostic(`down after ${noticed} ms, forgotten ${forgotten}, elsewhere ${elsewhere}`);
    assert.ok(noticed <= NOTICED_MS && forgotten <= NOTICED_MS + 1_000);
    assert.ok(elsewhere <= ELSEWHERE_MS);
    await n3.restart();
    await allReady();
    assert.equal((await swarm.converged("web", 30_000)).length, 3);
    await swarm.answering(8080);
    await swarm.answering(8099);
    await until(
      async () => {
        const names = await n3.engineOk(["ps", "--format", "{{.Names}}"]);
        return !names.includes("moved.");
      },
      { what: "n3 to run none of what was moved" },
    );
    await swarm.remove("moved");
  });

  test("a power loss of every host at once: the cluster comes back as it was", async () => {
    await Promise.all(swarm.hosts.map((host) => host.crash()));
    await Promise.all(swarm.hosts.map((host) => host.restart()));
    await allReady();
    for (const [service, count] of [
      ["web", 3],
      ["dns", 2],
    ] as const) {
      await until(
        async () => {
          const running = await swarm.running(service);
          const alive = await Promise.all(running.map((task) => isAlive(task)));
          return running.length === count && alive.every(Boolean);
        },
        { what: `${count} tasks of ${service}`, timeoutMs: 60_000 },
      );
    }
    await swarm.answering(8080);
    await namesAreAnswered();
  });

  async function isAlive({ host, containerID }: RunningTask): Promise<boolean> {
    const format = "{{.State.Running}}";
    return (await host.engineOk(["inspect", "--format", format, containerID])).trim() === "true";
  }

  /** Over UDP and TCP, through every node. */
  async function namesAreAnswered(): Promise<void> {
    const probes = swarm.hosts.flatMap(({ ip }) =>
      Array.from({ length: NAMES_ASKED }, () =>
        (["dns", "dns-tcp"] as const).map((kind) => ({ kind, address: ip, port: 53 })),
      ).flat(),
    );
    const results = await probe(swarm.client(), probes);
    assert.deepEqual(
      results.filter(({ error }) => error !== undefined),
      [],
    );
  }

  async function allReady(): Promise<void> {
    const count = swarm.hosts.length;
    await until(async () => (await swarm.readyNodes()) === count, { what: "all nodes ready" });
  }

  /** Short ids of the containers that are meant to run. */
  async function running(service: string): Promise<string[]> {
    return (await swarm.running(service)).map(({ containerID }) => containerID.slice(0, 12));
  }
});

/** Container and when it was started, of everything on a host. */
async function startTimes(host: Host): Promise<string[]> {
  const ids = (await host.engineOk(["ps", "-q", "--no-trunc"])).trim().split("\n");
  const format = "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}";
  return (await host.engineOk(["inspect", "--format", format, ...ids])).trim().split("\n").sort();
}

function creation(name: string) {
  return {
    method: "POST",
    path: "/v1.41/services/create",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      Name: name,
      TaskTemplate: { ContainerSpec: { Image: "nginx" } },
      Mode: { Replicated: { Replicas: 0 } },
    }),
  };
}
