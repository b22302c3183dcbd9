import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import { makeCluster } from "../cluster/factories.ts";
import { openStore } from "../cluster/open-store.ts";
import { createCluster, ManagerRole } from "./manager-role.ts";

const components = { clock: systemClock, random: systemRandom, log: silentLogger };

test("a manager whose port is taken says so and leaves nothing running, its store neither", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "weft-manager-"));
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = other.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    const { store, certificates } = await createCluster(components, {
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
    });
    const listenAddr = `127.0.0.1:${port}`;
    const manager = new ManagerRole(components, { store, certificates, listenAddr });
    await assert.rejects(manager.start(), { message: /cannot listen on .*EADDRINUSE/ });
    // Its file is locked for as long as it is open.
    const again = await openStore({ dataDir, ...components });
    assert.equal(again.view().list("cluster").length, 1);
    await again.close();
  } finally {
    other.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
});
