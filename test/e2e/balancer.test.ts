/**
 * Load balancers before Weft, as docs/LOAD-BALANCERS.md has them: its commands are run, its files are taken as they
 * are, and HAProxy is a real one. When tasks move or a node dies no request fails, and no file is changed.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad } from "../../src/lab/load.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { REPOSITORY } from "../../src/lab/places.ts";
import type { Service } from "../../src/lab/process.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { unharmed } from "./support/load.ts";
import { Swarm } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;

const PAGE = readFileSync(join(REPOSITORY, "docs/LOAD-BALANCERS.md"), "utf8");
/** Where a node answers names, beside its own loopback: as the page says. */
const NAMES_PORT = 9353;
/** HAProxy finds a dead node after three checks, two seconds apart, on a machine that does other things as well. */
const NOTICED_MS = 40_000;

/** A file of the page, by its name after the fence. */
function fileOf(name: string): string {
  const fence = "```";
  const found = PAGE.split(`${fence}haproxy ${name}\n`)[1]?.split(fence)[0];
  assert.ok(found, `the page has ${name}`);
  return found;
}

/** The commands of one of its sections. */
function commandsOf(section: string): readonly string[] {
  const text = PAGE.split(`\n## ${section}\n`)[1]?.split("\n## ")[0] ?? "";
  const blocks = [...text.matchAll(/```sh\n(.*?)```/gs)];
  const commands = blocks.flatMap(([, block = ""]) => block.trim().split("\n"));
  assert.ok(commands.length > 0, `the section ${section} has commands`);
  return commands;
}

interface Server {
  readonly name: string;
  readonly state: string;
  readonly sessions: number;
  readonly downs: number;
  readonly address: string;
}

/** HAProxy's own page, as it prints it for programs. */
async function serversOf(balancer: Machine, url: string): Promise<Server[]> {
  const csv = await balancer.execOk(["curl", "-s", `${url};csv`]);
  const [head = "", ...lines] = csv.trim().split("\n");
  const names = head.replace(/^# /, "").split(",");
  const at = (line: string[], name: string) => line[names.indexOf(name)] ?? "";
  return lines
    .map((line) => line.split(","))
    .filter((line) => at(line, "type") === "2")
    .map((line) => ({
      name: at(line, "svname"),
      state: at(line, "status"),
      sessions: Number(at(line, "stot")),
      downs: Number(at(line, "chkdown")),
      address: at(line, "addr"),
    }));
}

/** Which answers names at its own address too: the balancer is another machine. */
function startDaemon(host: Host): Promise<void> {
  const listen = [`127.0.0.1:${NAMES_PORT}`, `${host.ip}:${NAMES_PORT}`];
  return host.startDaemon({ env: { WEFT_DNS_LISTEN: listen.join(",") } });
}

describe("load balancers", { skip }, () => {
  let swarm: Swarm;
  let balancer: Machine;
  let client: Machine;

  before(async () => {
    const lab = await Lab.create({ clients: 2, images: ["nginx", "haproxy"] });
    swarm = new Swarm(lab);
    await Promise.all(lab.hosts.map(startDaemon));
    await swarm.form();
    [balancer, client] = [lab.client(1), lab.client(2)];
  });
  after(async () => await swarm?.[Symbol.asyncDispose]());

  /** Types a command of the page on the manager, in a directory that is its own. */
  async function type(command: string): Promise<void> {
    const shell = `mkdir -p /run/page && cd /run/page && export DOCKER_HOST=unix:///run/weft.sock && export PATH=${REPOSITORY}/bin:$PATH && ${command}`;
    await swarm.manager.execOk(["sh", "-ec", shell]);
  }

  async function haproxy(...files: readonly string[]): Promise<Service> {
    for (const file of files) {
      await balancer.execOk(["tee", `/run/${file}`], { stdin: fileOf(file) });
    }
    return start(files);
  }
  async function start(files: readonly string[]): Promise<Service> {
    const options = files.flatMap((file) => ["-f", `/run/${file}`]);
    await balancer.execOk(["haproxy", "-c", ...options]);
    return balancer.spawn(["haproxy", "-db", ...options]);
  }

  test("through the mesh: all nodes are up, tasks move, a node dies, and no request fails", async (t) => {
    for (const command of commandsOf("Through the mesh")) await type(command);
    await swarm.converged("my-web");
    await swarm.answering(8080);
    const process = await haproxy("defaults.cfg", "mesh.cfg");
    const serversAt = (port: number) =>
      serversOf(balancer, `http://127.0.0.1:${port}/haproxy?stats`);
    const servers = () => serversAt(80);
    const upAt = (port: number, count: number) => async () => {
      const found = await serversAt(port).catch(() => []);
      return found.filter(({ state }) => state === "UP").length === count;
    };
    const up = (count: number) => upAt(80, count);
    /** The same servers at another port, under other defaults. */
    const variant = async (port: number, defaults: string): Promise<Service> => {
      const mesh = fileOf("mesh.cfg").replace("bind *:80\n", `bind *:${port}\n`);
      const files = [`defaults-${port}.cfg`, `mesh-${port}.cfg`];
      for (const [at, stdin] of [defaults, mesh].entries()) {
        await balancer.execOk(["tee", `/run/${files[at]}`], { stdin });
      }
      return start(files);
    };
    await until(up(3), { what: "three servers to be up", timeoutMs: NOTICED_MS });

    const url = `http://${balancer.ip}/`;
    const counts = await unharmed([client], [url], async () => {
      await swarm.docker("service", "scale", "--detach", "my-web=4");
      await swarm.converged("my-web");
      await swarm.docker("node", "update", "--availability", "drain", "n2");
      await until(
        async () => (await swarm.running("my-web")).every(({ host }) => host.name !== "n2"),
        { what: "n2 to be empty" },
      );
      await swarm.converged("my-web");
      await swarm.docker("node", "update", "--availability", "active", "n2");
      await swarm.docker("service", "scale", "--detach", "my-web=1");
      await swarm.converged("my-web");
    });
    for (const { name, state, sessions, downs } of await servers()) {
      assert.equal(state, "UP", `${name}, one task for three nodes`);
      assert.equal(downs, 0, `${name} was never down`);
      assert.ok(sessions > 100, `${name} had its share: ${sessions}`);
    }
    const tasks = counts.flatMap(({ answers }) => Object.keys(answers));
    // HAProxy keeps connections to its servers: not every task that came and went has been asked.
    assert.ok(new Set(tasks).size >= 2, "several tasks have answered");

    await swarm.docker("service", "scale", "--detach", "my-web=3");
    await swarm.converged("my-web");
    // The page's files without what repeats requests, and as Docker has them, without a word on what fails.
    const redispatching = await variant(81, fileOf("defaults.cfg").replace(/^ *retry-on.*\n/m, ""));
    const plain = await variant(
      82,
      fileOf("defaults.cfg").replace(/^ *(retry-on|option redispatch).*\n/gm, ""),
    );
    await until(upAt(82, 3), { what: "three servers to be up", timeoutMs: NOTICED_MS });
    // Longer than a request that was under way at the dead node may take to be asked again elsewhere.
    const loadAt = (port: number) =>
      startLoad(client, {
        urls: [`http://${balancer.ip}:${port}/`],
        timeoutMs: NOTICED_MS,
        pauseMs: 10,
      });
    const loads = await Promise.all([80, 81, 82].map(loadAt));
    const flow = () => Promise.all(loads.map((load) => load.more(150, NOTICED_MS)));
    await flow();
    await swarm.host(3).crash();
    const died = Date.now();
    const seesOneDown = async (port: number) =>
      (await serversAt(port)).filter(({ state }) => state === "DOWN").length === 1;
    const isNoticed = async () => (await seesOneDown(80)) && (await seesOneDown(82));
    await until(isNoticed, { what: "the dead node to be seen", timeoutMs: NOTICED_MS });
    const noticed = Date.now();
    await flow();
    const [load, redispatched, untold] = loads;
    assert.ok(load !== undefined && redispatched !== undefined && untold !== undefined);
    const asked = [await redispatched.stop(), await untold.stop()].map(({ sent }) => sent);
    const [begun = [], begunUntold = []] = [redispatched, untold].map((each) =>
      each.incidents().flatMap(({ at, error }) => (error === undefined ? [] : [at - died])),
    );
    t.diagnostic(`${asked.join(" + ")} requests with redispatch alone, and without`);
    t.diagnostic(`failed, begun at ms after the death: ${begun.join()} | ${begunUntold.join()}`);
    // One that was under way at the node when it died is the client's to repeat.
    assert.deepEqual(
      begun.filter((at) => at > 0),
      [],
      "none was begun after the death",
    );
    const late = begunUntold.filter((at) => at > noticed - died);
    assert.deepEqual(late, [], "none was begun after HAProxy's own check had found the node dead");
    await redispatching.end("SIGTERM");
    await plain.end("SIGTERM");
    await swarm.host(3).restart();
    await until(up(3), { what: "the node to be back", timeoutMs: NOTICED_MS });
    await load.more(150);
    const { sent, failed, errors } = await load.stop();
    t.diagnostic(`${sent} requests over the node's death and return`);
    assert.deepEqual({ failed, errors }, { failed: 0, errors: {} });
    await process.end("SIGTERM");
    await swarm.clear();
  });

  test("straight to the tasks: HAProxy follows them by name, without a reload", async (t) => {
    const [create = "", print = "", up = "", down = ""] = commandsOf("Straight to the tasks");
    await type(create);
    await swarm.converged("shop");
    await type(print);
    const printed = await swarm.manager.execOk(["cat", "/run/page/shop.cfg"]);
    assert.ok(printed.includes(fileOf("in shop.cfg")), `as the page has it:\n${printed}`);
    await balancer.execOk(["tee", "/run/shop.cfg"], { stdin: printed });
    const process = await start(["shop.cfg"]);

    /** Where HAProxy leads to, and where the tasks are. */
    const led = async () => {
      const found = await serversOf(balancer, "http://127.0.0.1:8404/").catch(() => []);
      return found.filter(({ state }) => state === "UP").map(({ address }) => address);
    };
    const served = async () =>
      (await swarm.running("shop")).map(
        ({ host, json }) => `${host.ip}:${json.Status.PortStatus?.Ports?.[0]?.PublishedPort}`,
      );
    const followed = async (count: number) => {
      let seen = "";
      const look = async () => {
        const [now, wanted] = [(await led()).toSorted(), (await served()).toSorted()];
        seen = `${now.join(" ")} for ${wanted.join(" ")}`;
        return wanted.length === count && now.join() === wanted.join();
      };
      await until(look, { what: "HAProxy to follow", timeoutMs: NOTICED_MS }).catch((cause) => {
        throw new Error(`HAProxy leads to ${seen}`, { cause });
      });
    };
    await followed(2);
    const counts = await unharmed([client], [`http://${balancer.ip}/`], async () => {
      await type(up);
      await swarm.converged("shop");
      await followed(4);
      await swarm.docker("node", "update", "--availability", "drain", "n2");
      await followed(4);
      await swarm.docker("node", "update", "--availability", "active", "n2");
      await type(down);
      await swarm.converged("shop");
      await followed(1);
    });
    t.diagnostic(`${counts.map(({ sent }) => sent).join(" + ")} requests`);

    await swarm.create(
      "everywhere",
      "--mode",
      "global",
      "--publish",
      "mode=host,target=80",
      "nginx",
    );
    const options = ["@127.0.0.1", "-p", String(NAMES_PORT), "+short", "SRV"];
    const dig = ["dig", ...options, "_80._tcp.everywhere.weft"];
    const named = async () => (await swarm.host(2).execOk(dig)).trim().split("\n").length;
    await until(async () => (await named()) === 3, { what: "a global service at three nodes" });
    // What a node was told last it answers without its daemon too.
    await swarm.host(2).killDaemon();
    assert.equal(await named(), 3);
    await startDaemon(swarm.host(2));
    await process.end("SIGTERM");
    await swarm.clear();
  });

  test("as a service: HAProxy in the network follows tasks.NAME", async (t) => {
    await swarm.manager.execOk(["mkdir", "-p", "/run/page"]);
    await swarm.manager.execOk(["tee", "/run/page/inside.cfg"], { stdin: fileOf("inside.cfg") });
    const commands = commandsOf("As a service");
    const last = commands.at(-1) ?? "";
    for (const command of commands.slice(0, -1)) await type(command);
    await swarm.converged("api");
    await swarm.converged("front");
    await swarm.answering(8090);
    const [host] = swarm.hosts;
    assert.ok(host);
    const seen = new Set<string>();
    const answeredBy = (count: number) => async () => {
      const load = await startLoad(client, { urls: [`http://${host.ip}:8090/`], pauseMs: 5 });
      await load.more(40);
      const { answers } = await load.stop();
      for (const task of Object.keys(answers)) seen.add(task);
      return Object.keys(answers).length === count;
    };
    await until(answeredBy(2), { what: "both tasks to be asked", timeoutMs: NOTICED_MS });
    await type(last);
    await swarm.converged("api");
    await until(answeredBy(4), { what: "all four to be asked", timeoutMs: NOTICED_MS });
    t.diagnostic(`${seen.size} tasks have answered`);
    await swarm.clear();
  });
});
