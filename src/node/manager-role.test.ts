import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "node:tls";
import { systemClock } from "../base/clock.ts";
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
  await withDataDir(async (dataDir) => {
    const long = { ...components, clock: { ...systemClock, now: () => Date.now() - 400 * DAY_MS } };
    const { store, certificates } = await createCluster(long, requestFor(dataDir));
    assert.ok(certificates.validity.notAfter < Date.now());
    const { nodeID } = certificates.identity;
    const free = createServer();
    const port = await listening(free);
    await new Promise((resolve) => free.close(resolve));
    const listenAddr = `127.0.0.1:${port}`;
    const manager = new ManagerRole(components, { store, certificates, listenAddr });
    await manager.start();
    try {
      assert.equal(certificates.identity.nodeID, nodeID);
      const loaded = NodeCertificates.load(certificatesDirectory(dataDir));
      assert.ok((loaded?.validity.notAfter ?? 0) > Date.now() + DAY_MS);
      // What it shows is what its nodes believe.
      const ca = certificates.material.rootCertificate;
      const socket = connect({ host: "127.0.0.1", port, ca, servername: "swarm-manager" });
      await once(socket, "secureConnect");
      assert.ok(socket.authorized);
      socket.destroy();
    } finally {
      await manager.stop();
    }
  });
});

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
