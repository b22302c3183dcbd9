import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock, systemClock } from "../base/clock.ts";
import { seededRandom } from "../base/random.ts";
import { makeNetwork } from "../cluster/factories.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import { eventually, LoopbackCluster } from "../dispatcher/loopback-cluster.ts";
import { CertificateRenewer, renewalTime } from "./certificate-renewer.ts";
import { createClusterCA, rotateJoinToken } from "./cluster-ca.ts";
import { certificatesDirectory, joinCluster, keepJoinKey } from "./join.ts";
import { newJoinToken, parseJoinToken } from "./join-token.ts";
import { NodeCertificates } from "./node-certificates.ts";

test("refusals are Docker's, and nothing is left of them", async () => {
  await using cluster = await LoopbackCluster.start();
  const good = cluster.cluster.joinTokens.worker;
  const otherSecret = newJoinToken(cluster.rootCA.certificate);
  const { rootCA: otherCA } = await createClusterCA(createMemoryStore(), systemClock);
  const otherCluster = newJoinToken(otherCA.certificate);
  const { digest } = parseJoinToken(otherCluster);
  const before = cluster.store.view().list("node").length;
  const cases = [
    ["bad", cluster.addr, "invalid join token"],
    [
      otherSecret,
      cluster.addr,
      "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster",
    ],
    [otherCluster, cluster.addr, `remote CA does not match fingerprint. Expected: ${digest}`],
    [
      good,
      "127.0.0.1:1",
      'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing dial tcp 127.0.0.1:1: connect: connection refused"',
    ],
  ] as const;
  const dataDir = join(cluster.directory, "n1");
  for (const [token, addr, message] of cases) {
    const joining = joinCluster({
      remoteAddrs: [addr],
      token,
      availability: "active",
      advertiseAddr: "",
      dataDir,
      clock: systemClock,
    });
    await assert.rejects(joining, { message });
  }
  assert.equal(cluster.store.view().list("node").length, before);
  assert.ok(!existsSync(dataDir));
});

test("a joining node is what it asked to be", async () => {
  await using cluster = await LoopbackCluster.start();
  const dataDir = join(cluster.directory, "n1");
  const certificates = await joinCluster({
    // The first is no manager: the next is asked.
    remoteAddrs: ["127.0.0.1:1", cluster.addr],
    token: cluster.cluster.joinTokens.worker,
    availability: "drain",
    advertiseAddr: "192.168.99.101",
    dataDir,
    clock: systemClock,
  });
  const node = cluster.store.view().get("node", certificates.identity.nodeID);
  assert.deepEqual(node?.spec, { labels: {}, role: "worker", availability: "drain" });
  assert.deepEqual(node?.status, { state: "unknown", addr: "192.168.99.101" });
  assert.deepEqual(readdirSync(join(dataDir, "certificates")).sort(), [
    "swarm-node.crt",
    "swarm-node.key",
    "swarm-root-ca.crt",
  ]);
});

test("a host whose own network would be hidden is refused, and both are named", async () => {
  await using cluster = await LoopbackCluster.start();
  const ingress = makeNetwork();
  const subnet = "fd5a:9c3e:71b2::/64";
  const config = [...ingress.ipam.config, { subnet, gateway: "fd5a:9c3e:71b2::1" }];
  const network = { ...ingress, ipam: { ...ingress.ipam, config } };
  await cluster.store.update((tx) => tx.put("network", network));
  const before = cluster.store.view().list("node").length;
  const joinWith = (hostRoutes: readonly string[]) =>
    joinCluster({
      remoteAddrs: [cluster.addr],
      token: cluster.cluster.joinTokens.worker,
      availability: "active",
      advertiseAddr: "",
      hostRoutes,
      dataDir: join(cluster.directory, "n1"),
      clock: systemClock,
    });
  await assert.rejects(joinWith(["172.17.0.0/16", "10.255.128.0/20"]), {
    message:
      /route to 10\.255\.128\.0\/20, which overlaps with 10\.255\.0\.0\/16 of the cluster's network ingress/,
  });
  await assert.rejects(joinWith(["172.17.0.0/16", "fd00:1::/64", "fd5a:9c3e::/32"]), {
    message:
      /route to fd5a:9c3e::\/32, which overlaps with fd5a:9c3e:71b2::\/64 of the cluster's network ingress/,
  });
  assert.equal(cluster.store.view().list("node").length, before);
  await joinWith(["172.17.0.0/16", "192.168.99.0/24", "fd00:1::/64"]);
});

test("a host that wants to be reached by the other family than its managers is refused, and told which", async () => {
  await using cluster = await LoopbackCluster.start();
  await cluster.store.update((tx) => {
    const managerStatus = { leader: true, reachability: "reachable", addr: cluster.addr } as const;
    for (const node of tx.list("node")) tx.put("node", { ...node, managerStatus });
  });
  const joinAs = (advertiseAddr: string, dataPathAddr = "") =>
    joinCluster({
      remoteAddrs: [cluster.addr],
      token: cluster.cluster.joinTokens.worker,
      availability: "active",
      advertiseAddr,
      dataPathAddr,
      dataDir: join(cluster.directory, "n1"),
      clock: systemClock,
    });
  await assert.rejects(joinAs("fd00::7"), {
    message: /nodes reach each other over IPv4, and fd00::7 is not such an address/,
  });
  await assert.rejects(joinAs("fe80::7"), { message: /invalid advertised address "fe80::7"/ });
  await assert.rejects(joinAs("192.168.99.7", "fd00::7"), {
    message: /tunnels go over IPv4, and fd00::7 is not such an address: .* --data-path-addr/,
  });
  await assert.rejects(joinAs("192.168.99.7", "eth1"), { message: /invalid data path address/ });
  const { identity } = await joinAs("192.168.99.7", "10.1.0.7");
  const { addr, dataPathAddr } = cluster.store.view().get("node", identity.nodeID)?.status ?? {};
  assert.deepEqual([addr, dataPathAddr], ["192.168.99.7", "10.1.0.7"]);
});

test("a join that is tried again with the key that was kept is the same member", async () => {
  await using cluster = await LoopbackCluster.start();
  const dataDir = join(cluster.directory, "n1");
  const joining = (availability: "active" | "drain") =>
    joinCluster({
      remoteAddrs: [cluster.addr],
      token: cluster.cluster.joinTokens.worker,
      availability,
      advertiseAddr: "",
      dataDir,
      clock: systemClock,
    });
  const directory = certificatesDirectory(dataDir);
  const first = await joining("active");
  const before = cluster.store.view().list("node").length;
  NodeCertificates.remove(directory);
  keepJoinKey(directory, first.material.key);
  assert.equal(statSync(join(directory, "join.key")).mode & 0o777, 0o600);
  const second = await joining("drain");
  assert.equal(second.identity.nodeID, first.identity.nodeID);
  assert.equal(cluster.store.view().list("node").length, before);
  const node = cluster.store.view().get("node", first.identity.nodeID);
  assert.equal(node?.spec.availability, "drain");
  assert.ok(!existsSync(join(directory, "join.key")));
  NodeCertificates.remove(directory);
  const third = await joining("active");
  assert.notEqual(third.identity.nodeID, first.identity.nodeID);
});

test("a rotated token is worth nothing, the new one is", async () => {
  await using cluster = await LoopbackCluster.start();
  const old = cluster.cluster.joinTokens.worker;
  await rotateJoinToken(cluster.store, "worker");
  await assert.rejects(cluster.join("n1", "worker", old), { message: /A valid join token/ });
  await cluster.join("n1");
});

test("a second manager is refused in plain words: the store is embedded in the first", async () => {
  await using cluster = await LoopbackCluster.start();
  await assert.rejects(cluster.join("m2", "manager"), { message: /takes no second one/ });
});

test("a host that answers otherwise is given up after Docker's twenty seconds", async (context) => {
  const other = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  context.after(() => other.close());
  const { port } = other.address() as { port: number };
  await using cluster = await LoopbackCluster.start();
  // Its own time goes fast: a wait is no wait, and 20 s are over after two tries.
  let now = 0;
  const clock = {
    ...systemClock,
    monotonic: () => (now += 11_000),
    timer: (_name: string, _delayMs: number, callback: () => void) => {
      setImmediate(callback);
      return { cancel: () => {} };
    },
  };
  const controller = new AbortController();
  const joining = joinCluster({
    remoteAddrs: [`127.0.0.1:${port}`],
    token: cluster.cluster.joinTokens.worker,
    availability: "active",
    advertiseAddr: "",
    dataDir: join(cluster.directory, "n1"),
    clock,
    signal: controller.signal,
  });
  await assert.rejects(joining, { message: /^Timeout was reached before node joined\./ });
});

test("a certificate is renewed in the second half of its life, and the session goes on", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  await eventually("session", () => agent.mesh !== undefined);
  const { notBefore, notAfter } = agent.certificates.validity;
  const before = agent.certificates.material;
  const clock = new FakeClock(Date.now());
  const renewer = new CertificateRenewer({
    certificates: agent.certificates,
    managers: () => [cluster.addr],
    clock,
    random: seededRandom(1),
    log: cluster.log,
  });
  renewer.start();
  const life = notAfter - notBefore;
  clock.advance(notBefore + life * 0.49 - clock.now());
  assert.equal(agent.certificates.material, before, "not before half of its life");
  clock.advance(life * 0.32);
  await eventually("renewed", () => agent.certificates.material !== before);
  await renewer.stop();
  assert.notEqual(agent.certificates.material.key, before.key);
  assert.equal(agent.certificates.identity.nodeID, agent.nodeID);
  assert.ok(!agent.logged.some((line) => line.includes("session lost")));
});

test("a manager's new certificate is shown to new connections and drops no old one", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  await eventually("session", () => agent.mesh !== undefined);
  const renewer = new CertificateRenewer({
    certificates: cluster.certificates,
    managers: () => [cluster.addr],
    clock: systemClock,
    random: seededRandom(1),
    log: cluster.log,
  });
  await renewer.renew();
  await cluster.startAgent("n2");
  await eventually("both have sessions", () => {
    const nodes = cluster.store.view().list("node");
    return nodes.filter(({ status }) => status.state === "ready").length >= 2;
  });
  assert.ok(!agent.logged.some((line) => line.includes("session lost")));
});

test("a removed node gets no new certificate", async () => {
  await using cluster = await LoopbackCluster.start();
  const certificates = await cluster.join("n1");
  await cluster.store.update((tx) => tx.delete("node", certificates.identity.nodeID));
  const renewer = new CertificateRenewer({
    certificates,
    managers: () => [cluster.addr],
    clock: systemClock,
    random: seededRandom(1),
    log: cluster.log,
  });
  await assert.rejects(renewer.renew(), { message: /was removed from the cluster/ });
});

test("renewal times lie between half and four fifths", () => {
  const random = seededRandom(7);
  for (let i = 0; i < 100; i++) {
    const time = renewalTime(1_000, 2_000, random);
    assert.ok(time >= 1_500 && time <= 1_800);
  }
});
