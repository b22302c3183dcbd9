/**
 * Users' overlay networks on three hosts with their Engines: services reach one another by address and virtual IP,
 * nothing is lost by an update, and networks with the same subnet know nothing of one another.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Host } from "../../src/lab/host.ts";
import { parseAnswer } from "../../src/lab/images.ts";
import type { Place } from "../../src/lab/place.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { unharmed } from "./support/load.ts";
import { type RunningTask, Swarm } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;

const SLEEP = ["busybox", "sleep", "100000"];
/** A shell's sleep takes no notice of SIGTERM. */
const SOON = ["--stop-grace-period", "1s"];
/** A kept connection is cut when it is over: it must outlast an update under load on a busy machine. */
const LONG = ["--stop-grace-period", "3m"];
/** Enough that three tasks are all met: the odds against it are below one in a million. */
const ASKED = 45;
/** Docker's Swarm needs 14 s for it. */
const NOTICED_MS = 10_000;

describe("overlay networks", { skip }, () => {
  let swarm: Swarm;
  let web: RunningTask[];
  let clients: readonly Place[];

  before(async () => {
    swarm = await Swarm.create({ images: ["nginx", "busybox"] });
    await swarm.docker("network", "create", "-d", "overlay", "app");
    web = await swarm.create("web", "--network", "app", "--replicas", "3", ...LONG, "nginx");
    const tasks = await swarm.create("client", "--network", "app", "--mode", "global", ...SLEEP);
    clients = await containersOf(tasks);
  });
  after(async () => await swarm?.[Symbol.asyncDispose]());

  test("every task reaches every other one by its address, on whichever host", async () => {
    assert.equal(new Set(web.map(({ host }) => host.name)).size, 3, "one on each host");
    for (const { id } of web) {
      const address = await addressOf(swarm, id, "app");
      for (const client of clients) assert.equal(await served(client, address), address);
    }
  });

  test("a virtual IP leads to all tasks of its service, from each host and its own tasks", async () => {
    const virtualIP = await virtualIPOf(swarm, "web", "app");
    const addresses = await Promise.all(web.map(({ id }) => addressOf(swarm, id, "app")));
    for (const place of [...clients, ...(await containersOf(web))]) {
      const met = await allServed(place, virtualIP);
      assert.deepEqual([...met].sort(), addresses.toSorted());
    }
  });

  test("a task's first requests find its virtual IPs", async (context) => {
    const virtualIP = await virtualIPOf(swarm, "web", "app");
    const request = 'printf "GET / HTTP/1.0\\r\\n\\r\\n"';
    const ask = `until ${request} | nc -w 5 ${virtualIP} 80; do echo late; done; exec sleep 100000`;
    const tasks = await swarm.create(
      ...["early", "--network", "app", "--mode", "global", ...SOON, "--restart-condition", "none"],
      ...["busybox", "sh", "-c", ask],
    );
    for (const { host, containerID } of tasks) {
      const said = () => host.engineOk(["logs", containerID]);
      const answered = async () => /^task /m.test(await said());
      const what = `the first request of a task on ${host.name}`;
      await until(answered, { what, timeoutMs: 60_000 });
      // On a machine that does little else it is the very first; nothing holds the container up until then.
      const late = (await said()).match(/^late$/gm)?.length ?? 0;
      context.diagnostic(`${host.name}: ${late} requests were too early`);
    }
    await swarm.remove("early");
  });

  test("a task's first instruction finds others by name, and services, tasks and aliases have theirs", async () => {
    const ask = "until wget -q -O - http://web/ 2>&1; do sleep 0.1; done; exec sleep 100000";
    const early = await swarm.create(
      ...["named", "--network", "name=app,alias=also", "--mode", "global", ...SOON],
      ...["--restart-condition", "none", "busybox", "sh", "-c", ask],
    );
    for (const { host, containerID } of early) {
      const said = () => host.engineOk(["logs", containerID]);
      const answered = async () => /^task /m.test(await said());
      await until(answered, { what: `a request by name on ${host.name}` });
      // Its virtual IP may come a moment later, and the request be repeated; its name is there from the start.
      assert.doesNotMatch(await said(), /bad address/);
    }
    const virtualIP = await virtualIPOf(swarm, "web", "app");
    const addresses = await Promise.all(web.map(({ id }) => addressOf(swarm, id, "app")));
    const others = await Promise.all(early.map(({ id }) => addressOf(swarm, id, "app")));
    const [first] = web;
    assert.ok(first);
    const name = `web.${first.json.Slot}.${first.id}`;
    const tasks = web.map(({ id, json }) => `web.${json.Slot}.${id}`);
    const own = await addressOf(swarm, first.id, "app");
    const reverse = own.split(".").toReversed().join(".");
    const rows: [string, string, readonly string[]][] = [
      ["web", "A", [virtualIP]],
      ["web.app", "A", [virtualIP]],
      ["tasks.web", "A", addresses],
      ["tasks.also", "A", others],
      [name, "A", [own]],
      [`${reverse}.in-addr.arpa`, "PTR", [`${name}.app.`]],
      ["web", "AAAA", []],
      ["_80._tcp.web", "SRV", ["0 1 80 web.app."]],
      ["_80._tcp.tasks.web", "SRV", tasks.map((task) => `0 1 80 ${task}.app.`)],
    ];
    for (const place of clients) {
      for (const [asked, type, expected] of rows) {
        const told = async () => {
          const answer = (await named(place, asked, type)).toSorted();
          return answer.join(" ") === expected.toSorted().join(" ");
        };
        await until(told, { what: `${place.name} to be told ${expected.join(" ")} for ${asked}` });
      }
    }
    await swarm.remove("named");
  });

  test("names are told without the daemon, and again after the keeper was killed", async () => {
    const host = swarm.host(2);
    const client = clients[await indexOn(swarm, host)];
    assert.ok(client);
    const virtualIP = await virtualIPOf(swarm, "web", "app");
    await host.killDaemon();
    assert.deepEqual(await named(client, "web", "A"), [virtualIP]);
    const [keeper] = (await host.execOk(["pgrep", "-f", "main.ts keeper|main.js keeper"])).split(
      "\n",
    );
    await host.execOk(["kill", "-9", keeper ?? ""]);
    await host.startDaemon();
    const again = async () => (await named(client, "web", "A")).join() === virtualIP;
    await until(again, { what: "names after the keeper's death" });
  });

  test("what is not the cluster's is asked of the servers that the user has named", async () => {
    const host = swarm.host(3);
    const where = ["--keep-in-foreground", "--conf-file=/dev/null", `--listen-address=${host.ip}`];
    const options = [
      "--no-resolv",
      "--no-hosts",
      "--bind-interfaces",
      "--pid-file=",
      "--user=root",
    ];
    const server = await host.spawn([
      "dnsmasq",
      ...where,
      ...options,
      "--address=/fixed.test/192.0.2.53",
    ]);
    const [task] = await swarm.create(
      ...["asking", "--network", "app", "--dns", host.ip, "--dns-search", "fixed.test"],
      ...[...SOON, ...SLEEP],
    );
    assert.ok(task);
    const place = await task.host.container(task.containerID);
    const told = async () => (await named(place, "a.fixed.test", "A")).join() === "192.0.2.53";
    await until(told, { what: "the user's own server to be asked" });
    const virtualIP = await virtualIPOf(swarm, "web", "app");
    assert.deepEqual(await named(place, "web", "A"), [virtualIP]);
    // As a program there resolves it, by the resolv.conf that the Engine has written for the container.
    const resolved = async (name: string) => {
      const inspect = ["inspect", "--format", "{{.ResolvConfPath}}", task.containerID];
      const path = (await task.host.engineOk(inspect)).trim();
      const script = 'mount --bind "$1" /etc/resolv.conf && exec getent ahostsv4 "$2"';
      const argv = ["unshare", "--mount", "sh", "-c", script, "sh", path, name];
      return (await place.exec(argv)).stdout.split(" ")[0];
    };
    assert.equal(await resolved("web"), virtualIP);
    assert.equal(await resolved("a"), "192.0.2.53", "by the user's search domain");
    await server.end("SIGTERM");
    await swarm.remove("asking");
  });

  test("a network has IPv6 and an MTU of its own, and a task may be on several", async () => {
    await swarm.docker(
      ...["network", "create", "-d", "overlay", "--ipv6", "--subnet", "10.78.0.0/24"],
      ...["--subnet", "fd00:78::/64", "--opt", "com.docker.network.driver.mtu=1300", "wide"],
    );
    const both = ["--network", "app", "--network", "wide", "--mode", "global", ...SOON];
    const tasks = await swarm.create("both", ...both, "nginx");
    const places = await containersOf(tasks);
    const addresses = await Promise.all(tasks.map(({ id }) => addressesOf(swarm, id, "wide")));
    const inWide = addresses.map(([, address = ""]) => address);
    for (const place of places) {
      for (const address of inWide) assert.equal(await served(place, `[${address}]`), address);
      const listed = async () =>
        (await named(place, "tasks.both.wide", "AAAA")).toSorted().join() ===
        inWide.toSorted().join();
      await until(listed, { what: `${place.name} to be told all tasks by IPv6` });
      const [virtualIP = ""] = await named(place, "both.wide", "AAAA");
      assert.match(virtualIP, /^fd00:78::/);
      assert.ok(inWide.includes(await served(place, `[${virtualIP}]`)));
      assert.deepEqual(await named(place, "web", "A"), [await virtualIPOf(swarm, "web", "app")]);
      const { stdout } = await place.exec(["ip", "-o", "link", "show", "type", "veth"]);
      assert.deepEqual(
        [...stdout.matchAll(/mtu (\d+)/g)].filter(([, mtu]) => mtu === "1300").length,
        1,
      );
    }
    const [stranger] = clients;
    assert.ok(stranger);
    const ofApp = await Promise.all(tasks.map(({ id }) => addressOf(swarm, id, "app")));
    const seen = await named(stranger, "tasks.both", "A");
    assert.deepEqual(seen.toSorted(), ofApp.toSorted(), "by who is on one of them alone");
    await swarm.remove("both");
    await swarm.docker("network", "rm", "wide");
  });

  test("no request is lost by an update", async () => {
    const virtualIP = await virtualIPOf(swarm, "web", "app");
    await unharmed(clients, [`http://${virtualIP}/`], async () => {
      const order = ["--update-order", "start-first", "--update-parallelism", "1"];
      await swarm.docker("service", "update", "--detach", "--force", ...order, "web");
      const old = new Set(web.map(({ id }) => id));
      const renewed = async () => {
        const tasks = await swarm.running("web");
        return tasks.length === 3 && tasks.every(({ id }) => !old.has(id));
      };
      await until(renewed, { what: "three new tasks", timeoutMs: 60_000 });
    });
    assert.equal(await virtualIPOf(swarm, "web", "app"), virtualIP, "it is the service's for life");
    web = await swarm.converged("web");
  });

  test("a killed daemon costs no task in an overlay network, and none of its connections", async () => {
    const client = clients[await indexOn(swarm, swarm.manager)];
    const task = web.find(({ host }) => host !== swarm.manager);
    assert.ok(client !== undefined && task !== undefined);
    const { host } = task;
    // Some five seconds: longer than a silent node is waited for.
    const slow = ["-r", "0-299999", "-o", "/dev/null", "-w", "%{size_download}"];
    const address = await addressOf(swarm, task.id, "app");
    const fetched = client.exec(["curl", "-sS", "-m", "60", ...slow, `http://${address}/slow`]);
    await host.killDaemon("SIGKILL");
    const state = () => swarm.docker("node", "inspect", "-f", "{{.Status.State}}", host.name);
    await until(async () => (await state()) === "unknown", { what: `${host.name} to be doubted` });
    const { code, stdout, stderr } = await fetched;
    assert.deepEqual([code, stdout, stderr], [0, "300000", ""]);
    assert.equal(await state(), "unknown", "its host answers for its tasks");
    await host.startDaemon();
    await until(async () => (await state()) === "ready", { what: `${host.name} to be ready` });
    const ids = (tasks: readonly RunningTask[]) => tasks.map(({ id }) => id).toSorted();
    assert.deepEqual(ids(await swarm.converged("web")), ids(web));
  });

  test("a service without tasks refuses at once", async () => {
    await swarm.docker(
      "service",
      "create",
      "--detach",
      "--name",
      "none",
      "--network",
      "app",
      "--replicas",
      "0",
      "nginx",
    );
    const virtualIP = await until(() => virtualIPOf(swarm, "none", "app"), {
      what: "a virtual IP",
    });
    const [client] = clients;
    assert.ok(client);
    const refused = async () =>
      (await client.exec(["curl", "-sS", `http://${virtualIP}/`])).code === 7;
    await until(refused, { what: "the virtual IP to be refused" });
  });

  test("networks of one subnet know nothing of one another, and an internal one has no way out", async () => {
    const subnet = ["--subnet", "10.77.0.0/24"];
    await swarm.docker("network", "create", "-d", "overlay", ...subnet, "red");
    await swarm.docker("network", "create", "-d", "overlay", "--internal", ...subnet, "blue");
    const made = async (color: string) => {
      const tasks = await swarm.create(
        `web-${color}`,
        "--network",
        color,
        "--mode",
        "global",
        "nginx",
      );
      return await Promise.all(
        tasks.map(async (task) => ({
          address: await addressOf(swarm, task.id, color),
          place: await task.host.container(task.containerID),
          name: task.containerID.slice(0, 12),
        })),
      );
    };
    const red = await made("red");
    const blue = await made("blue");
    for (const [own, other] of [
      [red, blue],
      [blue, red],
    ] as const) {
      for (const { place } of own) {
        for (const { address, name } of own)
          assert.equal((await answerAt(place, address)).task, name);
        for (const { address } of other) {
          const isOwn = own.some((task) => task.address === address);
          if (!isOwn) await assert.rejects(answerAt(place, address));
        }
      }
    }
    const leadsOut = async ({ place }: { place: Place }) =>
      (await place.exec(["ip", "route", "get", swarm.client().ip])).code === 0;
    assert.deepEqual(await Promise.all(red.map(leadsOut)), [true, true, true]);
    assert.deepEqual(await Promise.all(blue.map(leadsOut)), [false, false, false]);
    await swarm.remove("web-red", "web-blue");
    await swarm.docker("network", "rm", "red", "blue");
    for (const host of swarm.hosts) {
      const bridges = async () =>
        (await host.execOk(["ip", "-o", "link"])).match(/\bwb[0-9a-f]{6}/g);
      await until(async () => new Set(await bridges()).size === 1, {
        what: `the networks' bridges to be gone from ${host.name}`,
      });
    }
  });

  test("virtual IPs lead to no task of a host that died, and its tasks run elsewhere", async (t) => {
    const virtualIP = await virtualIPOf(swarm, "web", "app");
    const client = clients[await indexOn(swarm, swarm.manager)];
    const task = web.find(({ host }) => host !== swarm.manager);
    assert.ok(client !== undefined && task !== undefined);
    const dead = task.host;
    const lost = await addressOf(swarm, task.id, "app");
    const crashedAt = performance.now();
    const since = () => Math.round(performance.now() - crashedAt);
    await dead.crash();
    const isNamed = async () => (await named(client, "tasks.web", "A")).includes(lost);
    await until(async () => !(await isNamed()), { what: "the name of the dead host's task to go" });
    const unnamed = since();
    const met = await until(() => allServed(client, virtualIP), { what: "only living tasks" });
    assert.ok(!met.has(lost));
    const forgotten = since();
    const moved = async () => {
      const tasks = await swarm.running("web");
      return tasks.length === 3 && tasks.every(({ host }) => host !== dead);
    };
    await until(moved, { what: "three tasks on two hosts", timeoutMs: 60_000 });
    t.diagnostic(`unnamed after ${unnamed} ms, forgotten ${forgotten}, elsewhere ${since()}`);
    assert.ok(forgotten <= NOTICED_MS);
  });
});

async function containersOf(tasks: readonly RunningTask[]): Promise<readonly Place[]> {
  return await Promise.all(tasks.map(({ host, containerID }) => host.container(containerID)));
}

/** What a container's resolver says. */
async function named(place: Place, name: string, type: string): Promise<readonly string[]> {
  const question = ["+short", "+time=2", "+tries=2", "@127.0.0.11", type, name];
  const { stdout } = await place.exec(["dig", ...question]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** Which of the clients, a global service's tasks, runs on the host. */
async function indexOn(swarm: Swarm, host: Host): Promise<number> {
  const tasks = await swarm.running("client");
  return tasks.findIndex((task) => task.host === host);
}

async function answerAt(place: Place, address: string) {
  return parseAnswer((await ask(place, address)).stdout);
}

/** The address that the request was served at. */
async function served(place: Place, address: string): Promise<string> {
  return /^server (.*)$/m.exec((await ask(place, address)).stdout)?.[1] ?? "";
}

/** The addresses that many requests were served at, each on a connection of its own. */
async function allServed(place: Place, address: string): Promise<ReadonlySet<string>> {
  const asked = await ask(place, address, `?[1-${ASKED}]`);
  return new Set([...asked.stdout.matchAll(/^server (.*)$/gm)].map(([, at = ""]) => at));
}

async function ask(place: Place, address: string, query = "") {
  const url = `http://${address}/${query}`;
  const asked = await place.exec(["curl", "-sS", "-m", "5", "-H", "Connection: close", url]);
  assert.equal(asked.code, 0, `${place.name} asks ${address}: ${asked.stderr}`);
  return asked;
}

interface AttachmentJson {
  readonly Network: { readonly Spec: { readonly Name: string } };
  readonly Addresses: readonly string[];
}

/** A task's address in a network. */
async function addressOf(swarm: Swarm, taskID: string, network: string): Promise<string> {
  return (await addressesOf(swarm, taskID, network))[0] ?? "";
}

/** A task's addresses in a network, without prefix length. */
async function addressesOf(
  swarm: Swarm,
  taskID: string,
  network: string,
): Promise<readonly string[]> {
  const task = (await swarm.api(`/tasks/${taskID}`)) as {
    NetworksAttachments: readonly AttachmentJson[];
  };
  const attachment = task.NetworksAttachments.find(({ Network }) => Network.Spec.Name === network);
  return (attachment?.Addresses ?? []).map((address) => address.split("/")[0] ?? "");
}

/** A service's virtual IP in a network, without prefix length. */
async function virtualIPOf(swarm: Swarm, service: string, network: string): Promise<string> {
  const { Id } = (await swarm.api(`/networks/${network}`)) as { Id: string };
  const { Endpoint } = (await swarm.api(`/services/${service}`)) as {
    Endpoint: { VirtualIPs?: readonly { NetworkID: string; Addr: string }[] };
  };
  const found = Endpoint.VirtualIPs?.find(({ NetworkID }) => NetworkID === Id);
  return found?.Addr.split("/")[0] ?? "";
}
