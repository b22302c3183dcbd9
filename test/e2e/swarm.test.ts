/** Making, joining and leaving a cluster, typed into Docker's own CLI and into Debian's. */
import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { DOCKER_CLIS, type Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { assertSameTraces, type Traces, tracesOf } from "./support/traces.ts";

const skip = (await labUnavailable()) ?? false;

const TOKEN = /^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/;
const ID = "[0-9a-z]{25}";
const NOT_IN_A_SWARM =
  'Error response from daemon: This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
const A_WORKER =
  "Error response from daemon: This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
const NOT_PART = "Error response from daemon: This node is not part of a swarm";
const ALREADY_PART =
  'Error response from daemon: This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.';
const LAST_MANAGER =
  "Error response from daemon: You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.";

describe("a cluster's life", { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.create({ hosts: 3, clients: 0, images: ["nginx"] });
    await Promise.all(lab.hosts.map((host) => host.startDaemon()));
    // What the Engine sets up at its first container is not Weft's.
    const first = ["run", "--rm", "nginx", "nginx", "-v"];
    await Promise.all(lab.hosts.map((host) => host.engineOk(first)));
  });
  after(() => lab?.[Symbol.asyncDispose]());

  for (const cli of DOCKER_CLIS) {
    describe(`with ${basename(dirname(dirname(cli)))}'s ${cli}`, () => clusterLife(() => lab, cli));
  }

  test("a data path of its own carries the tunnels, and ports answer everywhere", async () => {
    await dataPath(lab.hosts);
  });
});

/** A cluster of these hosts, which have a second network between them. */
async function dataPath(hosts: readonly Host[]): Promise<void> {
  const [manager, ...workers] = hosts;
  assert.ok(manager);
  const addressOf = (host: Host) => host.ip.replace(/.*\./, "10.7.0.");
  // Where the hosts reach each other the tunnel is closed, and on the second network its packets are counted.
  const rules = "iifname eth0 udp dport 4789 drop; iifname eth1 udp dport 4789 counter";
  const table = `table inet paths { chain c { type filter hook prerouting priority -400; ${rules}; }; }`;
  for (const host of hosts) {
    await host.addLink(`${addressOf(host)}/24`);
    await host.execOk(["nft", "-f", "-"], { stdin: table });
  }
  const advertise = ["--advertise-addr", manager.ip];
  await manager.dockerOk(["swarm", "init", ...advertise, "--data-path-addr", "eth1"]);
  const token = (await manager.dockerOk(["swarm", "join-token", "-q", "worker"])).trim();
  for (const host of workers) {
    const path = ["--data-path-addr", addressOf(host)];
    await host.dockerOk(["swarm", "join", "--token", token, ...path, manager.ip]);
  }
  const ready = () => manager.dockerOk(["node", "ls", "--format", "{{.Status}}"]);
  await until(
    async () =>
      (await ready())
        .trim()
        .split("\n")
        .every((one) => one === "Ready"),
    {
      what: "the nodes to be ready",
    },
  );
  const format = ["--format", "{{.Status.Addr}}"];
  const nodes = (await manager.dockerOk(["node", "ls", "-q"])).trim().split("\n");
  const seen = await manager.dockerOk(["node", "inspect", ...format, ...nodes]);
  assert.deepEqual(seen.trim().split("\n").toSorted(), hosts.map(({ ip }) => ip).toSorted());

  await manager.dockerOk(["network", "create", "--driver", "overlay", "lan"]);
  const create = ["service", "create", "--detach", "--name", "web", "--network", "lan"];
  const onWorkers = ["--constraint", "node.role==worker", "--mode", "global"];
  await manager.dockerOk([...create, ...onWorkers, "-p", "8080:80", "nginx"]);
  for (const from of hosts) {
    for (const to of hosts) {
      const asked = ["curl", "-sf", "-m", "5", "-o", "/dev/null", `http://${to.ip}:8080/`];
      await until(async () => (await from.exec(asked)).code === 0, {
        what: `port 8080 of ${to.name} to answer ${from.name}`,
        timeoutMs: 60_000,
      });
    }
  }
  for (const host of hosts) {
    const links = await host.execOk(["ip", "-d", "-o", "link", "show", "type", "vxlan"]);
    const ends = [...links.matchAll(/ local (\S+) /g)].map(([, end]) => end);
    assert.deepEqual(new Set(ends), new Set([addressOf(host)]), links);
    assert.equal(
      ends.length,
      host === manager ? 1 : 2,
      "the mesh's, and where tasks are their network's",
    );
    const counted = await host.execOk(["nft", "list", "table", "inet", "paths"]);
    assert.doesNotMatch(counted, /counter packets 0 /, `the tunnel's packets at ${host.name}`);
  }
  for (const host of [...workers, manager]) await host.dockerOk(["swarm", "leave", "--force"]);
}

function clusterLife(lab: () => Lab, cli: string): void {
  const ok = async (host: Host, ...args: string[]) => (await host.dockerOk(args, { cli })).trim();
  const refused = async (host: Host, ...args: string[]) => {
    const { code, stdout, stderr } = await host.docker(args, { cli });
    assert.equal(code, 1, `docker ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
    return stderr.trim();
  };
  const stateOf = (host: Host) => ok(host, "info", "--format", "{{.Swarm.LocalNodeState}}");
  const hosts = () => [lab().host(1), lab().host(2), lab().host(3)] as const;
  const workerToken = () => ok(lab().host(1), "swarm", "join-token", "-q", "worker");

  let alone: Traces[];

  test("outside a cluster, its commands are refused and `docker info` says inactive", async () => {
    const [n1] = hosts();
    assert.equal(await stateOf(n1), "inactive");
    for (const command of [
      ["node", "ls"],
      ["service", "ls"],
      ["service", "create", "--no-resolve-image", "nginx"],
      ["swarm", "join-token", "worker"],
    ]) {
      assert.equal(await refused(n1, ...command), NOT_IN_A_SWARM, command.join(" "));
    }
    assert.equal(await refused(n1, "swarm", "leave"), NOT_PART);
    alone = await Promise.all(hosts().map((host) => tracesOf(host)));
  });

  test("swarm init makes a manager, and says how to join", async () => {
    const [n1] = hosts();
    const said = await ok(n1, "swarm", "init", "--advertise-addr", n1.ip);
    const nodeID = await ok(n1, "info", "--format", "{{.Swarm.NodeID}}");
    const token = await workerToken();
    assert.match(nodeID, new RegExp(`^${ID}$`));
    assert.match(token, TOKEN);
    assert.equal(
      said,
      [
        `Swarm initialized: current node (${nodeID}) is now a manager.`,
        "",
        "To add a worker to this swarm, run the following command:",
        "",
        `    docker swarm join --token ${token} ${n1.ip}:2377`,
        "",
        "To add a manager to this swarm, run 'docker swarm join-token manager' and follow the instructions.",
      ].join("\n"),
    );
    assert.equal(await refused(n1, "swarm", "init"), ALREADY_PART);
    assert.equal(await refused(n1, "swarm", "join", "--token", token, n1.ip), ALREADY_PART);
    assert.equal(await refused(n1, "swarm", "leave"), LAST_MANAGER);
  });

  test("`docker info` has the Swarm section", async () => {
    const [n1] = hosts();
    const info = await ok(n1, "info");
    for (const line of [
      /^ Swarm: active$/m,
      /^ {2}NodeID: [0-9a-z]{25}$/m,
      /^ {2}Is Manager: true$/m,
      /^ {2}ClusterID: [0-9a-z]{25}$/m,
      /^ {2}Managers: 1$/m,
      /^ {2}Nodes: 1$/m,
      /^ {2}Data Path Port: 4789$/m,
      /^ {3}Task History Retention Limit: 5$/m,
      /^ {3}Heartbeat Period: 5 seconds$/m,
      /^ {3}Expiry Duration: 3 months$/m,
      new RegExp(`^ {2}Node Address: ${n1.ip}$`, "m"),
      new RegExp(`^ {3}${n1.ip}:2377$`, "m"),
      /^ Server Version: /m,
      /^ Storage Driver: overlay2$/m,
    ]) {
      assert.match(info, line);
    }
  });

  test("a join that cannot be right is refused with its reason, and leaves nothing", async () => {
    const [n1, n2] = hosts();
    const token = await workerToken();
    const [prefix, version, digest = "", secret = ""] = token.split("-");
    const flipped = `${digest.slice(0, -1)}${digest.endsWith("1") ? "2" : "1"}`;
    const join = (tokenOf: string, address: string) =>
      refused(n2, "swarm", "join", "--token", tokenOf, address);
    const badSecret = `${prefix}-${version}-${digest}-${"0".repeat(secret.length)}`;
    assert.match(
      await join(badSecret, n1.ip),
      /rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster$/,
    );
    assert.match(
      await join(`${prefix}-${version}-${flipped}-${secret}`, n1.ip),
      /remote CA does not match fingerprint\. Expected: [0-9a-f]{64}$/,
    );
    assert.match(await join("garbage", n1.ip), /invalid join token$/);
    assert.match(await join(token, `${n1.ip}:2399`), /Unavailable.*connection refused/);
    assert.equal(await stateOf(n2), "inactive");
    assert.equal((await ok(n1, "node", "ls", "-q")).split("\n").length, 1);
  });

  test("workers join by token, and node ls shows them", async () => {
    const [n1, n2, n3] = hosts();
    const token = await workerToken();
    for (const host of [n2, n3]) {
      const said = await ok(host, "swarm", "join", "--token", token, `${n1.ip}:2377`);
      assert.equal(said, "This node joined a swarm as a worker.");
      assert.equal(await stateOf(host), "active");
    }
    const format = "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}} {{.Self}}";
    const nodes = async () => (await ok(n1, "node", "ls", "--format", format)).split("\n").sort();
    const wanted = [
      "n1 Ready Active Leader true",
      "n2 Ready Active  false",
      "n3 Ready Active  false",
    ];
    await until(async () => (await nodes()).join() === wanted.join(), {
      what: "three ready nodes",
    });
    const table = await ok(n1, "node", "ls");
    assert.match(table, /^ID +HOSTNAME +STATUS +AVAILABILITY +MANAGER STATUS +ENGINE VERSION$/m);
    assert.match(table, /^[0-9a-z]{25} \* +n1 +Ready +Active +Leader +\d+\.\d+\.\d+/m);
    assert.equal(await ok(n2, "info", "--format", "{{.Swarm.ControlAvailable}}"), "false");
    assert.equal(await ok(n1, "info", "--format", "{{.Swarm.Nodes}}"), "3");
  });

  test("node inspect, for people and for programs", async () => {
    const [n1] = hosts();
    const pretty = await ok(n1, "node", "inspect", "--pretty", "n2");
    for (const line of [
      /^ID:\s+[0-9a-z]{25}$/m,
      /^Hostname:\s+n2$/m,
      /^ State:\s+Ready$/m,
      /^ Availability:\s+Active$/m,
      /^ Address:\s+192\.168\.99\.101$/m,
      /^ Operating System:\s+linux$/m,
      /^ CPUs:\s+\d+$/m,
      /^Engine Version:\s+\d+/m,
    ]) {
      assert.match(pretty, line);
    }
    const [node] = JSON.parse(await ok(n1, "node", "inspect", "self")) as Record<string, unknown>[];
    assert.partialDeepStrictEqual(node, {
      Spec: { Role: "manager", Availability: "active", Labels: {} },
      Description: { Hostname: "n1", Platform: { OS: "linux" } },
      Status: { State: "ready", Addr: n1.ip },
      ManagerStatus: { Leader: true, Reachability: "reachable", Addr: `${n1.ip}:2377` },
    });
    assert.match(
      await refused(n1, "node", "inspect", "nosuch"),
      /node nosuch not found|No such node: nosuch/,
    );
  });

  test("node update sets labels and availability", async () => {
    const [n1] = hosts();
    await ok(n1, "node", "update", "--label-add", "zone=a", "--availability", "pause", "n3");
    const format = "{{.Spec.Labels.zone}} {{.Spec.Availability}}";
    assert.equal(await ok(n1, "node", "inspect", "--format", format, "n3"), "a pause");
    await ok(n1, "node", "update", "--label-rm", "zone", "--availability", "active", "n3");
    const { labels, availability } = JSON.parse(
      await ok(
        n1,
        "node",
        "inspect",
        "--format",
        '{"labels":{{json .Spec.Labels}},"availability":{{json .Spec.Availability}}}',
        "n3",
      ),
    ) as { labels: object; availability: string };
    assert.deepEqual({ labels, availability }, { labels: {}, availability: "active" });
  });

  test("a worker sends whoever asks it to a manager", async () => {
    const [, n2] = hosts();
    for (const command of [
      ["node", "ls"],
      ["service", "ls"],
      ["service", "create", "--no-resolve-image", "nginx"],
      ["service", "ps", "web"],
      ["swarm", "join-token", "worker"],
    ]) {
      assert.equal(await refused(n2, ...command), A_WORKER, command.join(" "));
    }
  });

  test("join-token prints the command, and --rotate ends the old token", async () => {
    const [n1, , n3] = hosts();
    const old = await workerToken();
    const said = await ok(n1, "swarm", "join-token", "worker");
    assert.equal(
      said,
      `To add a worker to this swarm, run the following command:\n\n    docker swarm join --token ${old} ${n1.ip}:2377`,
    );
    assert.match(await ok(n1, "swarm", "join-token", "-q", "manager"), TOKEN);
    const fresh = await ok(n1, "swarm", "join-token", "--rotate", "-q", "worker");
    assert.match(fresh, TOKEN);
    assert.notEqual(fresh, old);
    assert.equal(await ok(n3, "swarm", "leave"), "Node left the swarm.");
    assert.match(
      await refused(n3, "swarm", "join", "--token", old, n1.ip),
      /A valid join token is necessary to join this cluster$/,
    );
    await ok(n3, "swarm", "join", "--token", fresh, n1.ip);
  });

  test("swarm ca --rotate exchanges the root, and says how far it is", async () => {
    const [n1, , n3] = hosts();
    // A node that left is waited for as one that is away, until it is removed.
    const members = await ok(n1, "node", "ls", "--format", "{{.ID}} {{.Status}}");
    for (const line of members.split("\n"))
      if (line.endsWith(" Down")) await ok(n1, "node", "rm", line.split(" ")[0] ?? "");
    const [root, token] = [await ok(n1, "swarm", "ca"), await workerToken()];
    const said = await ok(n1, "swarm", "ca", "--rotate");
    const fresh = await ok(n1, "swarm", "ca");
    assert.match(said, /desired root digest: sha256:[0-9a-f]{64}/);
    // How many nodes have turned stands behind these on a terminal alone.
    assert.match(said, /rotated TLS certificates:/);
    assert.match(said, /rotated CA certificates:/);
    assert.ok(said.endsWith(fresh), said);
    assert.notEqual(fresh, root);
    const status = await ok(n1, "node", "ls", "--format", "{{.TLSStatus}}");
    assert.equal(status, "Ready\nReady\nReady");
    const newToken = await workerToken();
    assert.notEqual(newToken.split("-")[2], token.split("-")[2]);
    assert.equal(await ok(n3, "swarm", "leave"), "Node left the swarm.");
    assert.match(
      await refused(n3, "swarm", "join", "--token", token, n1.ip),
      /remote CA does not match fingerprint/,
    );
    await ok(n3, "swarm", "join", "--token", newToken, n1.ip);
  });

  test("a node that left is down, can be removed, and may join anew", async () => {
    const [n1, n2] = hosts();
    const nodeID = await ok(n2, "info", "--format", "{{.Swarm.NodeID}}");
    assert.match(
      await refused(n1, "node", "rm", nodeID),
      new RegExp(
        `code = FailedPrecondition desc = node ${nodeID} is not down and can't be removed$`,
      ),
    );
    assert.equal(await ok(n2, "swarm", "leave"), "Node left the swarm.");
    assert.equal(await stateOf(n2), "inactive");
    assert.equal(await refused(n2, "swarm", "leave"), NOT_PART);
    const state = () => ok(n1, "node", "inspect", "--format", "{{.Status.State}}", nodeID);
    await until(async () => (await state()) === "down", { what: "n2 to be down" });
    assert.equal(await ok(n1, "node", "rm", nodeID), nodeID);
    await ok(n2, "swarm", "join", "--token", await workerToken(), n1.ip);
    assert.notEqual(await ok(n2, "info", "--format", "{{.Swarm.NodeID}}"), nodeID);
  });

  test("leaving ends the cluster, the manager's by force, and leaves no trace of it", async () => {
    const [n1, n2, n3] = hosts();
    const create = ["--detach", "--name", "web", "-p", "8080:80", "--mode", "global", "nginx"];
    await ok(n1, "service", "create", ...create);
    const listed = () => ok(n1, "service", "ls", "--format", "{{.Replicas}}");
    await until(async () => (await listed()) === "3/3", { what: "three tasks", timeoutMs: 60_000 });
    for (const host of [n2, n3]) {
      assert.equal(await ok(host, "swarm", "leave"), "Node left the swarm.");
    }
    assert.equal(await refused(n1, "swarm", "leave"), LAST_MANAGER);
    assert.equal(await ok(n1, "swarm", "leave", "--force"), "Node left the swarm.");
    for (const [index, host] of hosts().entries()) {
      assert.equal(await stateOf(host), "inactive");
      assertSameTraces(host, alone[index] ?? {}, await tracesOf(host));
    }
    assert.equal(await refused(n1, "node", "ls"), NOT_IN_A_SWARM);
  });
}
