/** Health checks and long connections, on real hosts: what unhealthy tasks get, and what a stop waits for. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type ParsedFamily, parseMetrics } from "../../src/base/parse-metrics.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad } from "../../src/lab/load.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { REPOSITORY } from "../../src/lab/places.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import { until } from "../../src/lab/until.ts";

const skip = (await labUnavailable()) ?? false;

const WEFT = join(REPOSITORY, "bin/weft");
const WEB = 8080;
const TRACED = 8081;
const LATE = 9000;
/** How long a stop may take by default. */
const GRACE_MS = 20_000;
/** What an update allows instead: enough to be seen by those who ask again and again. */
const DRAIN_MS = 4_000;
/** Answers while its health is as it is; its health is a file. */
const SERVE =
  'trap "exit 0" TERM; mkdir /www; hostname > /www/index.html; httpd -f -p 80 -h /www & wait';
/** Answers six seconds after its client has closed its side. */
const SERVE_LATE =
  'trap "exit 0" TERM; echo "cat >/dev/null; sleep 6; echo late" >/answer; nc -ll -p 7 -e sh /answer & wait';

describe("health and draining", { skip }, () => {
  let lab: Lab;
  let manager: Host;
  before(async () => {
    lab = await Lab.create({ hosts: 2, clients: 1, images: ["busybox"] });
    manager = lab.host(1);
    await Promise.all(lab.hosts.map((host) => host.startDaemon()));
    await manager.dockerOk(["swarm", "init", "--advertise-addr", manager.ip]);
    const token = (await manager.dockerOk(["swarm", "join-token", "-q", "worker"])).trim();
    await lab.host(2).dockerOk(["swarm", "join", "--token", token, `${manager.ip}:2377`]);
  });
  after(() => lab?.[Symbol.asyncDispose]());

  test("a task is given connections once it is healthy, and none from when it is not", async () => {
    await create("web", WEB, 80, SERVE, [
      ...["--replicas", "2", "--restart-delay", "0s"],
      ...["--health-cmd", "test ! -e /sick", "--health-interval", "300ms", "--health-retries", "1"],
    ]);
    await running("web", 2);
    const urls = lab.hosts.map(({ ip }) => `http://${ip}:${WEB}/`);
    await using load = await startLoad(lab.client(), { urls, pauseMs: 10 });
    const { host, container } = await someTask("web");
    await host.engineOk(["exec", container, "touch", "/sick"]);
    await until(async () => (await states("web")).some((line) => line.includes("unhealthy")), {
      what: "the unhealthy task to be known as failed",
    });
    await running("web", 2);
    await load.more(50);
    const { failed, errors } = load.progress();
    assert.equal(failed, 0, JSON.stringify(errors));
    await manager.dockerOk(["service", "rm", "web"]);
  });

  test("a packet is traced through the kernels of the hosts, and each counts what it is asked", async () => {
    await create("traced", TRACED, 80, SERVE, ["--replicas", "2"]);
    await running("traced", 2);
    const client = lab.client().ip;
    const said = await manager.execOk([WEFT, "trace", client, `n2:${TRACED}`]);
    assert.match(said, /n2 holds port 8081\/tcp/, said);
    assert.match(said, /service traced publishes it, 2 live and 0 draining/, said);
    assert.match(said, /one time in 2\n {2}n2: led to (\S+):80\n {2}n2: to task \1:80/, said);
    assert.match(said, /n1: its reply is marked 0x40020000 and goes back to n2 by weft0/, said);
    assert.equal(said.match(/served: task traced\.\d\.\w+ at/g)?.length, 2, said);
    assert.doesNotMatch(said, /should do|note:/);
    const refused = await manager.exec([WEFT, "trace", client, "n2:8999"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /no service publishes 8999\/tcp in the mesh/);
    const [task] = await Promise.all(lab.hosts.map(metricsOf));
    const own = [...(task?.get("weft_endpoint_receive_packets_total")?.samples ?? [])];
    const traced = own.filter(([series]) => series.includes('service="traced"'));
    assert.equal(traced.length, 1, "each node tells of its own task");
    assert.equal(task?.get("weft_manager_sessions")?.samples.get("weft_manager_sessions"), 2);
    await countsWhatIsAsked();
    await manager.dockerOk(["service", "rm", "traced"]);
    await until(
      async () => (await metricsOf(manager)).get("weft_endpoint_connections") === undefined,
      { what: "the series of tasks that are gone to end" },
    );
  });

  test("a stop waits for a half-closed connection, as long as it may", async () => {
    await create("late", LATE, 7, SERVE_LATE, ["--stop-grace-period", `${GRACE_MS / 1_000}s`]);
    await running("late", 1);
    // Sends, closes its side, and waits for the answer.
    const argv = ["busybox", "nc", lab.host(2).ip, `${LATE}`];
    const asking = lab.client().exec(argv, { stdin: "what?\n", timeoutMs: 60_000 });
    const draining = async () =>
      (await states("late")).some((line) => line.includes("draining, 1 connection"));
    await until(async () => (await connections("late")) > 0, { what: "the connection" });
    await manager.dockerOk(["service", "scale", "--detach", "late=0"]);
    await until(draining, { what: "service ps to say what is waited for" });
    const port = await clientPortOf(lab.host(2));
    const asked = [WEFT, "trace", lab.client().ip, `n2:${LATE}`, "--client-port", port];
    const traced = await manager.exec(asked);
    assert.match(traced.stdout, /a connection of this client port \(\w+\): .* go on to \S+:7,/);
    assert.match(traced.stdout, /service late has no live endpoint \(1 draining\)/);
    assert.equal(traced.code, 1, "a new one would be refused");
    const mesh = await manager.execOk([WEFT, "mesh", "late"]);
    assert.match(mesh, /late\.1 +9000->7\/tcp .* draining .*draining, 1 conn/, mesh);
    assert.match(mesh, /^n1: up to date\nn2: up to date$/m, mesh);
    assert.equal((await asking).stdout, "late\n");
    await until(
      async () => (await states("late")).every((line) => /^Shutdown Shutdown/.test(line)),
      {
        what: "the task to be stopped once its connection is done",
        timeoutMs: 15_000,
      },
    );
  });

  test("a drain time that an update sets is that of the task that runs, and ends the wait", async () => {
    const taskIDs = () => manager.dockerOk(["service", "ps", "-q", "--no-trunc", "late"]);
    await manager.dockerOk(["service", "scale", "--detach", "late=1"]);
    await running("late", 1);
    const before = await taskIDs();
    const client = await lab
      .client()
      .spawn(["sh", "-c", `sleep 1000 | busybox nc ${manager.ip} ${LATE}`]);
    await until(async () => (await connections("late")) > 0, { what: "the connection" });
    const label = ["--label-add", `weft.drain.timeout=${DRAIN_MS / 1_000}s`];
    await manager.dockerOk(["service", "update", "--detach", ...label, "late"]);
    assert.equal(await taskIDs(), before, "no task is replaced");
    const askedAt = performance.now();
    await manager.dockerOk(["service", "scale", "--detach", "late=0"]);
    const isDraining = async () =>
      (await states("late")).some((line) => line.includes("draining, 1 connection"));
    await until(isDraining, { what: "service ps to say what is waited for" });
    await until(async () => (await states("late")).every((line) => /^Shutdown Shut/.test(line)), {
      what: "the task to be stopped though it is connected",
      timeoutMs: GRACE_MS,
    });
    assert.ok(performance.now() - askedAt >= DRAIN_MS);
    await client.end("SIGKILL");
  });

  /** Each host counts what its clients ask, and its own processes, whoever of both tasks answers. */
  async function countsWhatIsAsked(): Promise<void> {
    const [n1, n2] = [lab.host(1), lab.host(2)];
    const ask = (from: Machine, address: string, times: number) => {
      const each = `for n in $(seq ${times}); do curl -sf http://${address}:${TRACED}/; done`;
      return from.execOk(["sh", "-c", each]);
    };
    const carried = async () => {
      const sums = await Promise.all([n1, n2].map((host) => portSums(host, "traced", TRACED)));
      return sums.map(({ connections }) => connections);
    };
    assert.deepEqual(await carried(), [0, 0]);
    await ask(lab.client(), n1.ip, 6);
    await ask(lab.client(), n2.ip, 4);
    assert.deepEqual(await carried(), [6, 4]);
    const before = await portSums(n1, "traced", TRACED);
    // A request has some 80 bytes and an answer of this server's more than 200, beside the headers of TCP and IP.
    assert.ok(before.receivedBytes > 6 * 80 && before.sentBytes > 6 * 200, JSON.stringify(before));
    assert.ok(before.receivedPackets >= 6 * 3 && before.sentPackets >= 6 * 2);
    await ask(n1, "127.0.0.1", 2);
    assert.deepEqual(await carried(), [8, 4]);
    const after = await portSums(n1, "traced", TRACED);
    assert.ok(after.receivedBytes > before.receivedBytes && after.sentBytes > before.sentBytes);
  }

  /** What a node says of all endpoints of a port. */
  async function portSums(host: Host, service: string, port: number) {
    const families = await metricsOf(host);
    const sum = (name: string) =>
      [...(families.get(`weft_port_${name}_total`)?.samples ?? [])]
        .filter(([series]) => series.includes(`service="${service}",protocol="tcp",port="${port}"`))
        .reduce((all, [, value]) => all + value, 0);
    return {
      connections: sum("connections"),
      ...{ receivedBytes: sum("receive_bytes"), receivedPackets: sum("receive_packets") },
      ...{ sentBytes: sum("transmit_bytes"), sentPackets: sum("transmit_packets") },
    };
  }

  /** As Prometheus reads it, and holding to its conventions. */
  async function metricsOf(host: Host): Promise<ReadonlyMap<string, ParsedFamily>> {
    const { status, body } = await unixHttp(host.weftSocket, { path: "/metrics" });
    assert.equal(status, 200, body);
    return parseMetrics(body);
  }

  async function create(
    name: string,
    port: number,
    target: number,
    script: string,
    options: string[],
  ) {
    const publish = ["--publish", `${port}:${target}`];
    const run = ["busybox:latest", "sh", "-c", script];
    await manager.dockerOk([
      ...["service", "create", "--detach", "--no-resolve-image", "--name", name],
      ...[...publish, ...options, ...run],
    ]);
  }

  async function states(service: string): Promise<string[]> {
    const format = "{{.DesiredState}} {{.CurrentState}} {{.Error}}";
    const said = await manager.dockerOk([
      "service",
      "ps",
      "--no-trunc",
      "--format",
      format,
      service,
    ]);
    return said.split("\n").filter(Boolean);
  }

  async function running(service: string, count: number): Promise<void> {
    const look = async () =>
      (await states(service)).filter((line) => /^Running Running/.test(line)).length === count;
    await until(look, { what: `${count} tasks of ${service} to run`, timeoutMs: 30_000 });
  }

  async function someTask(service: string) {
    for (const host of lab.hosts) {
      const ids = await host.engineOk(["ps", "-q", "--filter", `name=${service}.`]);
      const [container] = ids.split("\n").filter(Boolean);
      if (container !== undefined) return { host, container };
    }
    throw new Error(`no task of ${service} runs`);
  }

  /** Of the client that has connected to the late service by this host. */
  async function clientPortOf(host: Host): Promise<string> {
    const listing = await host.execOk([
      "conntrack",
      "-L",
      "-p",
      "tcp",
      "--orig-port-dst",
      `${LATE}`,
    ]);
    return / sport=(\d+) /.exec(listing)?.[1] ?? assert.fail(listing);
  }

  async function connections(service: string): Promise<number> {
    const { host, container } = await someTask(service);
    const said = await host.engineOk(["exec", container, "netstat", "-tn"]);
    return said.split("\n").filter((line) => line.includes(":7 ")).length;
  }
});
