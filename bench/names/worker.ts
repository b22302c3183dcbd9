/** A keeper's names by themselves, for the benchmark: told once, changed some times, then asked until its input ends. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { NameStore } from "../../src/keeper/dns/name-store.ts";
import type { NameGroup } from "../../src/keeper/dns/names.ts";
import { ZoneServers } from "../../src/keeper/dns/zone-servers.ts";
import { timed } from "../../src/lab/timed.ts";

export interface NamesPlan {
  readonly services: number;
  readonly port: number;
  readonly changes: number;
}

export interface NamesTimes {
  readonly toldMs: number;
  readonly changeMs: readonly number[];
  readonly residentBytes: number;
}

const TASKS = 3;
const SET = { set: "outside", suffix: "weft", subnets: [] } as const;

const plan = JSON.parse(process.argv[2] ?? "") as NamesPlan;
const directory = mkdtempSync(join(tmpdir(), "weft-bench-names-"));
const names = new NameStore({ clock: systemClock, log: silentLogger }, directory);
const zones = new ZoneServers({ names, random: systemRandom, log: silentLogger });
const listen = [`127.0.0.1:${plan.port}`];
zones.start();

const put = Array.from({ length: plan.services }, (_, at) => groupOf(at, 1));
const toldMs = await timed(() => names.change({ ...SET, listen, revision: "0", put, remove: [] }));
const changeMs: number[] = [];
for (let at = 0; at < plan.changes; at += 1) {
  const change = { ...SET, listen, base: `${at}`, revision: `${at + 1}` };
  changeMs.push(await timed(() => names.change({ ...change, put: [groupOf(at, 2)], remove: [] })));
}
zones.refresh();
await zones.idle();
const times: NamesTimes = { toldMs, changeMs, residentBytes: process.memoryUsage().rss };
process.stdout.write(`${JSON.stringify(times)}\n`);

/** Each line is answered with the CPU time so far, in microseconds. */
for await (const _ of createInterface({ input: process.stdin })) {
  const { user, system } = process.cpuUsage();
  process.stdout.write(`${user + system}\n`);
}
await zones.stop();
await names.flush();
rmSync(directory, { recursive: true });

function groupOf(at: number, third: number): NameGroup {
  const addresses = Array.from(
    { length: TASKS },
    (_, task) => `10.${third}.${at % 250}.${task + 1}`,
  );
  const entries = [
    { names: [`s${at}`], addresses: addresses.slice(0, 1) },
    { names: [`tasks.s${at}`], addresses },
  ];
  return { id: `s${at}`, entries };
}
