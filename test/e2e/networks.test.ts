/**
 * Users' networks as Docker's own CLI works them: containers of one's own on any node, and stacks of Compose files
 * that bring their networks, configs and secrets with them.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { DOCKER_CLIS, type Host } from "../../src/lab/host.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { Swarm } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;

const SLEEP = ["busybox", "sleep", "100000"];
const STACK = fileURLToPath(new URL("../compat/stack", import.meta.url));

describe("users' networks", { skip }, () => {
  let swarm: Swarm;
  let manager: Host;
  let worker: Host;

  before(async () => {
    swarm = await Swarm.create({ hosts: 2, clients: 0, images: ["busybox"] });
    manager = swarm.lab.host(1);
    worker = swarm.lab.host(2);
  });
  after(async () => await swarm?.[Symbol.asyncDispose]());

  const run = async (host: Host, name: string, ...more: readonly string[]) =>
    await host.dockerOk(["run", "--detach", "--name", name, ...more, ...SLEEP]);

  const addressOf = async (host: Host, name: string): Promise<string> => {
    const format = '{{(index .NetworkSettings.Networks "open").IPAddress}}';
    return (await host.dockerOk(["inspect", "--format", format, name])).trim();
  };

  test("containers of one's own meet in an attachable network, wherever they run", async () => {
    await manager.dockerOk([
      ...["network", "create", "--driver", "overlay", "--attachable"],
      ...["--subnet", "10.99.0.0/24", "open"],
    ]);
    await run(worker, "there", "--network", "open", "--ip", "10.99.0.77");
    await run(manager, "here", "--network", "open");
    await run(manager, "late");
    await manager.dockerOk(["network", "connect", "open", "late"]);
    assert.equal(await addressOf(worker, "there"), "10.99.0.77");
    for (const name of ["here", "late"]) {
      await until(
        async () => {
          const ping = ["exec", name, "ping", "-c", "1", "-W", "1", "10.99.0.77"];
          return (await manager.docker(ping)).code === 0;
        },
        { what: `${name} reaches the other host's container` },
      );
    }
    const addresses = await Promise.all([addressOf(manager, "here"), addressOf(manager, "late")]);
    assert.equal(new Set(addresses).size, 2);
  });

  test("a worker shows the networks that it takes part in as its manager does", async () => {
    const listed = (host: Host, ...more: readonly string[]) => {
      const format = "{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}";
      return host.dockerOk(["network", "ls", "--no-trunc", "--format", format, ...more]);
    };
    const ofCluster = ["--filter", "scope=swarm"];
    await manager.dockerOk(["network", "create", "--driver", "overlay", "elsewhere"]);
    const all = (await listed(manager, ...ofCluster)).trim().split("\n").toSorted();
    const here = (await listed(worker, ...ofCluster)).trim().split("\n").toSorted();
    assert.deepEqual(
      here,
      all.filter((line) => !line.includes(" elsewhere ")),
    );
    const inspect = async (host: Host, reference: string) => {
      const [network] = JSON.parse(await host.dockerOk(["network", "inspect", reference])) as [
        Readonly<Record<string, unknown>>,
      ];
      return network;
    };
    const { Containers: _, ...onManager } = await inspect(manager, "open");
    const { Containers: containers, ...onWorker } = await inspect(worker, String(onManager["Id"]));
    assert.deepEqual(onWorker, onManager);
    assert.match(JSON.stringify(containers), /"Name":"there".*"IPv4Address":"10\.99\.0\.77\/24"/);
    const refused = await worker.docker(["network", "rm", "open"]);
    assert.match(refused.stderr, /Worker nodes can't be used to view or modify cluster state/);
    await manager.dockerOk(["network", "rm", "elsewhere"]);
  });

  test("a container's network is the cluster's, by its own id, wherever it is named", async () => {
    const id = (await manager.dockerOk(["network", "inspect", "-f", "{{.Id}}", "open"])).trim();
    for (const [host, names] of [
      [worker, ["there"]],
      [manager, ["here", "late"]],
    ] as const) {
      const { NetworkID, IPPrefixLen } = (await host.dockerJson([
        ...["inspect", "--format", '{{json (index .NetworkSettings.Networks "open")}}'],
        ...names.slice(0, 1),
      ])) as Readonly<Record<string, unknown>>;
      assert.deepEqual([NetworkID, IPPrefixLen], [id, 24]);
      for (const reference of [id, id.slice(0, 12), "open"]) {
        const ps = ["ps", "--format", "{{.Names}}", "--filter", `network=${reference}`];
        const found = (await host.dockerOk(ps)).trim().split("\n");
        assert.deepEqual(found.toSorted(), names, `${reference} on ${host.name}`);
      }
      const told = await host.dockerOk([
        ...["events", "--since", "1h", "--until", "0s", "--filter", `network=${id}`],
        ...["--filter", "event=connect", "--format", "{{.Actor.ID}} {{.Actor.Attributes.type}}"],
      ]);
      assert.deepEqual(
        told.trim().split("\n"),
        names.map(() => `${id} overlay`),
      );
    }
  });

  test("an address has one container in the whole cluster, until that is removed", async () => {
    const again = ["run", "--detach", "--network", "open", "--ip", "10.99.0.77", ...SLEEP];
    const refused = await manager.docker(again);
    assert.match(
      refused.stderr,
      /Could not attach to network open: address 10\.99\.0\.77 is in use/,
    );
    await worker.dockerOk(["stop", "--time", "0", "there"]);
    const stopped = await manager.docker(again);
    assert.match(stopped.stderr, /is in use/, "a stopped container may start again");
    await worker.dockerOk(["start", "there"]);
    assert.equal(await addressOf(worker, "there"), "10.99.0.77");
    await worker.dockerOk(["rm", "--force", "there"]);
    await until(
      async () =>
        (await manager.docker([...again.slice(0, 2), "--name", "heir", ...again.slice(2)])).code ===
        0,
      {
        what: "the address is free",
      },
    );
  });

  test("a network with a container in it stays, and goes with the last of them", async () => {
    const kept = await manager.docker(["network", "rm", "open"]);
    assert.match(kept.stderr, /network \w{25} is in use by task \w{25}/);
    await manager.dockerOk(["network", "disconnect", "open", "late"]);
    await manager.dockerOk(["rm", "--force", "here", "late", "heir"]);
    await until(async () => (await manager.docker(["network", "rm", "open"])).code === 0, {
      what: "the network is removed",
    });
  });

  // The newest one's stacks are in the transcript that is compared with a real Engine's.
  for (const cli of DOCKER_CLIS.slice(-1)) {
    test(`a stack comes, changes and goes, typed at ${cli}`, async () => {
      const stack = async (...args: readonly string[]) => {
        const { code, stdout, stderr } = await manager.docker(["stack", ...args], { cli });
        assert.equal(code, 0, stderr);
        return stdout;
      };
      const deploy = (file: string, ...more: readonly string[]) =>
        stack("deploy", ...more, "--resolve-image", "never", "-c", `${STACK}/${file}`, "app");
      const replicas = async () => {
        const format = "{{.Name}} {{.Replicas}}";
        return (await stack("services", "--format", format, "app")).trim().split("\n").toSorted();
      };
      await manager.dockerOk(["network", "create", "--driver", "overlay", "shared"]);
      await deploy("stack.yml");
      const all = ["app_db 1/1", "app_extra 1/1", "app_web 2/2"];
      await until(async () => JSON.stringify(await replicas()) === JSON.stringify(all), {
        what: "the stack runs",
      });
      await deploy("smaller.yml", "--prune");
      const fewer = ["app_db 1/1", "app_web 1/1"];
      await until(async () => JSON.stringify(await replicas()) === JSON.stringify(fewer), {
        what: "the smaller stack runs",
      });
      await stack("rm", "app");
      const format = ["--format", "{{.Name}}", "--filter", "label=com.docker.stack.namespace=app"];
      for (const kind of ["service", "network", "config", "secret"]) {
        await until(async () => (await manager.dockerOk([kind, "ls", ...format])) === "", {
          what: `no ${kind} is left`,
        });
      }
      await until(async () => (await manager.docker(["network", "rm", "shared"])).code === 0, {
        what: "the shared network is removed",
      });
    });
  }

  test("an ingress network of one's own has the MTU that it was given, in its tunnel and its tasks", async () => {
    await manager.dockerOk(["network", "rm", "ingress"], { stdin: "y\n" });
    const mtu = ["--opt", "com.docker.network.driver.mtu=1300"];
    const made = ["network", "create", "--driver", "overlay", "--ingress", ...mtu, "narrow"];
    await until(async () => (await manager.docker(made)).code === 0, {
      what: "another ingress network",
    });
    const [task] = await swarm.create("narrow-one", "--publish", "8088:80", ...SLEEP);
    assert.ok(task);
    const mtuAt = async (place: Pick<Host, "exec">, link: string) =>
      /mtu (\d+)/.exec((await place.exec(["ip", "-o", "link", "show", link])).stdout)?.[1];
    assert.equal(await mtuAt(await task.host.container(task.containerID), "eth0"), "1300");
    for (const host of swarm.hosts) {
      const isNarrow = async () => (await mtuAt(host, "weft0")) === "1300";
      await until(isNarrow, { what: `the tunnel of ${host.name} to be narrow` });
    }
    await swarm.remove("narrow-one");
  });
});
