import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FakeClock } from "../base/clock.ts";
import { writeFailure } from "../base/files.ts";
import { createLogger } from "../base/logger.ts";
import type { KeeperState } from "./state.ts";
import { StateKeeper } from "./state-keeper.ts";

/** A disk that takes nothing as long as `fault` names why. */
class FakeDisk {
  fault: string | undefined;
  #saved: KeeperState | undefined;

  get ports(): KeeperState["ports"] | undefined {
    return this.#saved?.ports;
  }

  async save(path: string, state: KeeperState): Promise<void> {
    if (this.fault !== undefined) {
      throw writeFailure(path, Object.assign(new Error("write"), { code: this.fault }));
    }
    this.#saved = state;
  }
}

function stateKeeperOn(disk: FakeDisk) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const states = new StateKeeper({
    ...{ path: "/var/lib/weft/keeper/state.json", clock },
    log: createLogger({ write: (line) => void lines.push(line) }),
    onChange: () => {},
    save: (path, state) => disk.save(path, state),
  });
  const holding = (...ports: number[]) => ports.map((port) => ({ protocol: "tcp" as const, port }));
  const hold = (...ports: number[]) =>
    states.change(async (state) => ({
      state: { ...state, ports: holding(...ports) },
      value: undefined,
    }));
  return { states, clock, lines, hold, holding };
}

test("a full disk refuses nothing: what changes is believed, said once, and written when there is room", async () => {
  const disk = new FakeDisk();
  const { states, clock, lines, hold, holding } = stateKeeperOn(disk);
  disk.fault = "ENOSPC";
  await hold(80);
  await hold(80, 81);
  assert.deepEqual(states.current.ports, holding(80, 81));
  assert.equal(disk.ports, undefined);
  assert.equal(lines.length, 1);
  const why = "cannot write /var/lib/weft/keeper/state.json: the disk is full, make room";
  assert.ok(lines[0]?.includes(why), lines[0]);
  disk.fault = undefined;
  clock.advance(5_000);
  await setImmediate();
  assert.deepEqual(disk.ports, holding(80, 81));
  assert.ok(lines[1]?.includes("on disk again"), lines[1]);
  assert.deepEqual(clock.pending(), []);
});

test("another fault of the disk is the caller's, and changes nothing", async () => {
  const disk = new FakeDisk();
  const { states, hold } = stateKeeperOn(disk);
  disk.fault = "EISDIR";
  await assert.rejects(hold(80));
  assert.deepEqual(states.current.ports, []);
});

test("a state that is not on disk is not handed over", async () => {
  const disk = new FakeDisk();
  const { states, hold, holding } = stateKeeperOn(disk);
  disk.fault = "ENOSPC";
  await hold(80);
  let passed = 0;
  const pass = async () => void passed++;
  await assert.rejects(states.handOver(pass), { message: /the disk is full, make room/ });
  disk.fault = undefined;
  await states.handOver(pass);
  assert.equal(passed, 1);
  assert.deepEqual(disk.ports, holding(80));
});

test("a keeper that is stopped tries the disk once more", async () => {
  const disk = new FakeDisk();
  const { states, clock, hold, holding } = stateKeeperOn(disk);
  disk.fault = "ENOSPC";
  await hold(80);
  disk.fault = undefined;
  await states.stop();
  assert.deepEqual(disk.ports, holding(80));
  assert.deepEqual(clock.pending(), []);
});
