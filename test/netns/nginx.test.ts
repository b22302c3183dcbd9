/**
 * A real nginx with the configurations that `weft lb nginx` prints: through the mesh, where a node may be dead, and
 * straight to tasks, which it follows by the names that a keeper answers.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { freePlace } from "../../src/base/free-place.ts";
import { withPort } from "../../src/base/host-port.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { nginxConfiguration } from "../../src/cli/lb-nginx.ts";
import type { BalancerPlan } from "../../src/cli/lb-plan.ts";
import { NameStore } from "../../src/keeper/dns/name-store.ts";
import { ZoneServers } from "../../src/keeper/dns/zone-servers.ts";
import { until } from "../../src/lab/until.ts";
import { whyNot } from "./datapath/lab.ts";

const noNginx = existsSync("/usr/sbin/nginx") ? false : "nginx is not installed";
/** Enough that each of two servers is asked. */
const ASKED = 20;

describe("nginx before a service", { skip: whyNot() || noNginx }, () => {
  let directory: string;
  let names: NameStore;
  let zones: ZoneServers;
  let resolver: string;
  /** Two hosts' addresses, and the one port that the service's tasks have there. */
  let hosts: readonly string[];
  let publishedPort: number;
  const tasks: Server[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "weft-nginx-"));
    const place = await freePlace();
    resolver = withPort(place.host, place.port);
    publishedPort = (await freePlace()).port;
    const network = place.host.split(".").slice(0, 2).join(".");
    hosts = [`${network}.250.1`, `${network}.250.2`];
    for (const [at, host] of hosts.entries()) {
      const task = createServer((_, answer) => answer.end(`task ${at}`));
      task.listen(publishedPort, host);
      await once(task, "listening");
      tasks.push(task);
    }
    names = new NameStore({ clock: systemClock, log: silentLogger }, directory);
    zones = new ZoneServers({ names, random: systemRandom, log: silentLogger });
    zones.start();
  });
  after(async () => {
    await zones.stop();
    await names.flush();
    for (const task of tasks) task.close();
    await rm(directory, { recursive: true });
  });

  /** The tasks of now are at these hosts. */
  function tell(...addresses: readonly string[]): void {
    const put = [{ id: "web", entries: [{ names: ["web"], addresses }] }];
    const frame = { set: "outside", suffix: "weft", subnets: [], listen: [resolver] };
    names.change({ ...frame, revision: "1", put, remove: [] });
    zones.refresh();
  }

  /** Runs nginx so, and what asks it: which tasks have answered so many requests. */
  async function balanced(
    way: BalancerPlan["way"],
    work: (ask: () => Promise<ReadonlySet<string>>) => Promise<void>,
  ): Promise<void> {
    const { host, port } = await freePlace();
    const printed = nginxConfiguration({
      ...{ service: "web", way, http: true, zone: "weft", slots: 10, resolvers: [resolver] },
      ports: [{ protocol: "tcp", listen: 80, targetPort: 80, publishedPort }],
      servers: hosts.map((address, at) => ({ name: `n${at}`, address })),
    });
    // Nobody else is answered, and nobody's log is written to.
    const kept = printed
      .replace("listen 80;", `listen ${withPort(host, port)};`)
      .replace("http {", "http {\n    access_log off;");
    const path = join(directory, `${way}.conf`);
    await writeFile(path, kept);
    const here = `daemon off; pid ${join(directory, "nginx.pid")}; error_log /dev/null;`;
    const nginx = spawn("nginx", ["-c", path, "-g", here], { stdio: "inherit" });
    const ask = async () => {
      const answers = new Set<string>();
      for (let at = 0; at < ASKED; at++) {
        const response = await fetch(`http://${withPort(host, port)}/`);
        assert.equal(response.status, 200);
        answers.add(await response.text());
      }
      return answers;
    };
    try {
      await until(async () => (await ask().catch(() => new Set())).size > 0, {
        what: "nginx to answer",
      });
      await work(ask);
    } finally {
      await ended(nginx);
    }
  }

  it("follows tasks by their name, and what one that has left does not take goes to the next", async () => {
    const [one = "", other = ""] = hosts;
    tell(one);
    await balanced("names", async (ask) => {
      assert.deepEqual(await ask(), new Set(["task 0"]));
      tell(other);
      await until(async () => [...(await ask())].join() === "task 1", {
        what: "nginx to follow the task",
      });
      tell(one, other, nobody());
      const isSpread = async () => (await ask()).size === 2;
      await until(isSpread, { what: "nginx to ask both tasks" });
      for (let round = 0; round < 3; round++) await ask();
    });
  });

  it("through the mesh, a node that does not answer costs no request", async () => {
    await balanced("mesh", async (ask) => {
      assert.deepEqual(await ask(), new Set(["task 0", "task 1"]));
      tasks[0]?.close();
      tasks[0]?.closeAllConnections();
      assert.deepEqual(await ask(), new Set(["task 1"]));
    });
  });

  /** A host where nothing listens at that port. */
  function nobody(): string {
    return `${hosts[0]?.split(".").slice(0, 3).join(".")}.9`;
  }
});

async function ended(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null) return;
  process.kill("SIGTERM");
  await once(process, "exit");
}
