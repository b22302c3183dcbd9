/**
 * Docker's own CLI and Debian's against the API: in front of a real Engine of the lab, with a store in memory
 * and a puppet in the place of the control loops.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FakeBackend, NODE_ID } from "../../src/api/fake-manager.ts";
import { ApiServer } from "../../src/api/server.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { makeNode, makeTask } from "../../src/cluster/factories.ts";
import type { Service } from "../../src/cluster/objects.ts";
import type { StoreEvent, Transaction } from "../../src/cluster/store.ts";
import { DOCKER_CLIS } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { type RunOptions, run } from "../../src/lab/process.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";

const skip = (await labUnavailable()) ?? false;
const IMAGE = "busybox";

describe("Docker's CLI against the API", { skip }, () => {
  let lab: Lab;
  let directory: string;
  let host: string;
  let server: ApiServer;
  let backend: FakeBackend;

  before(async () => {
    lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
    directory = mkdtempSync(join(tmpdir(), "weft-api-"));
    host = `unix://${directory}/weft.sock`;
    backend = new FakeBackend();
    await backend.populate();
    await backend.store.update((tx) => tx.put("node", makeNode({ id: "n2", hostname: "n2" })));
    backend.store.subscribe(puppet(backend));
    server = new ApiServer({
      hosts: [host],
      dockerHost: `unix://${lab.host(1).engineSocket}`,
      backend,
      clock: systemClock,
      log: silentLogger,
      version: "0.0.0",
    });
    await server.start();
  });
  after(async () => {
    await server?.stop();
    await lab?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const cli of DOCKER_CLIS) {
    describe(cli, () => {
      const docker = (args: readonly string[], options: RunOptions = {}) =>
        run([cli, "-H", host, ...args], options);
      const ok = async (...args: string[]) => {
        const { code, stdout, stderr } = await docker(args);
        assert.equal(code, 0, `docker ${args.join(" ")}: ${stderr}`);
        return stdout.trim();
      };
      const refused = async (...args: string[]) => {
        const { code, stderr } = await docker(args);
        assert.equal(code, 1, `docker ${args.join(" ")}`);
        return stderr.trim();
      };
      passThrough(cli, docker, ok);
      cluster(docker, ok, refused);
    });
  }

  type Docker = (args: readonly string[], options?: RunOptions) => ReturnType<typeof run>;
  type Ok = (...args: string[]) => Promise<string>;

  function passThrough(cli: string, docker: Docker, ok: Ok): void {
    it("runs a container with its streams, its half-close and its status", async () => {
      const echo = [
        "run",
        "-i",
        "--rm",
        IMAGE,
        "sh",
        "-c",
        "cat; echo done; echo oops >&2; exit 7",
      ];
      const { code, stdout, stderr } = await docker(echo, { stdin: "hello\n" });
      assert.deepEqual([code, stdout, stderr], [7, "hello\ndone\n", "oops\n"]);
    });

    it("runs one on a terminal", async () => {
      const command = `${cli} -H ${host} run -it --rm ${IMAGE} sh -c 'test -t 0 && echo a terminal; exit 3'`;
      const { code, stdout } = await run(["script", "-qec", command, "/dev/null"]);
      assert.equal(code, 3);
      assert.match(stdout, /a terminal\r\n/);
    });

    it("execs, attaches, follows logs, and kills", async () => {
      const id = await ok(
        "run",
        "-d",
        "-i",
        IMAGE,
        "sh",
        "-c",
        "echo first; read line; echo $line; echo last",
      );
      const executed = await docker(["exec", id, "sh", "-c", "exit 5"]);
      assert.deepEqual([executed.code, executed.stderr], [5, ""]);
      const following = docker(["logs", "-f", id]);
      const attached = await docker(["attach", id], { stdin: "second\n" });
      assert.equal(attached.code, 0, attached.stderr);
      assert.match((await following).stdout, /^first\nsecond\nlast\n$/);
      await ok("rm", id);
      const sleeper = await ok("run", "-d", IMAGE, "sleep", "1000");
      assert.match(await ok("ps", "--no-trunc"), new RegExp(sleeper));
      await ok("kill", sleeper);
      assert.equal(await ok("wait", sleeper), "137");
      await ok("rm", sleeper);
    });

    it("copies both ways without losing a bit", async () => {
      const id = await ok("create", IMAGE, "true");
      const [there, back] = [join(directory, "there"), join(directory, "back")];
      const bytes = Buffer.alloc(8 * 1024 * 1024, "the shuttle carries the weft ");
      writeFileSync(there, bytes);
      await ok("cp", there, `${id}:/file`);
      await ok("cp", `${id}:/file`, back);
      assert.ok(readFileSync(back).equals(bytes));
      await ok("rm", id);
    });

    for (const buildkit of cli === "/usr/bin/docker" ? ["0", "1"] : ["0"]) {
      it(`builds, with DOCKER_BUILDKIT=${buildkit}`, async () => {
        const context = mkdtempSync(join(directory, "build-"));
        writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /here\n");
        const tag = `built:${buildkit}`;
        const built = await docker(["build", "-t", tag, context], {
          env: { DOCKER_BUILDKIT: buildkit },
        });
        assert.equal(built.code, 0, built.stderr);
        assert.match(await ok("image", "ls", "-q", tag), /^[0-9a-f]{12}$/);
      });
    }
  }

  function cluster(docker: Docker, ok: Ok, refused: Ok): void {
    it("lists the members and this node's part", async () => {
      const row = "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}} {{.Self}}";
      const rows = (await ok("node", "ls", "--format", row)).split("\n");
      assert.deepEqual(rows, ["n1 Ready Active Leader true", "n2 Ready Active  false"]);
      const info = await ok(
        "info",
        "--format",
        "{{.Swarm.NodeID}} {{.Swarm.Nodes}} {{.OperatingSystem}}",
      );
      assert.match(info, new RegExp(`^${NODE_ID} 2 \\w+`));
      assert.match(await ok("node", "inspect", "self", "--pretty"), /Leader:\s+Yes/);
      assert.match(await ok("network", "ls"), /ingress\s+overlay\s+swarm\n.*none\s+null\s+local/);
    });

    it("creates a service, waits until it has converged, and shows it", async () => {
      const create = [
        "service",
        "create",
        "--no-resolve-image",
        "--name",
        "my-web",
        "--replicas",
        "2",
        IMAGE,
      ];
      create.splice(3, 0, "--publish", "published=8080,target=80");
      const { code, stdout, stderr } = await docker(create);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /overall progress: 2 out of 2 tasks/);
      assert.match(stdout, /verify: Service (\w+ )?converged/);
      const row = "{{.Name}} {{.Mode}} {{.Replicas}} {{.Ports}}";
      assert.equal(
        await ok("service", "ls", "--format", row),
        "my-web replicated 2/2 *:8080->80/tcp",
      );
      const ports = await ok(
        "service",
        "inspect",
        "--format={{json .Endpoint.Spec.Ports}}",
        "my-web",
      );
      assert.equal(
        ports,
        '[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"ingress"}]',
      );
      assert.match(await ok("service", "inspect", "--pretty", "my-web"), /PublishedPort = 8080/);
      const tasks = await ok(
        "service",
        "ps",
        "--format",
        "{{.Name}} {{.Node}} {{.DesiredState}}",
        "my-web",
      );
      assert.deepEqual(tasks.split("\n").sort(), ["my-web.1 n1 Running", "my-web.2 n2 Running"]);
      assert.match(await ok("service", "logs", "my-web"), /my-web\.1\.\w+@n1\s+\| hello from/);
    });

    it("updates, scales and rolls back", async () => {
      await ok("service", "update", "-d", "--publish-add", "published=9090,target=80", "my-web");
      const ports = "{{range .Spec.EndpointSpec.Ports}}{{.PublishedPort}} {{end}}";
      assert.equal(await ok("service", "inspect", "--format", ports, "my-web"), "8080 9090");
      await ok("service", "rollback", "-d", "my-web");
      assert.equal(await ok("service", "inspect", "--format", ports, "my-web"), "8080");
      const { code, stdout } = await docker(["service", "scale", "my-web=3"]);
      assert.equal(code, 0);
      assert.match(stdout, /overall progress: 3 out of 3 tasks/);
    });

    it("shows host-mode ports on the tasks, and a port that is somebody else's", async () => {
      const publish = [
        "--publish",
        "published=22,target=22",
        "--publish",
        "mode=host,target=80,published=7070",
      ];
      await ok(
        "service",
        "create",
        "-d",
        "--no-resolve-image",
        "--name",
        "mixed",
        ...publish,
        IMAGE,
      );
      const node = backend.store.view().get("node", "n2");
      assert.ok(node);
      const problem = {
        protocol: "tcp",
        publishedPort: 22,
        reason: "address already in use",
      } as const;
      await backend.store.update((tx) => tx.put("node", { ...node, portProblems: [problem] }));
      const row = await ok(
        "service",
        "ps",
        "--no-trunc",
        "--format",
        "{{.Ports}} {{.Error}}",
        "mixed",
      );
      assert.equal(row, '*:7070->80/tcp "port 22/tcp: address already in use on n2"');
      assert.match(
        await ok("node", "inspect", "--pretty", "n2"),
        /Message:\s+port 22\/tcp: address already in use/i,
      );
      await backend.store.update((tx) => tx.put("node", { ...node, portProblems: [] }));
    });

    it("refuses as Docker does, and leaves nothing", async () => {
      const before = await ok("service", "ls", "-q");
      const create = (...args: string[]) =>
        refused("service", "create", "-d", "--no-resolve-image", ...args, IMAGE);
      assert.match(
        await create("--name", "other", "-p", "8080:80"),
        /Error response from daemon: rpc error: code = InvalidArgument desc = port '8080' is already in use by service 'my-web' \(\w{25}\) as an ingress port$/,
      );
      assert.match(await create("--name", "my-web"), /service my-web already exists$/);
      assert.match(
        await create("--constraint", "node.role=manager"),
        /expected one operator from ==, !=$/,
      );
      assert.match(
        await create("--endpoint-mode", "dnsrr", "-p", "81:80"),
        /can't be used with dnsrr mode$/,
      );
      assert.match(await refused("service", "inspect", "nope"), /no such service: nope\b/i);
      assert.match(
        await refused("network", "create", "-d", "overlay", "ingress"),
        /network with name ingress already exists$/,
      );
      assert.match(
        await refused("swarm", "leave"),
        /Removing the last manager erases all current state/,
      );
      assert.equal(await ok("service", "ls", "-q"), before);
    });

    it("tells events of the cluster and of the Engine in one stream", async () => {
      const now = () => Math.floor(Date.now() / 1_000);
      const since = now();
      await ok("node", "update", "--label-add", `at=${since}`, "n2");
      await ok("run", "--rm", IMAGE, "true");
      const seen = await until(
        async () => {
          const window = ["--since", String(since), "--until", String(now())];
          const events = await ok("events", ...window, "--format", "{{.Type}} {{.Action}}");
          return events.includes("container destroy") && events;
        },
        { what: "the events of a container's end" },
      );
      assert.match(seen, /^node update$/m);
      assert.match(seen, /^container start$/m);
    });

    it("removes its services", async () => {
      await ok("service", "rm", "my-web", "mixed");
      assert.equal(await ok("service", "ls", "-q"), "");
    });

    it("leaves, is refused as no manager, and makes a cluster again", async () => {
      await ok("swarm", "leave", "--force");
      assert.match(
        await refused("node", "ls"),
        /This node is not a swarm manager. Use "docker swarm init"/,
      );
      const said = await ok("swarm", "init", "--advertise-addr", "192.168.99.100");
      assert.match(
        said,
        new RegExp(`Swarm initialized: current node \\(${NODE_ID}\\) is now a manager.`),
      );
      assert.match(said, /docker swarm join --token SWMTKN-1-w 192\.168\.99\.100:2377/);
      assert.equal(await ok("swarm", "join-token", "-q", "manager"), "SWMTKN-1-m");
    });
  }
});

/** What allocator, orchestrator, scheduler and agents do, at once and with success. */
function puppet(backend: FakeBackend): (event: StoreEvent) => void {
  return ({ changes }) => {
    const touched = changes.filter(({ kind }) => kind === "service").map(({ object }) => object.id);
    if (touched.length === 0) return;
    // Only this test's puppet writes here, and it writes nothing where nothing is due: no loop.
    void backend.store.update((tx) => {
      for (const id of touched) pull(tx, tx.get("service", id), id);
    });
  };
}

function pull(tx: Transaction, service: Service | undefined, id: string): void {
  const tasks = tx.tasksOfService(id);
  if (service === undefined) {
    for (const task of tasks) tx.delete("task", task.id);
    return;
  }
  const spec = service.spec.endpointSpec ?? { mode: "vip", ports: [] };
  const endpoint = { spec, ports: spec.ports, virtualIPs: [] };
  tx.put("service", { ...service, endpoint });
  const ports = spec.ports.filter((port) => port.publishMode === "host");
  const replicas = service.spec.mode.replicated?.replicas ?? 0;
  for (let slot = 1; slot <= replicas; slot += 1) {
    const old = tasks.find((task) => task.slot === slot);
    const nodeID = slot % 2 === 1 ? NODE_ID : "n2";
    const task = makeTask({
      ...(old === undefined ? {} : { id: old.id }),
      serviceID: id,
      slot,
      nodeID,
      endpoint,
      spec: service.spec.taskTemplate,
      specVersion: service.specVersion,
      serviceAnnotations: { name: service.spec.name, labels: {} },
      ...(ports.length === 0 ? {} : { status: { portStatus: { ports } } }),
    });
    tx.put("task", task);
  }
}
