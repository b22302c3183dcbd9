/** What nodes know of each other, also while every manager is away: whoever dies then disappears from the mesh all the same. */
import assert from "node:assert/strict";
import { cp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { GossipAnswer, GossipMemberAnswer } from "../../src/api/gossip.ts";
import type { MeshAnswer } from "../../src/api/mesh.ts";
import type { Host } from "../../src/lab/host.ts";
import { REPOSITORY } from "../../src/lab/places.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import { until } from "../../src/lab/until.ts";
import { type Probe, probe } from "./support/probing.ts";
import { Swarm, weft } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;

/** Some seconds on an idle machine; a busy one must not fail the test by its slowness. How long it took is said. */
const FORGOTTEN_MS_MAX = 20_000;
/** A few seconds to half a minute, by how seldom each is looked for. */
const NAMED_MS_MAX = 120_000;
const SKEWED_CLOCK = new URL("support/skewed-clock.ts", import.meta.url).pathname;
const WEFT = join(REPOSITORY, "bin/weft");
const PAUSE_MS = 1_000;
/** So many requests meet a dead endpoint, if it is one of three, but once in 10⁸. */
const REQUESTS = 45;

describe("what nodes know of each other", { skip }, () => {
  let swarm: Swarm;
  /** What was named goes by itself once its cause has; the next test need not wait for that to begin. */
  let healed: Promise<unknown> = Promise.resolve();
  before(async () => {
    swarm = await Swarm.create({ images: ["nginx", "busybox"] });
    await swarm.create("web", "-p", "8080:80", "--mode", "global", "nginx");
    await swarm.answering(8080);
    await Promise.all(swarm.hosts.map((host) => seesAllAlive(host)));
  });
  after(() => swarm?.[Symbol.asyncDispose]());

  test("a new key is taken up by all, and nobody is lost over it", async () => {
    const shown = await weft(swarm.host(2), "gossip", "--format", "json");
    assert.equal(shown.code, 0, shown.stderr);
    const [before = ""] = (JSON.parse(shown.stdout) as GossipAnswer).Keys;
    const { code, stdout } = await weft(swarm.manager, "gossip", "rotate-key");
    assert.equal(code, 0, stdout);
    for (const host of swarm.hosts) {
      const keys = await until(
        async () => {
          const { Keys } = await gossipOf(host);
          return Keys.length === 2 && Keys;
        },
        { what: `the new key on ${host.name}` },
      );
      assert.equal(keys[0], before, "it only opens for a minute");
    }
    const refused = await weft(swarm.manager, "gossip", "rotate-key");
    assert.match(refused.stderr, /spreads already/);
    assert.match((await weft(swarm.host(3), "gossip", "rotate-key")).stderr, /not a swarm manager/);
    for (const host of swarm.hosts) await seesAllAlive(host);
  });

  test("closed ports, and checksums that a link spoils, are named on the nodes that have them, which are not held for down", async () => {
    const [spoiling, closed] = [swarm.host(2), swarm.host(3)];
    await fault(closed, "prerouting priority -400", "udp dport { 4789, 7946 } drop");
    // Only a checksum that the kernel has made itself can be spoilt on the way: the lab's links make none.
    await setOffload(spoiling, false);
    const spoilt = "udp dport 4789 @th,312,8 17 @th,448,16 != 0 @th,448,16 set 0xdead";
    await fault(spoiling, "output priority 0", spoilt);
    const gossip = /7946\/udp is closed between it and n1, n2, 7946\/tcp is open/;
    // The others hear it by the tunnel, and are not heard.
    const tunnel = /4789\/udp is closed from n1, n2 to it, and open the other way/;
    // What n3 does not take in at all, it cannot find wrong.
    const checksums = /^what it sends to n1 by the tunnel arrives with wrong checksums/;
    const areNamed = async () => {
      const all = await Promise.all(["n1", "n2", "n3"].map(messageOf));
      const [ofWell = "", ofSpoiling = "", ofClosed = ""] = all;
      const isClosed = gossip.test(ofClosed) && tunnel.test(ofClosed);
      if (ofWell === "" && isClosed && checksums.test(ofSpoiling)) return true;
      throw new Error(JSON.stringify(all));
    };
    await until(areNamed, { what: "ports and checksums to be named", timeoutMs: NAMED_MS_MAX });
    const format = ["--format", "{{.Status.Message}}"];
    assert.match(await swarm.docker("node", "inspect", ...format, "n3"), gossip);
    assert.equal(await swarm.readyNodes(), 3);
    const doctors = await Promise.all([closed, spoiling].map((host) => weft(host, "doctor")));
    const [ofClosed = "", ofSpoiling = ""] = doctors.map(({ stdout }) => stdout);
    assert.match(ofClosed, /gossip 192\.168\.99\.\d+ +7946\/tcp is open, 7946\/udp is closed/);
    assert.match(ofSpoiling, /tunnel to 192\.168\.99\.100 .*wrong checksums/);
    await Promise.all([closed, spoiling].map(endFault));
    await setOffload(spoiling, true);
    later(...["n2", "n3"].map(isWell));
  });

  test("a daemon that stands still for a second, three times, while 5 % of its packets are lost, is nobody's death", async (t) => {
    const host = swarm.host(3);
    const before = await until(
      async () => {
        const tasks = (await swarm.running("web")).map(({ id }) => id).toSorted();
        return tasks.length === 3 && tasks;
      },
      { what: "three tasks of web", timeoutMs: 60_000 },
    );
    const given = /node not heard of.* verdict=down/g;
    const verdicts = () => swarm.manager.daemonLog().match(given)?.length ?? 0;
    const verdictsBefore = verdicts();
    await host.loss(5);
    for (let each = 0; each < 3; each++) {
      await host.pauseDaemon(PAUSE_MS);
      // It has answered, and heard, since then.
      await until(async () => (await gossipOf(host)).Members.every(hasAnsweredLately), {
        what: "n3 to have asked the others after its pause",
      });
    }
    await host.loss(0);
    t.diagnostic(`the gossip's own verdicts on n3: ${accusationsOf(swarm.host(2))} on n2`);
    assert.equal(verdicts(), verdictsBefore);
    assert.equal(await swarm.readyNodes(), 3);
    assert.deepEqual((await swarm.running("web")).map(({ id }) => id).toSorted(), before);
    await healed;
  });

  test("with every manager away tasks that become ready, that end, and hosts that crash are known to all", async (t) => {
    const serve =
      'trap "exit 0" TERM; mkdir /www; echo late > /www/index.html; httpd -f -p 80 -h /www & wait';
    await swarm.docker(
      ...["service", "create", "--detach", "--name", "late", "-p", "8081:80", "--no-resolve-image"],
      ...["--constraint", "node.hostname==n3", "--health-cmd", "test -e /well"],
      ...["--health-interval", "300ms", "--health-start-period", "300s"],
      ...["busybox", "sh", "-c", serve],
    );
    const list = ["ps", "-q", "--filter", "label=com.docker.swarm.service.name=late"];
    const container = await until(async () => (await swarm.host(3).engineOk(list)).trim(), {
      what: "the container of late to be started",
      timeoutMs: 60_000,
    });
    const allKnow = async () => {
      const { Revision, Nodes, Services } = (await swarm.api("/weft/mesh")) as MeshAnswer;
      const [port] = Services.find(({ Name }) => Name === "late")?.Ports ?? [];
      const isStarting = port?.Endpoints[0]?.Wanted === "starting";
      return isStarting && Nodes.every((node) => node.Revision === Revision);
    };
    await until(allKnow, { what: "all nodes to know that late starts" });
    await swarm.refusing(8081);
    const ended = await containerOf(2);

    await swarm.manager.killDaemon("SIGKILL");
    await swarm.host(3).engineOk(["exec", container, "touch", "/well"]);
    await swarm.answering(8081, [swarm.host(2), swarm.host(3)]);

    await swarm.host(2).engineOk(["rm", "-f", ended]);
    const took = await answeredByTasks(2, { via: 3 });
    t.diagnostic(`a task that ended is forgotten on n3 after ${took} ms`);

    await swarm.host(3).crash();
    // That of n1, whose daemon alone is dead.
    const crashTook = await answeredByTasks(1, { via: 2 });
    t.diagnostic(`a host that crashed is forgotten on n2 after ${crashTook} ms`);
    await swarm.refusing(8081, [swarm.host(2)]);

    await swarm.manager.startDaemon();
    await swarm.host(3).restart();
    await until(async () => (await swarm.readyNodes()) === 3, {
      what: "all nodes ready",
      timeoutMs: 60_000,
    });
    await swarm.converged("web");
    await answeredByTasks(3, { via: 2 });
    await swarm.remove("late");
  });

  test("a host that is cut off is down by the gossip's word, and goes on serving what it reaches; back again it ends what was replaced", async (t) => {
    const name = "hosted";
    // By its heartbeat alone it would be down after more than two minutes.
    await swarm.docker("swarm", "update", "--dispatcher-heartbeat", "300s");
    const publish = ["--publish", "mode=host,published=8090,target=80"];
    const [task] = await swarm.create(
      ...[name, ...publish, "--constraint", "node.hostname!=n1", "--replicas", "1", "nginx"],
    );
    assert.ok(task);
    const { host } = task;
    const cutAt = performance.now();
    await host.cut();
    const isElsewhere = async () =>
      (await swarm.running(name)).some((other) => other.host !== host && other.id !== task.id);
    await until(isElsewhere, { what: "a successor on the other worker", timeoutMs: 60_000 });
    t.diagnostic(`replaced after ${Math.round(performance.now() - cutAt)} ms`);
    const own = { kind: "http", address: "127.0.0.1", port: 8080 } as const;
    const servesAlone = async () => {
      const results = await probe(host, Array<Probe>(REQUESTS).fill(own));
      const tasks = new Set(results.map(({ error, task }) => error ?? task));
      return tasks.size === 1 && results.every(({ error }) => error === undefined);
    };
    await until(servesAlone, {
      what: "its own task to be all that it leads to",
      timeoutMs: 60_000,
    });
    await host.mend();
    const mendedAt = performance.now();
    await until(async () => (await swarm.readyNodes()) === 3, {
      what: "all nodes ready",
      timeoutMs: 60_000,
    });
    t.diagnostic(`ready again after ${Math.round(performance.now() - mendedAt)} ms`);
    const list = ["ps", "-q", "--filter", `label=com.docker.swarm.service.name=${name}`];
    const isOnce = async () => {
      const lists = await Promise.all(swarm.hosts.map((each) => each.engineOk(list)));
      return lists.join("").trim().split("\n").length === 1;
    };
    await until(isOnce, { what: "one container of it on all hosts", timeoutMs: 60_000 });
    t.diagnostic(`surplus gone after ${Math.round(performance.now() - mendedAt)} ms`);
    await swarm.docker("swarm", "update", "--dispatcher-heartbeat", "5s");
    await swarm.remove(name);
    await swarm.converged("web");
    await swarm.answering(8080);
  });

  test("a clock that is off, an MTU black hole, and a key that the others have not, are named", async () => {
    const [strange, host] = [swarm.host(2), swarm.host(3)];
    await swarm.docker("swarm", "update", "--dispatcher-heartbeat", "1s");

    const file = strange.path("/run/weft/gossip-keys.json");
    await strange.stopDaemon();
    const kept = JSON.parse(await readFile(file, "utf8")) as object;
    const wrong = { ...kept, keys: [Buffer.alloc(16, 7).toString("base64")] };
    await writeFile(file, JSON.stringify(wrong));
    // While it reaches no manager it has no other.
    await fault(strange, "output priority 0", "tcp dport 2377 drop");
    await strange.startDaemon();
    // Then n1 is the one peer that n3 asks, and what is said of the two is said once.
    const isGone = async () => stateAsSeen(await gossipOf(host), "n2") === "dead";
    await until(isGone, { what: "n2 to be dead to n3", timeoutMs: NAMED_MS_MAX });

    const env = { NODE_OPTIONS: `--import=${SKEWED_CLOCK}`, WEFT_TEST_SKEW_MS: "98000" };
    await host.stopDaemon();
    await fault(host, "prerouting priority -400", "udp dport 4789 meta length > 1400 drop");
    await host.startDaemon({ env });

    const clock = "its clock is 100 s ahead of the manager's";
    const hole = "an MTU black hole between it and n1: only small packets pass through the tunnel";
    // n3 has begun anew, and may not have heard enough of n2 yet.
    const key = /its gossip and that of n1(, n3)? are sealed with different keys/;
    await Promise.all([isNamed("n3", clock), isNamed("n3", hole), isNamed("n2", key)]);
    const [ofHost, ofManager] = await Promise.all([
      host.exec([WEFT, "doctor"], { env }),
      weft(swarm.manager, "doctor"),
    ]);
    assert.match(ofHost.stdout, /its clock is -9\d s off this host's/);
    assert.match(ofHost.stdout, /MTU black hole/);
    assert.match(ofManager.stdout, new RegExp(clock));
    const sealed = `gossip ${strange.ip} +its gossip is sealed with a key`;
    assert.match(ofManager.stdout, new RegExp(sealed));
    const [sealing = ""] = key.exec(await messageOf("n2")) ?? [];
    for (const problem of [clock, hole, sealing]) assert.equal(timesLogged(problem), 1, problem);

    await Promise.all([host, strange].map(endFault));
    await host.stopDaemon();
    await host.startDaemon();
    await swarm.docker("swarm", "update", "--dispatcher-heartbeat", "5s");
    await Promise.all([isNamedNoMore("n3", clock), isNamedNoMore("n2", "different keys")]);
    for (const each of swarm.hosts) await seesAllAlive(each);
    later(isNamedNoMore("n3", hole));
  });

  test("two nodes with one address are both named", async () => {
    const [host, other] = [swarm.host(2), swarm.host(3)];
    const file = host.path("/var/lib/weft/node.json");
    const state = await readFile(file, "utf8");
    await host.stopDaemon();
    const advertised = { ...(JSON.parse(state) as object), advertiseAddr: `${other.ip}:2377` };
    await writeFile(file, JSON.stringify(advertised));
    await host.startDaemon();
    const ofOther = `its address ${other.ip} is n3's too`;
    await isNamed("n2", ofOther);
    await isNamed("n3", `its address ${other.ip} is n2's too`);
    assert.match((await weft(swarm.manager, "doctor")).stdout, new RegExp(ofOther));
    assert.equal(timesLogged(ofOther), 1);
    await host.stopDaemon();
    await writeFile(file, state);
    await host.startDaemon();
    await Promise.all(["n2", "n3"].map((name) => isNamedNoMore(name, "its address")));
    for (const each of swarm.hosts) await seesAllAlive(each);
    await healed;
  });

  test("two hosts that go by one certificate are named", async () => {
    const [host, original] = [swarm.host(2), swarm.host(3)];
    // By its id: the other host says another name.
    const { ID } = await swarm.node("n3");
    const [of, from] = [host.path("/var/lib/weft"), original.path("/var/lib/weft")];
    await host.stopDaemon();
    for (const name of ["node.json", "certificates"]) {
      await rename(join(of, name), join(of, `own-${name}`));
      await cp(join(from, name), join(of, name), { recursive: true });
    }
    await host.startDaemon();
    const [first, second] = [host.ip, original.ip].toSorted();
    const problem = `two hosts go by its certificate: ${first} and ${second}`;
    await isNamed(ID, problem);
    assert.equal(timesLogged(problem), 1);
    assert.match((await weft(swarm.manager, "doctor")).stdout, new RegExp(problem));
    await host.stopDaemon();
    for (const name of ["node.json", "certificates"]) {
      await rm(join(of, name), { recursive: true });
      await rename(join(of, `own-${name}`), join(of, name));
    }
    await host.startDaemon();
    await until(async () => (await swarm.readyNodes()) === 3, { what: "all nodes ready" });
    for (const each of swarm.hosts) await seesAllAlive(each);
  });

  test("a node that is removed is shut out at once: no key that it has known is left anywhere", async (t) => {
    const gone = swarm.host(3);
    const known = new Set((await gossipOf(gone)).Keys);
    await swarm.docker("node", "update", "--availability", "drain", "n3");
    const removedAt = performance.now();
    await swarm.docker("node", "rm", "--force", "n3");
    const isShutOut = async () => {
      const rings = await Promise.all([1, 2].map((number) => gossipOf(swarm.host(number))));
      return rings.every(({ Keys }) => Keys.length === 1 && !known.has(Keys[0] ?? ""));
    };
    await until(isShutOut, { what: "a key that n3 does not know", timeoutMs: 30_000 });
    t.diagnostic(`shut out after ${Math.round(performance.now() - removedAt)} ms`);
    // It says goodbye when it is told, and is dead where nobody hears that: either takes its time.
    const isAlone = async () => {
      const { Members } = await gossipOf(swarm.host(2));
      const alive = Members.filter(({ State }) => State === "alive");
      return alive.length === 2 && alive.every(({ Hostname }) => Hostname !== "n3");
    };
    await until(isAlone, { what: "n3 to be no member any more", timeoutMs: 30_000 });
    assert.equal(await swarm.readyNodes(), 2);
  });

  /** Waits until a burst through one host is answered whole, by exactly so many tasks; resolves with how long it took. */
  async function answeredByTasks(count: number, { via }: { via: number }): Promise<number> {
    const startedAt = performance.now();
    const { ip } = swarm.host(via);
    const requests = Array.from({ length: REQUESTS }, () => ({
      kind: "http" as const,
      address: ip,
      port: 8080,
    }));
    return until(
      async () => {
        const results = await probe(swarm.client(), requests);
        const tasks = new Set(results.map(({ task }) => task));
        const isWhole = results.every(({ error }) => error === undefined);
        // A connection that met a dead endpoint is answered late, by another: the burst's end is what counts.
        return isWhole && tasks.size === count && Math.round(performance.now() - startedAt);
      },
      { what: `a burst through n${via} answered by ${count} tasks`, timeoutMs: FORGOTTEN_MS_MAX },
    );
  }

  async function containerOf(number: number): Promise<string> {
    const task = (await swarm.running("web")).find(({ host }) => host === swarm.host(number));
    assert.ok(task);
    return task.containerID;
  }

  /** How a host's own gossip stands; asked without a CLI, for it is asked often. */
  async function gossipOf(host: Host): Promise<GossipAnswer> {
    const { status, body } = await unixHttp(host.weftSocket, { path: "/weft/gossip" });
    assert.equal(status, 200, body);
    return JSON.parse(body) as GossipAnswer;
  }

  function accusationsOf(host: Host): number {
    return host.daemonLog().split("member failed").length - 1;
  }

  async function isNamed(node: string, problem: string | RegExp): Promise<void> {
    const isIn = (text: string) =>
      typeof problem === "string" ? text.includes(problem) : problem.test(text);
    await until(async () => isIn(await messageOf(node)), {
      what: `${node} to be said to have this: ${problem}`,
      timeoutMs: NAMED_MS_MAX,
    });
  }

  async function isNamedNoMore(node: string, problem: string): Promise<void> {
    await until(async () => !(await messageOf(node)).includes(problem), {
      what: `${node} not to be said any more to have this: ${problem}`,
      timeoutMs: NAMED_MS_MAX,
    });
  }

  /** What the next test waits for, while it does something else. */
  function later(...healing: readonly Promise<void>[]): void {
    healed = Promise.all(healing);
    healed.catch(() => {}); // Whoever waits for it is told.
  }

  async function isWell(node: string): Promise<void> {
    await until(async () => (await messageOf(node)) === "", {
      what: `${node} to be well`,
      timeoutMs: NAMED_MS_MAX,
    });
  }

  /** In the log of the manager's daemon since its last start. */
  function timesLogged(problem: string): number {
    const lines = swarm.manager.daemonLog().split("\n");
    return lines.filter((line) => line.includes("a node is ailing") && line.includes(problem))
      .length;
  }

  async function messageOf(name: string): Promise<string> {
    return (await swarm.node(name)).Status.Message ?? "";
  }

  /** And has heard all that each says. */
  async function seesAllAlive(host: Host): Promise<void> {
    const isWell = ({ State, Lag = 0 }: GossipMemberAnswer) => State === "alive" && Lag === 0;
    await until(
      async () => {
        const { Members } = await gossipOf(host);
        return Members.length === swarm.hosts.length && Members.every(isWell);
      },
      { what: `${host.name} to see all alive` },
    );
  }
});

/** As `ethtool -K weft0 tx on|off`: who computes the checksums of what goes into the tunnel. */
const SET_OFFLOAD = `
import array, fcntl, socket, struct, sys
value = array.array("B", struct.pack("II", 0x17, int(sys.argv[1])))
request = struct.pack("16sP", b"weft0", value.buffer_info()[0]).ljust(40, b"\\0")
fcntl.ioctl(socket.socket(), 0x8946, request)
`;

/** Packets that match are lost, or worse, until `endFault`. */
async function fault(host: Host, hook: string, rule: string): Promise<void> {
  const chain = `chain c { type filter hook ${hook}; ${rule}; }`;
  await host.execOk(["nft", "-f", "-"], { stdin: `table inet fault { ${chain}; }` });
}

async function endFault(host: Host): Promise<void> {
  await host.execOk(["nft", "delete", "table", "inet", "fault"]);
}

function stateAsSeen({ Members }: GossipAnswer, hostname: string): string | undefined {
  return Members.find(({ Hostname }) => Hostname === hostname)?.State;
}

async function setOffload(host: Host, on: boolean): Promise<void> {
  await host.execOk(["python3", "-c", SET_OFFLOAD, on ? "1" : "0"]);
}

/** Of itself it says nothing. */
function hasAnsweredLately({ AnsweredMsAgo = 0 }: GossipMemberAnswer): boolean {
  return AnsweredMsAgo < 1_000;
}
