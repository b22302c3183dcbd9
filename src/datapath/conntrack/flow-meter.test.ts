import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { FakeClock } from "../../base/clock.ts";
import type { FlowCount } from "./flow-counts.ts";
import { FlowLedger } from "./flow-ledger.ts";
import { FlowMeter } from "./flow-meter.ts";
import type { EndedFlows, FlowSource } from "./flow-source.ts";

const KEY = "tcp 8080 10.255.0.9";

function count(bytes: number, overrides: Partial<FlowCount> = {}): FlowCount {
  const received = { receivedPackets: 1, receivedBytes: bytes };
  return { key: KEY, isAnswered: true, ...received, sentPackets: 1, sentBytes: 0, ...overrides };
}

/** A kernel's flows: open ones carry more, and each ends once. */
class FakeSource implements FlowSource {
  live: FlowCount[] = [];
  over: FlowCount[] = [];
  isLossy = false;
  closed = false;

  end(flow: FlowCount): void {
    this.live = this.live.filter((one) => one !== flow);
    this.over.push(flow);
  }

  ended(max: number): EndedFlows {
    const counts = this.over.splice(0, max);
    return { counts, isMore: counts.length === max, isLossy: this.isLossy };
  }

  async list(): Promise<readonly FlowCount[]> {
    return [...this.live];
  }

  close(): void {
    this.closed = true;
  }
}

async function counting(live: FlowCount[] = []) {
  const source = new FakeSource();
  source.live = live;
  const clock = new FakeClock();
  const meter = new FlowMeter(source, clock);
  await meter.start();
  const total = async (key = KEY) => {
    const { connections = 0, receivedBytes = 0 } = (await meter.totals()).get(key) ?? {};
    return [connections, receivedBytes];
  };
  return { source, clock, meter, total };
}

describe("what ports have carried", () => {
  test("is what open flows have until now, and what ended ones had", async () => {
    const { source, total } = await counting();
    const [one, two] = [count(10), count(20)];
    source.live = [one, two, count(5, { isAnswered: false })];
    assert.deepEqual(await total(), [2, 35]);
    source.end(one);
    assert.deepEqual(await total(), [2, 35]);
    source.live = [count(500)];
    source.over = [count(30)];
    assert.deepEqual(await total(), [3, 540]);
    assert.deepEqual(await total("tcp 8080 10.255.0.8"), [0, 0]);
  });

  test("is not what flows had before it was counted", async () => {
    const old = count(1_000);
    const { source, total } = await counting([old]);
    assert.deepEqual(await total(), [0, 0]);
    source.live = [count(1_200)];
    assert.deepEqual(await total(), [0, 200]);
    source.end(source.live[0] ?? assert.fail());
    assert.deepEqual(await total(), [0, 200]);
  });

  test("is read in time though nobody asks, in parts when there is much, and losses are counted", async () => {
    const { source, clock, meter, total } = await counting();
    source.over = Array.from({ length: 2_500 }, () => count(1));
    clock.advance(1_000);
    assert.equal(source.over.length, 1_500);
    clock.advance(10);
    clock.advance(10);
    assert.equal(source.over.length, 0);
    assert.deepEqual(await total(), [2_500, 2_500]);
    source.isLossy = true;
    clock.advance(1_000);
    assert.equal(meter.losses, 1);
    await meter.stop();
    assert.ok(source.closed);
    assert.deepEqual(clock.pending(), []);
  });

  test("begins anew for who has the address next", async () => {
    const { source, meter, total } = await counting();
    source.over = [count(10), count(7, { key: "tcp 8080 fd12::aff:9" })];
    assert.deepEqual(await total(), [1, 10]);
    meter.forget(["10.255.0.9"]);
    assert.deepEqual(await total(), [0, 0]);
    assert.deepEqual(await total("tcp 8080 fd12::aff:9"), [1, 7]);
  });

  test("never shrinks, and is at last what all flows carried", () => {
    const flows = fc.array(fc.record({ bytes: fc.nat(1_000), isMissed: fc.boolean() }));
    fc.assert(
      fc.property(flows, (made) => {
        const ledger = new FlowLedger();
        const told = () => ledger.totals([]).get(KEY)?.receivedBytes ?? 0;
        let before = 0;
        for (const { bytes, isMissed } of made) {
          // Listed, and then ended between the list and the next look.
          const listed = ledger.totals([count(bytes)]).get(KEY)?.receivedBytes ?? 0;
          assert.ok(listed >= before);
          if (isMissed) assert.equal(told(), listed);
          ledger.end(count(bytes));
          before = told();
          assert.ok(before >= listed);
        }
        assert.equal(
          before,
          made.reduce((all, { bytes }) => all + bytes, 0),
        );
      }),
    );
  });
});
