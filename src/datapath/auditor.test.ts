import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { Auditor } from "./auditor.ts";
import type { Drift } from "./describe.ts";

/** A monitor that prints these lines, then waits to be ended. */
const printing = (...lines: string[]) => [
  process.execPath,
  "-e",
  `console.log(${JSON.stringify(lines.join("\n"))}); setInterval(() => {}, 1e6)`,
];
const SILENT = printing();
const ROUTE_IS_GONE = "Deleted 10.255.0.9 via 10.255.0.3 dev weft0 proto 147 onlink";

interface Told {
  readonly monitor?: readonly string[];
  readonly networkMonitor?: readonly string[];
  readonly found?: Drift[];
  /** How long an audit takes. */
  readonly tookMs?: number;
}

function auditor({ monitor = SILENT, networkMonitor = SILENT, found = [], tookMs = 0 }: Told) {
  const clock = new FakeClock();
  const audits: number[] = [];
  const waiting: (() => void)[] = [];
  let news = 0;
  let changedAt = 0;
  const datapath = {
    uplink: undefined,
    /** Asked with each piece of news. */
    get changedAt() {
      news += 1;
      return changedAt;
    },
    set changedAt(at: number) {
      changedAt = at;
    },
    newsTold: () => news,
    drifted: false,
    haveSettingsDrifted: () => datapath.drifted,
    audit: async () => {
      audits.push(clock.monotonic());
      clock.advance(tookMs);
      for (const go of waiting.splice(0)) go();
      return found;
    },
  };
  const drifts: Drift[] = [];
  const onDrift = (more: readonly Drift[]) => void drifts.push(...more);
  const components = { datapath, clock, log: silentLogger, onDrift };
  const made = new Auditor(components, { monitor, networkMonitor });
  const audited = () => new Promise<void>((resolve) => waiting.push(resolve));
  return { made, clock, audited, audits, drifts, datapath };
}

/** What happens in other processes and on this one's next turns. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

describe("the auditor", () => {
  it("audits at once when a table of Weft's is deleted, and tells what was found", async () => {
    const lines = ["delete table inet other", "delete table inet weft"];
    const found = [{ text: "x was missing" }];
    const { made, audited, drifts } = auditor({ monitor: printing(...lines), found });
    const done = audited();
    made.start();
    await done;
    await made.stop();
    assert.deepEqual(drifts, found);
  });

  it("audits at once when something of the network is changed", async () => {
    const { made, audited } = auditor({ networkMonitor: printing(ROUTE_IS_GONE) });
    const done = audited();
    made.start();
    await done;
    await made.stop();
  });

  it("waits for the end of Weft's own changes, and looks once for all of them", async () => {
    const { made, clock, audited, audits, datapath } = auditor({
      networkMonitor: printing(...Array.from({ length: 500 }, () => ROUTE_IS_GONE)),
    });
    datapath.changedAt = clock.monotonic();
    made.start();
    await until(() => datapath.newsTold() === 500);
    assert.ok(clock.pending().includes("datapath settled"));
    assert.deepEqual(audits, []);
    const done = audited();
    clock.advance(700);
    await done;
    await made.stop();
    assert.equal(audits.length, 1);
  });

  it("looks after Weft's own changes the later, the longer audits take", async () => {
    const more = `setInterval(() => console.log(${JSON.stringify(ROUTE_IS_GONE)}), 1)`;
    const { made, clock, audited, audits, datapath } = auditor({
      networkMonitor: [process.execPath, "-e", more],
      tookMs: 500,
    });
    datapath.changedAt = Number.POSITIVE_INFINITY;
    made.start();
    for (let round = 0; round < 3; round++) {
      await until(() => clock.pending().includes("datapath settled"));
      const done = audited();
      clock.advance(2_000);
      await done;
    }
    await until(() => clock.pending().includes("datapath settled"));
    const told = datapath.newsTold();
    clock.advance(14_000);
    await until(() => datapath.newsTold() > told + 10);
    assert.equal(audits.length, 3);
    const last = audited();
    clock.advance(1_000);
    await last;
    await made.stop();
  });

  it("looks now and then at a rollout that makes no pause", async () => {
    const more = `setInterval(() => console.log(${JSON.stringify(ROUTE_IS_GONE)}), 1)`;
    const { made, clock, audited, audits, datapath } = auditor({
      networkMonitor: [process.execPath, "-e", more],
    });
    datapath.changedAt = Number.POSITIVE_INFINITY;
    made.start();
    await until(() => clock.pending().includes("datapath settled"));
    for (let passed = 0; passed < 1_200; passed += 400) {
      const before = datapath.newsTold();
      clock.advance(400);
      await until(() => datapath.newsTold() > before);
    }
    assert.deepEqual(audits, []);
    const done = audited();
    clock.advance(200);
    await done;
    await made.stop();
  });

  it("is not waited for when the table itself is gone, whoever changes something", async () => {
    const { made, clock, audited, datapath } = auditor({
      monitor: printing("delete table inet weft"),
    });
    datapath.changedAt = clock.monotonic();
    const done = audited();
    made.start();
    await done;
    await made.stop();
  });

  it("rests after an audit as long as it may, however much is told", async () => {
    const more = `setInterval(() => console.log(${JSON.stringify(ROUTE_IS_GONE)}), 1)`;
    const { made, clock, audited, audits } = auditor({
      networkMonitor: [process.execPath, "-e", more],
      tookMs: 40,
    });
    made.start();
    for (let count = 1; count <= 3; count++) {
      if (count > 1) {
        await until(() => clock.pending().includes("datapath drift"));
        clock.advance(399);
        assert.equal(audits.length, count - 1);
        const done = audited();
        clock.advance(1);
        await done;
      } else {
        await until(() => audits.length === count);
      }
    }
    await made.stop();
  });

  it("reads settings that nobody tells of", async () => {
    const { made, clock, audited, audits, datapath } = auditor({});
    made.start();
    clock.advance(800);
    await until(() => clock.pending().includes("datapath settings"));
    assert.deepEqual(audits, []);
    datapath.drifted = true;
    const done = audited();
    clock.advance(800);
    await done;
    await made.stop();
  });

  it("audits now and then when nothing is told", async () => {
    const { made, clock, audited } = auditor({});
    made.start();
    for (let round = 0; round < 2; round++) {
      const done = audited();
      clock.advance(30_000);
      await done;
      await until(() => clock.pending().includes("datapath settings"));
    }
    await made.stop();
    assert.deepEqual(clock.pending(), []);
  });

  it("starts a monitor again when it ended, later each time, and audits for what it missed", async () => {
    const { made, clock, audited } = auditor({ monitor: [process.execPath, "-e", ""] });
    made.start();
    for (const delayMs of [250, 500, 1000]) {
      await until(() => clock.pending().includes("monitor"));
      const done = audited();
      clock.advance(delayMs);
      await done;
    }
    await made.stop();
  });

  it("goes on without a monitor that cannot be run", async () => {
    const { made, clock, audited } = auditor({ monitor: ["/nonexistent/nft"] });
    made.start();
    const done = audited();
    clock.advance(30_000);
    await done;
    await made.stop();
  });
});
