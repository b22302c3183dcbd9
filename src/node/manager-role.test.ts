import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { connect } from "node:tls";
import { FakeClock, systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import { certificatesDirectory } from "../ca/join.ts";
import { NodeCertificates } from "../ca/node-certificates.ts";
import { makeCluster } from "../cluster/factories.ts";
import { openStore } from "../cluster/open-store.ts";
import { createCluster, ManagerRole, type NewClusterRequest } from "./manager-role.ts";

const components = { clock: systemClock, random: systemRandom, log: silentLogger };
const DAY_MS = 86_400_000;

test("a manager whose port is taken says so and leaves nothing running, its store neither", async () => {
  const other = createServer();
  const port = await listening(other);
  await withDataDir(async (dataDir) => {
    const { store, certificates } = await createCluster(components, requestFor(dataDir));
    const listenAddr = `127.0.0.1:${port}`;
    const manager = new ManagerRole(components, { store, certificates, listenAddr });
    await assert.rejects(manager.start(), { message: /cannot listen on .*EADDRINUSE/ });
    // Its file is locked for as long as it is open.
    const again = await openStore({ dataDir, ...components });
    assert.equal(again.view().list("cluster").length, 1);
    await again.close();
  });
  other.close();
});

test("a manager that was off until its certificate had expired gives itself the next one", async () => {
  await withManager(-400 * DAY_MS, async ({ certificates, dataDir, port }) => {
    const loaded = NodeCertificates.load(certificatesDirectory(dataDir));
    assert.ok((loaded?.validity.notAfter ?? 0) > Date.now() + DAY_MS);
    await assertBelieved(certificates, port);
  });
});

test("a manager whose clock was ahead when it gave itself a certificate gives itself another", async () => {
  await withManager(0, async ({ certificates, port, clock }) => {
    for (const wrongByMs of [300 * DAY_MS, -2 * DAY_MS]) {
      clock.set(wrongByMs);
      const before = certificates.material.certificate;
      await looked(clock);
      assert.notEqual(certificates.material.certificate, before);
      clock.set(-wrongByMs);
      await looked(clock);
      assert.ok(certificates.validity.notBefore <= Date.now());
      await assertBelieved(certificates, port);
    }
  });
});

/** Resolves when the manager has looked whether its certificate is valid. */
async function looked(clock: FakeClock): Promise<void> {
  // The timer is armed again once a look has ended.
  const armed = async () => {
    while (!clock.pending().includes("manager's certificate")) await setImmediate();
  };
  await armed();
  clock.advance(5_000);
  await armed();
}

/** A manager that runs; its cluster was made at this distance from now. */
async function withManager(
  madeAtMs: number,
  work: (made: {
    readonly certificates: NodeCertificates;
    readonly dataDir: string;
    readonly port: number;
    readonly clock: FakeClock;
  }) => Promise<void>,
): Promise<void> {
  await withDataDir(async (dataDir) => {
    const clock = new FakeClock(Date.now() + madeAtMs);
    const made = await createCluster({ ...components, clock }, requestFor(dataDir));
    const { store, certificates } = made;
    const { nodeID } = certificates.identity;
    clock.set(-madeAtMs);
    const free = createServer();
    const port = await listening(free);
    await new Promise((resolve) => free.close(resolve));
    const listenAddr = `127.0.0.1:${port}`;
    const manager = new ManagerRole({ ...components, clock }, { store, certificates, listenAddr });
    await manager.start();
    try {
      assert.equal(certificates.identity.nodeID, nodeID);
      await work({ certificates, dataDir, port, clock });
    } finally {
      await manager.stop();
    }
  });
}

/** What the manager shows is what its nodes believe. */
async function assertBelieved({ material }: NodeCertificates, port: number): Promise<void> {
  const ca = material.rootCertificate;
  const socket = connect({ host: "127.0.0.1", port, ca, servername: "swarm-manager" });
  await once(socket, "secureConnect");
  assert.ok(socket.authorized);
  socket.destroy();
}

function requestFor(dataDir: string): NewClusterRequest {
  return {
    listenAddr: "",
    advertiseAddr: "192.168.99.100:2377",
    dataPathAddr: "",
    dataPathPort: 4789,
    defaultAddrPool: [],
    subnetSize: 24,
    forceNewCluster: false,
    availability: "active",
    spec: makeCluster().spec,
    dataDir,
    hostRoutes: [],
  };
}

async function withDataDir(work: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), "weft-manager-"));
  try {
    await work(dataDir);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** The port that it was given. */
async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
