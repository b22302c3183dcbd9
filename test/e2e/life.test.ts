/** The life of services and tasks: replaced, moved, updated, logged, pending, and in host mode. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Host } from "../../src/lab/host.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { probe } from "./support/probing.ts";
import { type RunningTask, Swarm, type TaskJson } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;

const SLEEP = ["--stop-signal", "SIGKILL", "busybox", "sleep", "100000"];

describe("a service's life", { skip }, () => {
  let swarm: Swarm;
  before(async () => {
    swarm = await Swarm.create({ images: ["nginx", "busybox"] });
  });
  after(() => swarm?.[Symbol.asyncDispose]());
  afterEach(() => swarm.clear());

  test("service create waits until the tasks run, and ps, ls and inspect show them", async () => {
    const args = ["--name", "web", "--publish", "published=8080,target=80", "--replicas", "2"];
    const said = await swarm.docker("service", "create", ...args, "nginx");
    assert.match(said, /^[0-9a-z]{25}\b/);
    assert.match(said, /Service \S+ converged|verify: Service (\S+ )?converged/);
    assert.match(
      await swarm.docker("service", "ls"),
      /^[0-9a-z]{12} +web +replicated +2\/2 +nginx:latest +\*:8080->80\/tcp$/m,
    );
    const ps = await swarm.docker("service", "ps", "web");
    assert.match(ps, /^ID +NAME +IMAGE +NODE +DESIRED STATE +CURRENT STATE +ERROR +PORTS/);
    for (const slot of [1, 2]) {
      const row = `^[0-9a-z]{12} +web\\.${slot} +nginx:latest +n[123] +Running +Running .* ago`;
      assert.match(ps, new RegExp(row, "m"));
    }
    const pretty = await swarm.docker("service", "inspect", "--pretty", "web");
    for (const line of [
      /^Name:\s+web$/m,
      /^Service Mode:\s+Replicated$/m,
      /^ Replicas:\s+2$/m,
      /^ Image:\s+nginx:latest/m,
      /^ PublishedPort = 8080$/m,
      /^ {2}Protocol = tcp$/m,
      /^ {2}TargetPort = 80$/m,
      /^ {2}PublishMode = ingress$/m,
      /^Endpoint Mode:\s+vip$/m,
    ]) {
      assert.match(pretty, line);
    }
    const task = (await swarm.running("web"))[0] as RunningTask;
    const format = "{{.Name}} {{.State.Running}}";
    const name = await task.host.dockerOk(["inspect", "--format", format, task.containerID]);
    assert.equal(name.trim(), `/web.${task.json.Slot}.${task.id} true`);
  });

  test("a task that ends is replaced, after Docker's five seconds", async () => {
    const tasks = await swarm.create("web", "-p", "8080:80", "--replicas", "2", "nginx");
    await swarm.answering(8080);
    const [victim, survivor] = tasks as [RunningTask, RunningTask];
    const killedAt = performance.now();
    await victim.host.engineOk(["kill", victim.containerID]);
    // What is left answers alone: the endpoint went away with its container.
    const probes = swarm.hosts.flatMap(({ ip }) =>
      Array.from({ length: 10 }, () => ({ kind: "http" as const, address: ip, port: 8080 })),
    );
    await until(
      async () =>
        (await probe(swarm.client(), probes)).every(
          ({ task }) => task === survivor.containerID.slice(0, 12),
        ),
      { what: "only the task that lives to answer" },
    );
    // The nodes know of its end before the manager does.
    const isReplaced = async () => {
      const ids = await idsOf("web");
      return ids.length === 2 && !ids.includes(victim.id);
    };
    await until(isReplaced, { what: "a replacement", timeoutMs: 60_000 });
    assert.ok(performance.now() - killedAt > 4_500, "a restart is delayed");
    const [ended] = (await swarm.tasks("web")).filter(({ ID }) => ID === victim.id);
    assert.partialDeepStrictEqual(ended, {
      DesiredState: "shutdown",
      Status: { State: "failed", Err: "task: non-zero exit (137)" },
    });
    assert.match(await swarm.ps("web"), /\\_ web\.\d .* Failed .*"task: non-zero exit \(137\)"/);
  });

  test("--restart-condition none leaves an ended task ended", async () => {
    const args = ["--restart-condition", "none", "busybox", "echo", "done"];
    await swarm.docker("service", "create", "--detach", "--name", "once", ...args);
    const [task] = await until(
      async () => {
        const tasks = await swarm.tasks("once");
        return (
          tasks.every(({ Status }) => Status.State === "complete") && tasks.length > 0 && tasks
        );
      },
      { what: "the task to be complete" },
    );
    assert.equal((task as TaskJson).Status.State, "complete");
    assert.match(await swarm.ps("once"), /once\.1 .* Shutdown +Complete /);
  });

  test("service logs come from every node, with and without their task's name", async () => {
    const script = 'echo "hello from $(hostname)"; echo "to stderr" >&2; exec sleep 100000';
    const args = ["--mode", "global", "--stop-signal", "SIGKILL", "busybox", "sh", "-c", script];
    const tasks = await swarm.create("talk", ...args);
    assert.equal(tasks.length, 3);
    const raw = ["service", "logs", "--raw", "talk"];
    const wanted = tasks.map(({ containerID }) => `hello from ${containerID.slice(0, 12)}`).sort();
    const lines = async () => (await swarm.manager.dockerOk(raw)).trim().split("\n").sort();
    await until(async () => (await lines()).join() === wanted.join(), {
      what: "a line from every task",
    });
    const { stderr, stdout } = await swarm.manager.docker(["service", "logs", "talk"]);
    for (const host of ["n1", "n2", "n3"]) {
      assert.match(stdout, new RegExp(`^talk\\.0\\.[0-9a-z]+@${host} +\\| hello from `, "m"));
    }
    assert.equal(stderr.match(/\| to stderr$/gm)?.length, 3);
    const tail = await swarm.manager.docker(["service", "logs", "--tail", "1", "--raw", "talk"]);
    assert.equal((tail.stdout + tail.stderr).trim().split("\n").length, 3);
    const oneTask = await swarm.docker("service", "logs", "--raw", (tasks[0] as RunningTask).id);
    assert.equal(oneTask, `hello from ${(tasks[0] as RunningTask).containerID.slice(0, 12)}`);
  });

  test("service logs --follow shows what is said later", async () => {
    const script = 'while :; do [ -e /tmp/go ] && echo "it goes" && rm /tmp/go; sleep 0.1; done';
    const args = ["--stop-signal", "SIGKILL", "busybox", "sh", "-c", script];
    const [task] = (await swarm.create("late", ...args)) as [RunningTask];
    const argv = ["docker", "-H", "unix:///run/weft.sock", "service", "logs", "-f", "late"];
    const follower = await swarm.manager.spawn(argv, { name: "follower" });
    await task.host.engineOk(["exec", task.containerID, "touch", "/tmp/go"]);
    await until(() => follower.output().includes("| it goes"), { what: "the line" });
    await follower.end("SIGTERM");
  });

  test("what cannot be started says why", async () => {
    await swarm.docker("service", "create", "--detach", "--name", "bad", "nosuch:image");
    const rejected = async () =>
      (await swarm.tasks("bad")).some(({ Status }) => Status.State === "rejected");
    await until(rejected, { what: "a rejected task", timeoutMs: 60_000 });
    assert.match(await swarm.ps("bad"), /Rejected .*"No such image: nosuch:image\b/);
    assert.match(await swarm.docker("service", "ls"), / bad +replicated +0\/1 +nosuch:image/);
  });

  test("what cannot be placed is pending and says why", async () => {
    const where = ["--constraint", "node.hostname==n9"];
    await swarm.docker("service", "create", "--detach", "--name", "homeless", ...where, "nginx");
    await pendingBecause(
      "homeless",
      "no suitable node (scheduling constraints not satisfied on 3 nodes)",
    );
    const memory = ["--reserve-memory", "1T"];
    await swarm.docker("service", "create", "--detach", "--name", "huge", ...memory, "nginx");
    await pendingBecause("huge", "no suitable node (insufficient resources on 3 nodes)");
  });

  test("constraints place tasks, also by a label that is set later", async () => {
    const where = ["--constraint", "node.labels.disk==ssd", "--replicas", "2"];
    await swarm.docker("service", "create", "--detach", "--name", "picky", ...where, "nginx");
    await pendingBecause(
      "picky",
      "no suitable node (scheduling constraints not satisfied on 3 nodes)",
    );
    await swarm.docker("node", "update", "--label-add", "disk=ssd", "n3");
    const tasks = await swarm.converged("picky");
    assert.deepEqual(namesOf(tasks), ["n3", "n3"]);
    await swarm.docker("node", "update", "--label-rm", "disk", "n3");
  });

  test("a global service has one task on each node, and follows the constraints", async () => {
    const tasks = await swarm.create("everywhere", "--mode", "global", "nginx");
    assert.deepEqual(namesOf(tasks), ["n1", "n2", "n3"]);
    assert.match(await swarm.docker("service", "ls"), / everywhere +global +3\/3 +nginx/);
    const constraint = ["--constraint-add", "node.role==worker"];
    await swarm.docker("service", "update", "--detach", ...constraint, "everywhere");
    await until(async () => namesOf(await swarm.running("everywhere")).join() === "n2,n3", {
      what: "the tasks to be on the workers",
      timeoutMs: 30_000,
    });
  });

  test("host mode: it listens where a task runs, and no two share a node", async () => {
    const publish = ["--publish", "published=9000,target=80,mode=host"];
    const where = ["--constraint", "node.role==worker"];
    const args = ["--name", "direct", "--replicas", "3", ...publish, ...where, "nginx"];
    await swarm.docker("service", "create", "--detach", ...args);
    await until(async () => (await swarm.running("direct")).length === 2, { what: "two tasks" });
    const tasks = await swarm.running("direct");
    assert.deepEqual(namesOf(tasks), ["n2", "n3"]);
    await pendingBecause(
      "direct",
      "no suitable node (host-mode port already in use on 2 nodes; scheduling constraints not satisfied on 1 node)",
    );
    for (const { host, containerID } of tasks) {
      await answeredBy(host, 9000, containerID);
    }
    await swarm.refusing(9000, [swarm.host(1)]);
    assert.match(await swarm.ps("direct"), /n2 .*Running .*\*:9000->80\/tcp/);
    assert.doesNotMatch(await swarm.docker("service", "ls"), /direct .*9000/);
    await swarm.docker("service", "scale", "--detach", "direct=1");
    const [last] = (await swarm.converged("direct")) as [RunningTask];
    await swarm.refusing(
      9000,
      swarm.hosts.filter((host) => host !== last.host),
    );
    await answeredBy(last.host, 9000, last.containerID);
    await swarm.remove("direct");
    await swarm.refusing(9000);
  });

  test("host mode without a port: each task has a high one of its own", async () => {
    const publish = ["--publish", "target=80,mode=host"];
    const tasks = await swarm.create("random", "--replicas", "4", ...publish, "nginx");
    const published = tasks.map(({ host, containerID, json }) => {
      const [port] = json.Status.PortStatus?.Ports ?? [];
      return { host, containerID, port: port?.PublishedPort ?? 0 };
    });
    const places = published.map(({ host, port }) => `${host.name}:${port}`);
    assert.equal(new Set(places).size, 4, places.join());
    for (const { host, containerID, port } of published) {
      assert.ok(port >= 30_000, `${port}`);
      await answeredBy(host, port, containerID);
    }
  });

  test("a rolling update replaces every task, and its progress is shown", async () => {
    const old = await swarm.create("web", "-p", "8080:80", "--replicas", "3", "nginx");
    const update = ["--env-add", "COLOUR=green", "--update-parallelism", "2"];
    await swarm.docker("service", "update", "--detach", ...update, "web");
    await until(async () => (await updateState("web")) === "completed", {
      what: "the update to be completed",
      timeoutMs: 40_000,
    });
    const tasks = await swarm.converged("web");
    assert.deepEqual(
      tasks.filter(({ id }) => old.some((was) => was.id === id)),
      [],
    );
    for (const { host, containerID } of tasks) {
      const env = await host.engineOk(["inspect", "--format", "{{.Config.Env}}", containerID]);
      assert.match(env, /COLOUR=green/);
    }
    await swarm.answering(8080);
    const message = "{{.UpdateStatus.Message}}";
    const format = ["service", "inspect", "--format", message, "web"];
    assert.equal(await swarm.docker(...format), "update completed");
  });

  test("an update whose tasks fail goes on, or ends beyond the ratio that it is allowed", async () => {
    const watch = ["--restart-condition", "none", "--update-monitor", "200ms"];
    await swarm.create("fragile", "--replicas", "2", ...watch, ...SLEEP);
    const update = ["service", "update", "--detach", "--no-resolve-image"];
    const ended = async (state: string) => {
      await until(async () => (await updateState("fragile")) === state, {
        what: `the update to be ${state}`,
        timeoutMs: 40_000,
      });
      return (await swarm.tasks("fragile")).filter(({ Status }) => Status.State === "failed")
        .length;
    };
    await swarm.docker(...update, "--update-failure-action", "continue", "--args", "/a", "fragile");
    assert.equal(await ended("completed"), 2);
    const half = ["--update-failure-action", "pause", "--update-max-failure-ratio", "0.5"];
    await swarm.docker(...update, ...half, "--args", "/b", "fragile");
    assert.equal(await ended("paused"), 4, "one of two may fail");
    const message = ["service", "inspect", "--format", "{{.UpdateStatus.Message}}", "fragile"];
    assert.match(await swarm.docker(...message), /^update paused due to failure or early termin/);
  });

  test("jobs run to their end, shown as they go, and once more by --force", async () => {
    const many = ["--mode", "replicated-job", "--replicas", "4", "--max-concurrent", "2"];
    const create = ["service", "create", "--no-resolve-image", "--name"];
    const said = await swarm.docker(...create, "sums", ...many, "busybox", "true");
    assert.match(said, /job complete/);
    assert.match(
      await swarm.docker("service", "ls"),
      / sums +replicated job +0\/2 \(4\/4 completed\) +busybox:latest$/m,
    );
    assert.equal((await swarm.ps("sums")).match(/ n[123] +Complete +Complete .* ago/g)?.length, 4);
    await swarm.docker("service", "update", "--detach", "--force", "sums");
    const complete = async () =>
      (await swarm.tasks("sums")).filter(({ Status }) => Status.State === "complete").length;
    await until(async () => (await complete()) === 8, {
      what: "each slot to have run once more",
      timeoutMs: 40_000,
    });
    await swarm.docker(...create, "each", "--mode", "global-job", "busybox", "true");
    const places = (await swarm.ps("each")).match(/ n[123] +(?=Complete +Complete )/g) ?? [];
    assert.deepEqual(places.map((place) => place.trim()).sort(), ["n1", "n2", "n3"]);
  });

  test("preferences spread new tasks over a label's values, no more of them on a node than may be", async () => {
    const label = (node: string, zone: string) =>
      swarm.docker("node", "update", "--label-add", `zone=${zone}`, node);
    for (const [node, zone] of Object.entries({ n1: "a", n2: "a", n3: "b" }))
      await label(node, zone);
    const where = ["--placement-pref", "spread=node.labels.zone", "--replicas-max-per-node", "2"];
    const tasks = await swarm.create("zoned", "--replicas", "4", ...where, ...SLEEP);
    assert.deepEqual(namesOf(tasks), ["n1", "n2", "n3", "n3"]);
    await label("n2", "c");
    await swarm.docker("service", "scale", "--detach", "zoned=5");
    const more = await swarm.converged("zoned");
    const added = more.filter(({ id }) => !tasks.some((task) => task.id === id));
    assert.equal(added.length, 1, "no task moves because of a label");
    assert.notEqual(added[0]?.host.name, "n3");
    await swarm.docker("service", "scale", "--detach", "zoned=7");
    await pendingBecause("zoned", "no suitable node (max replicas per node limit exceed)");
    assert.deepEqual(namesOf(await swarm.running("zoned")).slice(-2), ["n3", "n3"]);
    for (const node of ["n1", "n2", "n3"])
      await swarm.docker("node", "update", "--label-rm", "zone", node);
  });

  test("a drained node's tasks move, and it takes new ones when it is active again", async () => {
    await swarm.create("web", "-p", "8080:80", "--replicas", "3", "nginx");
    await swarm.docker("node", "update", "--availability", "drain", "n3");
    await until(
      async () => {
        const names = namesOf(await swarm.running("web"));
        return names.length === 3 && !names.includes("n3");
      },
      { what: "all tasks to run on n1 and n2", timeoutMs: 60_000 },
    );
    await swarm.answering(8080);
    await until(async () => (await swarm.host(3).engineOk(["ps", "-q"])).trim() === "", {
      what: "n3 to be empty",
      timeoutMs: 60_000,
    });
    await swarm.docker("node", "update", "--availability", "active", "n3");
    await swarm.docker("service", "scale", "--detach", "web=5");
    assert.ok(namesOf(await swarm.converged("web")).includes("n3"));
  });

  test("a program works the cluster by Docker's SDK for Python", async () => {
    const program = fileURLToPath(new URL("sdk/cluster.py", import.meta.url));
    const { code, stdout, stderr } = await swarm.manager.exec(["/usr/bin/python3", program]);
    assert.deepEqual([code, stdout], [0, "all is well\n"], stderr);
  });

  test("what the API cannot read is refused, not guessed", async () => {
    const post = (body: string) =>
      swarm.manager.execOk([
        ...["curl", "-s", "-o", "-", "-w", " %{http_code}", "--unix-socket", "/run/weft.sock"],
        ...["-H", "content-type: application/json", "-d", body],
        "http://weft/v1.41/services/create",
      ]);
    for (const [body, answer] of [
      ["{", / 400$/],
      ['{"Name":"x","TaskTemplate":{"ContainerSpec":{}}}', / 400$/],
      ['{"Name":7}', / 400$/],
    ] as const) {
      const said = await post(body);
      assert.match(said, answer, body);
      const { message } = JSON.parse(said.slice(0, said.lastIndexOf(" "))) as { message: string };
      assert.ok(message.length > 0);
    }
    assert.equal(await swarm.docker("service", "ls", "-q"), "");
  });

  async function idsOf(service: string): Promise<string[]> {
    return (await swarm.running(service)).map(({ id }) => id);
  }

  async function updateState(service: string): Promise<string> {
    const { UpdateStatus } = (await swarm.api(`/services/${service}`)) as {
      UpdateStatus?: { State?: string };
    };
    return UpdateStatus?.State ?? "";
  }

  async function pendingBecause(service: string, reason: string): Promise<void> {
    const look = async () => {
      const tasks = await swarm.tasks(service);
      const pending = tasks.find(({ Status }) => Status.State === "pending");
      return pending?.Status.Err === reason || JSON.stringify(pending?.Status);
    };
    await until(async () => (await look()) === true, { what: `${service}: ${reason}` }).catch(
      async (cause: unknown) => assert.fail(`${service}: ${await look()} (${String(cause)})`),
    );
    assert.ok((await swarm.ps(service)).includes(`"${reason}"`));
  }

  async function answeredBy(host: Host, port: number, containerID: string): Promise<void> {
    const look = async () => {
      const [result] = await probe(swarm.client(), [{ kind: "http", address: host.ip, port }]);
      return result?.task === containerID.slice(0, 12) && result.client === swarm.client().ip;
    };
    await until(look, { what: `${host.name}:${port} to be answered by its own task` });
  }
});

/** Names of the hosts, in order. */
function namesOf(tasks: readonly RunningTask[]): string[] {
  return tasks.map(({ host }) => host.name).sort();
}
