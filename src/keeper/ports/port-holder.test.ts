import assert from "node:assert/strict";
import { Server } from "node:net";
import { test } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import type { PortHold, PortRequest } from "../protocol.ts";
import type { Binder, BoundPort, PortSocket } from "./binder.ts";
import { PortHolder } from "./port-holder.ts";

/** A host whose other processes have the ports in `taken`. */
class FakeHost implements Binder {
  readonly taken = new Set<number>();
  readonly bound: number[] = [];
  async bind({ port }: PortRequest) {
    if (this.taken.has(port)) throw Object.assign(new Error("bind"), { code: "EADDRINUSE" });
    return this.adopt({ protocol: "tcp", port }, new Server());
  }
  adopt({ port }: PortRequest, socket: PortSocket): BoundPort {
    this.bound.push(port);
    return {
      sockets: [socket],
      adopt() {},
      close: async () => {
        this.bound.splice(this.bound.indexOf(port), 1);
      },
    };
  }
}

const tcp = (port: number): PortRequest => ({ protocol: "tcp", port });
const held = (port: number): PortHold => ({ protocol: "tcp", port, state: "held" });
const busy = (port: number): PortHold => ({
  protocol: "tcp",
  port,
  state: "busy",
  reason: "address already in use",
});

function setUp() {
  const host = new FakeHost();
  const clock = new FakeClock();
  const changes: (readonly PortHold[])[] = [];
  const onChange = (ports: readonly PortHold[]) => void changes.push(ports);
  const holder = new PortHolder({ clock, log: silentLogger, binder: host, onChange });
  return { host, clock, changes, holder };
}

test("holds exactly what is asked; asked again it does nothing", async () => {
  const { host, changes, holder, clock } = setUp();
  assert.deepEqual(await holder.hold([tcp(80), tcp(81)]), [held(80), held(81)]);
  assert.deepEqual(await holder.hold([tcp(80), tcp(81)]), [held(80), held(81)]);
  assert.equal(changes.length, 1);
  assert.deepEqual(await holder.hold([tcp(81)]), [held(81)]);
  assert.deepEqual(host.bound, [81]);
  assert.deepEqual(clock.pending(), []);
  await holder.stop();
  assert.deepEqual(host.bound, []);
});

test("a port that some process has is busy, tried every second by one timer, and told when it is got", async () => {
  const { host, clock, changes, holder } = setUp();
  host.taken.add(80).add(81);
  assert.deepEqual(await holder.hold([tcp(80), tcp(81), tcp(82)]), [busy(80), busy(81), held(82)]);
  assert.deepEqual(clock.pending(), ["keeper.ports.retry"]);

  clock.advance(1_000);
  await holder.hold([tcp(80), tcp(81), tcp(82)]);
  assert.equal(changes.length, 1, "nothing changed, nothing told");

  host.taken.delete(80);
  clock.advance(1_000);
  await holder.hold([tcp(80), tcp(81), tcp(82)]);
  assert.deepEqual(changes.at(-1), [held(80), busy(81), held(82)]);
  assert.deepEqual(clock.pending(), ["keeper.ports.retry"]);

  await holder.hold([tcp(80)]);
  assert.deepEqual(clock.pending(), []);
});

test("after its stop it tries no more", async () => {
  const { host, clock, holder } = setUp();
  host.taken.add(80);
  await holder.hold([tcp(80)]);
  await holder.stop();
  assert.deepEqual(clock.pending(), []);
  assert.deepEqual(holder.holds(), []);
});
